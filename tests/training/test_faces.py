"""StarGAN v2 with masks from the landmark network: checked, trained, resumed, evaluated by its weights, exported."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from numerics import landmarks
from numerics.published import differences, save, stargan_v2
from training.tiny import RUN, TINY, tiny
from translate.config.compose import load
from translate.config.resume import resumed
from translate.data.batches import HeldOut
from translate.errors import ConfigError, UserError
from translate.export import importer
from translate.export import weights as exporting
from translate.files.writing import sha256_of
from translate.inference.translator import load as load_translator
from translate.networks.wing import FaceLandmarks, LandmarkMasks
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build
from translate.training import run as training
from translate.weights import format
from translate.weights.load import of_run
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions

SKIPS = "model.networks.generator.w_hpf=1"


@pytest.fixture(scope="module")
def wing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return landmarks.save_wing(tmp_path_factory.mktemp("wing") / "wing.ckpt", landmarks.state())


def masks_from(path: Path) -> list[str]:
    return [SKIPS, f"+model.networks.masks={{name: landmark_masks, weights: {path}}}"]


@pytest.fixture(scope="module")
def calls() -> Iterator[list[tuple[int, bool]]]:
    """Put the brightness of the image in the place of all heat maps, which is quick, and note the calls.

    A note is the number of images, and whether gradients are recorded.
    """
    notes: list[tuple[int, bool]] = []

    def heat_maps(self: FaceLandmarks, x: Tensor) -> Tensor:
        notes.append((len(x), torch.is_grad_enabled()))
        assert not self.training
        brightness = F.interpolate(x.mean(dim=1, keepdim=True) * 0.5 + 0.5, size=64)
        return brightness.expand(-1, 98, -1, -1) * self.l0.weight.mean().sign()  # reads a weight of the file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceLandmarks, "heat_maps", heat_maps)
        yield notes


@pytest.fixture(scope="module")
def trained(calls: list, wing: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, bool]]]:
    """Return the folder of a run of two iterations with grids, and the calls of the landmark network."""
    folder = tmp_path_factory.mktemp("run") / "run"
    config = tiny(*masks_from(wing), "iterations=2", "checkpoint_every=2")
    calls.clear()
    assert training.train(config, folder) == 0
    return folder, list(calls)


# --- before training ------------------------------------------------------------------------------------------


def problems(*overrides: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load([*TINY, *overrides], scan=False)
    return str(raised.value)


def test_skips_without_masks_are_a_sentence() -> None:
    text = problems(SKIPS)
    assert "model.networks.generator.w_hpf: the high-pass skip connections need masks" in text
    assert "++model.networks.masks={name: landmark_masks, weights: wing.ckpt}" in text
    assert "face_oval" in text


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    text = problems(*masks_from(tmp_path / "wing.ckpt"))
    assert "model.networks.masks.weights: there is no such file; found" in text
    assert "Fix: get the file wing.ckpt of github.com/clovaai/stargan-v2" in text
    unnamed = problems(SKIPS, "+model.networks.masks={name: landmark_masks}")
    assert "model.networks.masks.weights: the network 'landmark_masks' needs a file of weights" in unnamed


def test_the_configuration_notes_the_digest(wing: Path) -> None:
    config = load([*TINY, *masks_from(wing)], scan=False)
    assert config.model.networks["masks"]["sha256"] == sha256_of(wing)


# --- training -------------------------------------------------------------------------------------------------


def test_masks_of_sources_are_computed_once_an_iteration(trained: tuple[Path, list[tuple[int, bool]]]) -> None:
    """Once for the sources of an iteration, once for the translations of each of the two cycles; no gradients."""
    _, calls = trained
    assert calls == [(4, False)] * 6


def test_sample_grids_compute_the_masks_of_sources_once(calls: list, wing: Path) -> None:
    model = build.build_model(tiny(*masks_from(wing)))
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    held_out = HeldOut(x, torch.tensor([0, 1, 0, 1]), torch.zeros(4, 0), None, np.arange(4), ("a", "b"))
    calls.clear()
    grids = model.sample_grids(held_out)
    assert set(grids) == {"cycle", "latent", "reference"}
    assert len(calls) == 2  # of the sources, and of their translations


def test_masks_of_a_batch_are_computed_once_for_all_its_translations(trained: tuple[Path, list], calls: list) -> None:
    """Of a loaded translator, and of a model in an evaluation; without gradients of images."""
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    translator = load_translator(trained[0])
    model = build.build_model(tiny(*masks_from(Path(translator.about.config["model"]["networks"]["masks"]["weights"]))))
    for translate in (translator.translate_batch, model.translate):
        calls.clear()
        translations = [translate(x, torch.tensor([0, 1]), code=torch.full((2, 4), n)) for n in (0.0, 1.0)]
        assert calls == [(2, False)]
        assert not translations[0].equal(translations[1])
        other = translate(-x, torch.tensor([0, 1]), code=torch.zeros(2, 4))
        assert calls == [(2, False)] * 2
        assert translate(x, torch.tensor([0, 1]), code=torch.zeros(2, 4)).equal(translations[0])
        assert not other.equal(translations[0])
    translator.translation.masks_of(x.requires_grad_())
    assert calls[-1] == (2, False)


def test_checkpoints_leave_the_landmark_network_out(trained: tuple[Path, list], calls: list) -> None:
    folder, _ = trained
    checkpoint = checkpoints.newest(folder)
    assert not any("masks" in name for name in checkpoint.tensors)
    assert checkpoint.config["model"]["networks"]["masks"]["sha256"]
    assert training.train(resumed(folder, ["iterations=3"]), folder, folder) == 0
    assert checkpoints.newest(folder).iteration == 3


def test_another_file_than_at_the_start_is_refused(trained: tuple[Path, list], wing: Path, tmp_path: Path) -> None:
    other = landmarks.save_wing(tmp_path / "wing.ckpt", {k: t + 1 for k, t in landmarks.state().items()})
    config = resumed(trained[0], [f"model.networks.masks.weights={other}", "iterations=9"])
    with pytest.raises(UserError, match=r"model\.networks\.masks\.sha256: .*another file"):
        training.train(config, trained[0], trained[0])


# --- use ------------------------------------------------------------------------------------------------------


def test_exported_weights_hold_the_landmark_network(trained: tuple[Path, list], calls: list, tmp_path: Path) -> None:
    """They translate as the run does, without the file of the landmark network."""
    exporting.export(trained[0], str(tmp_path / "faces.safetensors"))
    weights = format.read(tmp_path / "faces.safetensors")
    assert differences(weights.group("network", "masks"), landmarks.state()) == []
    assert "weights" not in weights.networks["masks"]
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    first, second = (
        load_translator(place).translate(x, [0, 1], seed=3) for place in (trained[0], tmp_path / "faces.safetensors")
    )
    assert first.equal(second)
    oval = of_run(trained[0])
    oval.networks["masks"] = {"name": "face_oval"}
    for name in [name for name in oval.tensors if ".masks." in name]:
        del oval.tensors[name]
    format.write(oval, tmp_path / "oval.safetensors")
    assert not load_translator(tmp_path / "oval.safetensors").translate(x, [0, 1], seed=3).equal(first)


def test_official_files_hold_all_that_the_official_program_loads(trained: tuple[Path, list], tmp_path: Path) -> None:
    exporting.export(trained[0], str(tmp_path / "official"), format="official", all_networks=True)
    for path in (tmp_path / "official").iterdir():
        content = torch.load(path, weights_only=True)
        assert differences(content["fan"], landmarks.state()) == []
        assert content["generator"]["hpf.filter"][1, 1] == 8
        assert any(key.endswith("conv1x1.weight") and "decode" in key for key in content["generator"])
    assert {path.name.partition("_")[2] for path in (tmp_path / "official").iterdir()} == {
        "nets.ckpt",
        "nets_ema.ckpt",
    }


# --- official files -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small file as that of CelebA-HQ: without the filter, with the landmark network."""
    content = {**stargan_v2(32, 1.0, 2, width=4, widest=16), "fan": landmarks.state()}
    return save(content, tmp_path_factory.mktemp("official") / "100000_nets_ema.ckpt")


def test_an_official_file_brings_its_landmark_network(official: Path, calls: list, tmp_path: Path) -> None:
    weights = detect.read([official], ImportOptions())
    assert weights.networks["masks"] == {"name": "landmark_masks"}
    assert differences(weights.inference_state("masks"), landmarks.state()) == []
    format.write(weights, tmp_path / "faces.safetensors")
    calls.clear()
    load_translator(tmp_path / "faces.safetensors").translate(torch.zeros(1, 3, 32, 32), "male", seed=1)
    assert calls == [(1, False)]
    (written,) = detect.write(format.read(tmp_path / "faces.safetensors"), tmp_path / "again")
    again, content = (torch.load(path, weights_only=True) for path in (written, official))
    assert differences(again, content) == ["generator/hpf.filter"]


def test_a_file_without_the_landmark_network_gets_ovals(tmp_path: Path) -> None:
    content = {name: state for name, state in stargan_v2(32, 1.0, 2, width=4, widest=16).items() if name != "fan"}
    weights = detect.read([save(content, tmp_path / "nets_ema.ckpt")], ImportOptions())
    assert weights.networks["masks"] == {"name": "face_oval"}


def test_an_incomplete_landmark_network_is_refused(tmp_path: Path) -> None:
    fan = {key: tensor for key, tensor in landmarks.state().items() if not key.startswith("m0.b3_2")}
    path = save({**stargan_v2(32, 1.0, 2, width=4, widest=16), "fan": fan}, tmp_path / "nets_ema.ckpt")
    with pytest.raises(UserError, match=r"fan lacks the tensor m0\.b3_2\.bn1\.weight"):
        detect.read([path], ImportOptions())


def test_an_imported_run_keeps_the_landmark_network_in_a_file(official: Path, calls: list, tmp_path: Path) -> None:
    weights = detect.read([official], ImportOptions())
    overrides = [*[word for word in TINY if word.startswith("data")], *RUN, "data.domains=[cat,rabbit]"]
    begun = importer.begin_run(weights, tmp_path / "run", overrides)
    assert set(begun.imported) == {"generator", "mapping", "style_encoder", "masks"}
    file = RunFolder(tmp_path / "run").pretrained("masks")
    assert differences(of_run(tmp_path / "run").inference_state("masks"), landmarks.state()) == []
    network = LandmarkMasks(str(file))
    assert training.train(resumed(tmp_path / "run", ["iterations=1"]), tmp_path / "run", tmp_path / "run") == 0
    assert network.weights == checkpoints.newest(tmp_path / "run").config["model"]["networks"]["masks"]["weights"]


def test_a_run_that_cannot_begin_leaves_no_file(official: Path, tmp_path: Path) -> None:
    weights = detect.read([official], ImportOptions())
    with pytest.raises(UserError):
        importer.begin_run(weights, tmp_path / "run", ["data=no_such_data"])
    assert not (tmp_path / "run").exists()
