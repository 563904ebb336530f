"""Images that are not square: models train, go on, are drawn, translate files and are exported as at any other size."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.in_turn import train_in_turn
from training.test_models import CASES, COVERED
from training.tiny import Case, differences
from translate.config.resume import resumed
from translate.config.schema import RunConfig
from translate.errors import ConfigError
from translate.export import runtimes
from translate.inference.translator import Translator, load
from translate.registry.registry import TRANSLATIONS
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import run

HEIGHT, WIDTH = 64, 32
UPRIGHT = f"data.image_size=[{HEIGHT},{WIDTH}]"
OF_ONE_SIZE = ("dtn", "icgan", "xgan")
"""Models whose small configurations name numbers that belong to 32 x 32 pixels."""

ENLARGING = ("srgan", "srresnet")
"""Models whose translations are larger than their images: `translator.image_size` is that of low resolution."""

MODELS = [name for name in COVERED if name not in OF_ONE_SIZE]
TRANSLATING = [name for name in MODELS if name in TRANSLATIONS.index() and name not in ENLARGING]
COMPARED = ("combogan", "cut", "cyclegan", "pix2pix", "stargan_v1", "stargan_v2", "unit")
"""Models that one and two processes train."""


def configuration(name: str, *overrides: str) -> RunConfig:
    """Return a small configuration of a model on images twice as high as wide."""
    return CASES[name](UPRIGHT, *overrides)


def train(config: RunConfig, folder: Path) -> checkpoints.Checkpoint:
    assert run.train(config, folder, None, []) == 0
    return checkpoints.newest(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the function that gives a run of four iterations, with sample grids and checkpoints."""
    place = tmp_path_factory.mktemp("upright")

    def of(name: str) -> Path:
        if not (place / name).exists():
            train(configuration(name, "iterations=4", "sample_every=4", "checkpoint_every=2"), place / name)
        return place / name

    return of


@pytest.mark.parametrize("name", MODELS)
def test_a_run_goes_on_to_the_bit(trained: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    train(configuration(name, "iterations=2", "checkpoint_every=2"), tmp_path / "run")
    config = resumed(tmp_path / "run", ["iterations=4"])
    assert config.data.image_size == [HEIGHT, WIDTH]
    assert run.train(config, tmp_path / "run", tmp_path / "run", []) == 0
    assert differences(checkpoints.newest(trained(name)), checkpoints.newest(tmp_path / "run")) == []


@pytest.mark.parametrize("name", TRANSLATING)
def test_sample_grids_have_images_of_the_size(trained: Callable[[str], Path], name: str) -> None:
    paths = sorted((trained(name) / "samples").iterdir())
    assert paths
    for path in paths:
        assert np.asarray(Image.open(path)).std() > 1
    translator = load(trained(name))
    assert translator.image_size == (HEIGHT, WIDTH)
    assert f"{HEIGHT} x {WIDTH} px" in repr(translator)


def target(translator: Translator) -> str:
    return (translator.domains or translator.labels)[translator.engine.reachable[-1]]


def style(translator: Translator) -> dict[str, int]:
    return {"seed": 1} if translator.style_inputs else {}


def source(translator: Translator) -> dict[str, str]:
    return {"source": translator.domains[0]} if translator.needs_source else {}


@pytest.mark.parametrize("name", TRANSLATING)
def test_files_are_translated_in_their_own_size_and_in_that_of_training(
    trained: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    translator = load(trained(name))
    pixels = np.random.default_rng(0).integers(0, 256, (50, 30, 3), np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    for resolution in ("model", "auto"):
        folder = tmp_path / resolution
        summary = translator.apply(
            tmp_path / "in", folder, target=target(translator), resolution=resolution, **source(translator)
        )
        assert Image.open(folder / "a.png").size == (30, 50), summary
    image = Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    translation = translator.translate(np.asarray(image), target(translator), **style(translator), **source(translator))
    assert translation.shape == (HEIGHT, WIDTH, 3)
    again = Image.fromarray(translation).resize((30, 50), Image.Resampling.BICUBIC)
    if not translator.style_inputs:  # the same way, but for rounding between the two resizes
        shown = np.asarray(Image.open(tmp_path / "model" / "a.png")).astype(int)
        assert np.abs(np.asarray(again).astype(int) - shown).max() <= 3


@pytest.mark.parametrize("name", TRANSLATING)
def test_onnx_files_equal_the_translation(trained: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    """`export` compares every file with torch, at the size of training and at others, before it is in place."""
    translator = load(trained(name))
    files = list(runtimes.export(translator, runtimes.runtime("onnx"), tmp_path / "onnx"))
    assert files
    from translate.inference.onnx_runtime import open_onnx

    engine = open_onnx(tmp_path / "onnx")
    assert engine.image_size == (HEIGHT, WIDTH)
    assert (engine.sizes is None) == (translator.engine.sizes is None)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """In float64, with optimizers that do not magnify rounding."""

    def of(name: str, count: int) -> RunConfig:
        config = configuration(name, "iterations=2", "trainer.precision=64-true", "checkpoint_every=2")
        optimizers = {role: {**node, "eps": 1e-2} for role, node in config.model.optimizers.items()}
        model = replace(config.model, optimizers=optimizers)
        return replace(config, model=model, folder=str(tmp_path / f"{name} {count}"))

    for count in (1, 2):
        train_in_turn([of(name, count) for name in COMPARED], tmp_path, count)
    for name in COMPARED:
        one, two = (checkpoints.newest(RunFolder(tmp_path / f"{name} {count}").path) for count in (1, 2))
        assert one.tensors.keys() == two.tensors.keys()
        for key, tensor in one.tensors.items():
            if not key.startswith("optimizer"):
                torch.testing.assert_close(
                    two.tensors[key], tensor, rtol=0, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}"
                )


ONE_SENTENCE = {
    "stargan_v2 with face masks": (
        CASES["stargan_v2"],
        ["model.networks.generator.w_hpf=1", "+model.networks.masks={name: face_oval}"],
        "data.image_size: found [64, 32], expected one number, for squares, for the network masks. Fix: use 32 or 64",
    ),
    "sides that cannot be halved": (
        CASES["pix2pix"],
        ["data.image_size=[64,48]"],
        "data.image_size: found [64, 48], expected sides divisible by 32 for the network generator. Fix: use [64, 64]",
    ),
}


@pytest.mark.parametrize("name", ONE_SENTENCE)
def test_a_model_that_cannot_says_so_in_one_sentence(name: str) -> None:
    case, overrides, sentence = ONE_SENTENCE[name]
    assert isinstance(case, Case)
    with pytest.raises(ConfigError) as caught:
        case(UPRIGHT, *overrides)
    assert [str(problem) for problem in caught.value.problems] == [sentence]
