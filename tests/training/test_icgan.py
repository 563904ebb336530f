"""IcGAN: four stages by one command, then labels of an image are edited and the others stay."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from training.tiny import RUN, tiny_icgan, tiny_icgan_gan, train_stages
from translate.cli import main
from translate.errors import UserError
from translate.inference.icgan import IcGANTranslation
from translate.inference.targets import labels, unnamed_label
from translate.networks.frozen import Frozen
from translate.runs.checkpoints import newest
from translate.training import build

TINY = [
    "data.num_images=60",
    "data.num_val_images=30",
    "data.batch_size=4",
    "data.cache=null",
    "checkpoint_every=100",
    "stages.gan.iterations=2",
    "stages.settled.iterations=3",
    "stages.encoder_z.iterations=2",
    "stages.encoder_y.iterations=2",
]
STAGES = ("gan", "settled", "encoder_z", "encoder_y")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all stages of the small experiment, some iterations each."""
    path = tmp_path_factory.mktemp("icgan") / "stages"
    words = [word for word in RUN if not word.startswith(("checkpoint_every", "sample_every"))]
    train_stages(["experiments=icgan/critters", *words, *TINY], path)
    return path


def test_each_stage_builds_on_those_before(folder: Path) -> None:
    gan, settled, encoder_z, encoder_y = (newest(folder / stage) for stage in STAGES)
    before, after = gan.group("network", "generator"), settled.group("network", "generator")
    statistics = [key for key in before if "running" in key]
    assert statistics
    assert not any(before[key].equal(after[key]) for key in statistics)  # they settle, and the weights stay
    assert all(before[key].equal(after[key]) for key in before if key.endswith(("weight", "bias")))
    assert {name.split(".")[1] for name in encoder_z.tensors} == {"encoder_z"}
    assert {name.split(".")[1] for name in encoder_y.tensors} == {"encoder_y"}
    for stage in STAGES:
        assert list((folder / stage / "samples").glob("*.png"))


def test_named_labels_change_and_the_others_stay(folder: Path, tmp_path: Path) -> None:
    translator = translate.load(folder / "encoder_y")
    assert translator.labels == ("dark_coat", "warm_coat", "glasses")
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    translation = translator.translation
    assert isinstance(translation, IcGANTranslation)
    assert isinstance(translation.networks["generator"], Frozen)
    own = translation.labels(x)
    code = translation.network("encoder_z")(x)
    for value in (0.0, 0.5, 1.0):
        wanted = own.clone()
        wanted[:, 2] = 2 * value - 1
        image = translation.network("generator")(code, wanted)
        torch.testing.assert_close(translator.translate(x, {"glasses": value}), image, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(translator.translate(x, {}), translation.reconstruct(x), rtol=1e-4, atol=1e-5)
    translator.save(tmp_path / "all.safetensors")  # no source is needed any more
    again = translate.load(tmp_path / "all.safetensors").translate(x, "glasses")
    torch.testing.assert_close(again, translator.translate(x, "glasses"))


def test_apply_edits_attributes(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "face.png")
    words = [f"weights={folder / 'encoder_y'}", f"input={tmp_path / 'face.png'}", f"output={tmp_path / 'out'}"]
    assert main(["apply", *words, "attributes={glasses:1}"]) == 0
    (record,) = map(json.loads, (tmp_path / "out" / "translations.jsonl").read_text().splitlines())
    assert record["target"] == {"glasses": 1}


def test_a_run_without_encoders_says_so(folder: Path) -> None:
    translator = translate.load(folder / "gan")
    with pytest.raises(UserError, match=r"the run has no encoder_y yet. Fix: train the stages of the encoders"):
        translator.translate(torch.zeros(1, 3, 32, 32), "glasses")


def test_unnamed_labels_are_unknown_to_a_model_that_edits_alone() -> None:
    sets = [{"kind": "attributes", "names": ["a", "b"]}]
    assert np.isnan(labels("b", 1, sets, unnamed_label("icgan"))).tolist() == [[True, False]]
    assert labels("b", 1, sets, unnamed_label("stargan_v1")).tolist() == [[0.0, 1.0]]
    classes = [{"kind": "classes", "names": ["a", "b"]}]
    assert labels("b", 1, classes, unnamed_label("icgan")).tolist() == [[0.0, 1.0]]


def test_classes_are_read_as_one_class() -> None:
    words = ["data.labels=domain", "model.networks.encoder_y.num_outputs=3"]
    model = build.build_model(tiny_icgan(*words)).eval()
    data = build.build_data(tiny_icgan(*words))
    held_out = data.held_out(6)
    translation = IcGANTranslation(model.inference_networks(), model.label_sets)  # type: ignore[attr-defined]
    read = translation.labels(held_out.image)
    assert ((read == 1).sum(1) == 1).all()
    assert ((read == -1).sum(1) == 2).all()
    assert model.translate(held_out.image, torch.tensor([0, 1, 2, 0, 1, 2])).shape == (6, 3, 32, 32)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["~model.optimizers.generator"], r"the generator and the discriminator are trained together"),
        (["model.weights.encoder.code=1"], r"weights.encoder.code: the term belongs to the training of encoder_z"),
        (
            [*tiny_icgan.model[4:], "model.weights.discriminator.r1=1"],
            r"weights.discriminator.r1: the term belongs to the training of discriminator",
        ),
        (["model.weights.discriminator.wrong=0"], r"weights.discriminator.wrong: .*Fix: set a weight"),
    ],
)
def test_networks_that_make_no_stage(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build.build_model(tiny_icgan_gan(*words))
