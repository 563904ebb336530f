"""The weights that ship with the package: small, described by their card, and able to translate."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from translate.config.compose import load as compose
from translate.config.schema import experiment_key, to_mapping
from translate.data.datasets.critters import Critters
from translate.data.transforms import to_float
from translate.inference import translator
from translate.runs import scores
from translate.runs.places import shipped_names
from translate.weights import format

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "src" / "translate" / "weights" / "shipped"
NAMES = sorted(path.stem for path in PLACE.glob("*.safetensors"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shipped_weights", ROOT / "benchmarks" / "shipped_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_file_has_a_name_and_a_card() -> None:
    assert "critters" in NAMES
    assert sorted(shipped_names()) == NAMES
    assert sorted(path.stem for path in PLACE.glob("*.md")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_name_no_folder(name: str) -> None:
    path = PLACE / f"{name}.safetensors"
    assert path.stat().st_size <= 6_000_000
    assert format.header_of(path)["dtype"] == "float16"
    weights = format.read(path)
    assert {tensor.dtype for tensor in weights.tensors.values()} <= {torch.float32, torch.int64}
    assert weights.licence == "apache-2.0"
    assert weights.config is not None
    assert (weights.config["folder"], weights.config["resume"]) == (None, None)


def test_the_card_is_what_the_script_writes(script: ModuleType) -> None:
    path = PLACE / "critters.safetensors"
    assert path.with_suffix(".md").read_text(encoding="utf-8") == script.text_of_card(
        format.read(path), path.stat().st_size
    )


def test_the_command_of_the_card_is_the_training_of_the_weights(script: ModuleType) -> None:
    weights = format.read(PLACE / "critters.safetensors")
    config = compose(script.WORDS)
    assert weights.config is not None
    assert (weights.config["seed"], weights.iteration) == (config.seed, config.iterations)
    trained, composed = experiment_key(weights.config), experiment_key(to_mapping(config))
    assert {k: v for k, v in trained.items() if k.startswith("model.")} == {
        k: v for k, v in composed.items() if k.startswith("model.")
    }
    assert weights.domains == tuple(config.data.domains or ())


def test_the_scores_hold_their_level() -> None:
    (tree,) = format.read(PLACE / "critters.safetensors").metrics
    result = scores.parse(tree)
    assert result is not None
    for mode in ("latent", "reference"):
        assert result.scores[f"domain accuracy, {mode}"] > 0.95
        assert result.scores[f"content kept (R2), {mode}"] > 0.8


def test_a_translation_follows_target_and_seed() -> None:
    data = Critters(num_images=30, split="val")
    image = to_float(torch.from_numpy(data.read_many([0, 1], 32)))
    model = translator.load("critters")
    translations = {domain: model.translate(image, target=domain, seed=1) for domain in model.domains}
    assert [t.shape for t in translations.values()] == [image.shape] * 3
    first, second, third = translations.values()
    assert min((first - second).abs().mean(), (second - third).abs().mean()) > 0.05
    assert (model.translate(image, target="cat", seed=2) - translations["cat"]).abs().mean() > 0.02
