"""Official files of ComboGAN: read by their numbers, translated with, and written again, tensor for tensor."""

from pathlib import Path

import numpy as np
import pytest
import torch

from numerics.test_combogan_golden import GOLDEN, OUTPUTS, SHARED, TAGS, batch_of, networks_of
from translate.errors import UserError
from translate.inference.translator import load
from translate.weights.load import weights_of
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions

State = dict[str, torch.Tensor]
OPTIONS = ImportOptions(image_size=64, domains=("alps", "beach", "city"))


def write(tag: str, folder: Path, epoch: int = 1150) -> Path:
    """Write the networks of a golden as the official code does."""
    networks = networks_of(tag)
    generators = list(networks["encoder"].children())
    generators += [networks["encoder_shared"]] if GOLDEN[tag]["shared_blocks"] else []
    generators += list(networks["decoder"].children())
    generators += [networks["decoder_shared"]] if GOLDEN[tag]["shared_blocks"] else []
    folder.mkdir()
    for number, network in enumerate(generators):
        torch.save(network.state_dict(), folder / f"{epoch}_net_G{number}.pth")
    for number, network in enumerate(networks["discriminator"].children()):
        torch.save(network.state_dict(), folder / f"{epoch}_net_D{number}.pth")
    return folder


@pytest.fixture(scope="module", params=TAGS)
def official(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, write(request.param, tmp_path_factory.mktemp("files") / "official")


def test_official_files_translate_as_the_official_code(official: tuple[str, Path]) -> None:
    tag, folder = official
    translator = load(folder, image_size=64, domains=["alps", "beach", "city"])
    assert translator.domains == ("alps", "beach", "city")
    first, second = GOLDEN[tag]["pairs"][0]
    x = batch_of(tag, 0).a.float()
    y = translator.translate(x, target=second, source=first).numpy()
    assert np.abs(y - OUTPUTS[tag]["fake_B"]).max() < 2e-5


def test_imported_and_exported_files_are_equal(official: tuple[str, Path], tmp_path: Path) -> None:
    tag, folder = official
    weights = weights_of(folder, options=OPTIONS)
    assert ("encoder_shared" in weights.networks) == bool(GOLDEN[tag]["shared_blocks"])
    assert weights.networks["discriminator"]["num_layers"] == GOLDEN[tag]["d_layers"]
    written = detect.write(weights, tmp_path)
    assert {path.name.replace("latest", "1150") for path in written} == {path.name for path in folder.iterdir()}
    for path in written:
        own, wanted = (torch.load(each) for each in (path, folder / path.name.replace("latest", "1150")))
        assert own.keys() == wanted.keys()
        assert all(tensor.equal(wanted[key]) for key, tensor in own.items()), path.name


def test_running_statistics_of_old_files_are_kept(tmp_path: Path) -> None:
    folder = write("combogan_3x64", tmp_path / "old")
    path = folder / "1150_net_G1.pth"
    torch.save({**torch.load(path), "model.2.running_mean": torch.ones(8)}, path)
    written = detect.write(weights_of(folder, options=OPTIONS), tmp_path / "new")
    assert torch.load(next(each for each in written if each.name.endswith("G1.pth")))["model.2.running_mean"].sum() == 8


def test_the_newest_epoch_of_a_folder_is_read(tmp_path: Path) -> None:
    folder = write("combogan_3x64", tmp_path / "two")
    for path in list(folder.iterdir()):
        state = {key: tensor + 1 for key, tensor in torch.load(path).items()}
        torch.save(state, folder / path.name.replace("1150", "1200"))
    bias = weights_of(folder, options=OPTIONS).tensors["network.decoder.2.model.10.bias"]
    assert bias.equal(weights_of(folder, 1150, OPTIONS).tensors["network.decoder.2.model.10.bias"] + 1)


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write("combogan_3x64", tmp_path / "broken")
    (folder / "1150_net_G2.pth").unlink()
    with pytest.raises(UserError, match="files of networks are missing; found G0, G1, G3, G4, G5"):
        weights_of(folder, options=OPTIONS)
    (folder / "1150_net_G5.pth").rename(folder / "1150_net_G2.pth")
    with pytest.raises(UserError, match="found encoder, encoder, decoder, decoder, decoder"):
        weights_of(folder, options=OPTIONS)
    with pytest.raises(UserError, match="domains: found 2 names, expected 3"):
        weights_of(write("combogan_3x64", tmp_path / "whole"), options=ImportOptions(domains=("a", "b")))


def test_shared_parts_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    weights = weights_of(write("combogan_shared64", tmp_path / "shared"), options=OPTIONS)
    networks = networks_of("combogan_shared64")
    for role in SHARED:
        for key, tensor in networks[role].state_dict().items():
            assert weights.tensors[f"network.{role}.{key}"].equal(tensor)
