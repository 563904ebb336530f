"""The landmark network has the official layout; masks and landmarks of heat maps are those of the official code."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from numerics import landmarks as plain
from numerics.formula import image
from translate.errors import UserError
from translate.files.writing import sha256_of
from translate.networks.wing import LandmarkMasks, coordinates, masks, positions
from translate.weights import pretrained


@pytest.fixture(scope="module")
def wing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file in the layout of wing.ckpt."""
    return plain.save_wing(tmp_path_factory.mktemp("wing") / "wing.ckpt", plain.state())


@pytest.fixture(scope="module")
def network(wing: Path) -> LandmarkMasks:
    """Return the network with the weights of the file."""
    network = LandmarkMasks(str(wing))
    pretrained.load(network)
    return network


# --- the network ----------------------------------------------------------------------------------------------


def test_the_layout_is_that_of_the_released_file() -> None:
    with torch.device("meta"):
        network = LandmarkMasks()
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == plain.layout()
    assert len(network.state_dict()) == plain.NUM_TENSORS
    assert sum(p.numel() for p in network.parameters()) == plain.NUM_PARAMETERS


def test_heat_maps_are_those_of_the_plain_network(network: LandmarkMasks) -> None:
    """Once through the network, at another size than its own."""
    x = image("wing", "x", 0, 1, 128).requires_grad_()
    found = network.heat_maps(x)
    assert found.shape == (1, 98, 64, 64)
    assert not found.requires_grad
    resized = F.interpolate(x.detach() * 0.5 + 0.5, size=256, mode="bilinear")
    wanted = plain.heat_maps(plain.state(), resized)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


def test_the_network_stays_frozen_and_in_eval_mode(network: LandmarkMasks) -> None:
    assert network.train() is network
    assert not any(module.training for module in network.modules())
    assert not any(p.requires_grad for p in network.parameters())


def test_construction_draws_nothing() -> None:
    """The networks after it are initialized as without it."""
    torch.manual_seed(0)
    LandmarkMasks()
    first = torch.rand(3)
    torch.manual_seed(0)
    assert first.equal(torch.rand(3))


def test_coordinates_are_row_column_and_distance() -> None:
    found = coordinates(3, 5)[0]
    assert found[:, 0, 0].tolist() == [-1, -1, 1]
    assert found[:, 2, 4].tolist() == [1, 1, 1]
    assert found[:, 1, 2].tolist() == [0, 0, 0]
    torch.testing.assert_close(found[:, 0, 2], torch.tensor([-1.0, 0.0, 0.5**0.5]))


# --- masks ----------------------------------------------------------------------------------------------------


def heat_map(*peaks: tuple[int, int, int, float], noise: float = 0.0) -> Tensor:
    """Return heat maps (1, 98, 64, 64) with a Gaussian at (landmark, row, column) of a height, and noise."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    maps = torch.randn(1, 98, 64, 64, generator=torch.Generator().manual_seed(5)) * noise
    for landmark, row, column, height in peaks:
        maps[0, landmark] += height * torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8)
    return maps


def face(noise: float = 0.0) -> Tensor:
    """Return heat maps with a peak for every landmark, at places that differ."""
    return heat_map(*((k, 8 + (k * 7) % 48, 6 + (k * 11) % 50, 0.5 + k / 200) for k in range(98)), noise=noise)


def plain_masks(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both masks of heat maps (98, 256, 256), landmark by landmark, from the steps of the official code.

    Values below 0.1 become 0; each map is scaled to [0, 1]; parts are shifted down (negative: up) and wrap
    around the border, then raised to a power; landmarks outside the parts are dropped.
    """
    maps = np.where(maps < 0.1, 0, maps)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    maps = (maps - low) / (high - low + 1e-6)
    coarse, fine = np.zeros((256, 256)), np.zeros((256, 256))
    for k, h in enumerate(maps):
        if k < 8 or 25 <= k <= 33 or k in (46, 76, 82):
            continue
        if k < 25:
            part = h**3
        elif k < 51:
            part = np.roll(h, 7, axis=0) ** 2
        elif k == 51 or k >= 96:
            part = h
        elif k < 55:
            part = np.roll(h, -4, axis=0)
        elif k < 60:
            part = np.roll(h, -8, axis=0) ** 4
        elif k < 76:
            part = np.roll(h, 8, axis=0) ** 3 + np.roll(h, 24, axis=0)
        elif k < 82:
            part = np.roll(h, 8, axis=0) ** 4
        elif k < 88:
            part = np.roll(h, -8, axis=0) ** 4
        else:
            part = np.roll(h, 2, axis=0) ** 3
        coarse += part
        if 51 <= k < 76 or k >= 96:
            fine += part
    return coarse.clip(0, 1), fine.clip(0, 1)


@pytest.mark.parametrize("noise", [0.0, 0.08])
def test_masks_equal_a_plain_computation(noise: float) -> None:
    maps = face(noise)
    enlarged = F.interpolate(maps, size=256, mode="bilinear", align_corners=True)[0].double().numpy()
    for found, wanted in zip(masks(maps), plain_masks(enlarged), strict=True):
        assert found.shape == (1, 1, 256, 256)
        assert found.min() >= 0
        assert found.max() <= 1
        assert 0.001 < found.mean() < 0.9  # neither empty nor full
        np.testing.assert_allclose(found[0, 0].numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("landmark", "shifts", "fine"),
    [(16, [0], False), (40, [7], False), (51, [0], True), (53, [-4], True), (57, [-8], True), (64, [8, 24], True),
     (79, [8], False), (85, [-8], False), (92, [2], False), (96, [0], True)],
)  # fmt: skip
def test_a_landmark_marks_its_part(landmark: int, shifts: list[int], fine: bool) -> None:
    coarse, second = masks(heat_map((landmark, 32, 20, 1.0)))
    rows = coarse[0, 0].amax(dim=1)
    centre = 32 * 255 / 63
    for shift in shifts:
        assert rows[round(centre + shift)] > 0.9
    assert coarse[0, 0].amax(dim=0).argmax().item() == pytest.approx(20 * 255 / 63, abs=3)  # saturated
    assert bool(second.max() > 0.9) == fine


@pytest.mark.parametrize("landmark", [0, 7, 25, 33, 46, 76, 82])
def test_other_landmarks_leave_no_mark(landmark: int) -> None:
    assert all(mask.max() == 0 for mask in masks(heat_map((landmark, 32, 20, 1.0))))


def test_noise_and_values_that_are_not_numbers_give_no_mask() -> None:
    assert all(mask.max() == 0 for mask in masks(heat_map((51, 32, 20, 0.09))))
    assert all(mask.max() == 0 for mask in masks(torch.full((1, 98, 64, 64), torch.nan)))


# --- landmarks ------------------------------------------------------------------------------------------------


def test_positions_are_peaks_moved_by_a_quarter() -> None:
    maps = torch.zeros(1, 3, 64, 64)
    maps[0, 0, 10, 20], maps[0, 0, 10, 21], maps[0, 0, 9, 20] = 1.0, 0.5, 0.5  # to the right and up
    maps[0, 1, 0, 20], maps[0, 1, 0, 21] = 1.0, 0.5  # at the border: not moved
    maps[0, 2, 63, 63] = 1.0
    assert positions(maps)[0].tolist() == [[20.75, 10.25], [20.5, 0.5], [63.5, 63.5]]


def test_landmarks_are_in_pixels_of_the_image(network: LandmarkMasks, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = heat_map((60, 10, 40, 1.0))
    monkeypatch.setattr(network, "heat_maps", lambda x: maps)
    assert network.landmarks(torch.zeros(1, 3, 512, 256))[0, 60].tolist() == [40.5 * 4, 10.5 * 8]


# --- the file -------------------------------------------------------------------------------------------------


def test_a_file_is_checked_by_its_digest(wing: Path) -> None:
    pretrained.load(LandmarkMasks(str(wing), sha256_of(wing)))
    with pytest.raises(UserError, match=r"sha256: .*another file .*; found '[0-9a-f]{64}', expected abc"):
        pretrained.load(LandmarkMasks(str(wing), "abc"))


def test_other_files_with_the_network(tmp_path: Path) -> None:
    """An official file of StarGAN v2, a bare state dict behind a wrapper, more stacks, and one of an old PyTorch."""
    tensors = plain.state()
    files = {
        "a.ckpt": {"generator": {"a": torch.ones(1)}, "fan": tensors},
        "b.ckpt": {f"module.{key}": tensor for key, tensor in tensors.items()},
        "c.ckpt": {"state_dict": {**tensors, "m1.coordconv.conv.weight": torch.ones(2)}},
        "d.ckpt": {"state_dict": {k: t for k, t in tensors.items() if not k.endswith("num_batches_tracked")}},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
        network = LandmarkMasks(str(tmp_path / name))
        pretrained.load(network)
        assert network.l0.weight.equal(tensors["l0.weight"])
        assert network.m0.b2_plus_1.bn3.running_var.equal(tensors["m0.b2_plus_1.bn3.running_var"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"conv1.conv.weight": torch.zeros(64, 6, 7, 7)}}, "the file lacks the tensor conv1.conv.bias"),
        ({"state_dict": {"conv1.conv.weight": torch.zeros(64, 3, 7, 7)}}, r"found shape \(64, 3, 7, 7\), expected"),
        ({"epoch": 3}, "expected the tensors of a network by name"),
    ],
)
def test_other_content_is_refused(content: dict, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "wing.ckpt")
    with pytest.raises(UserError, match=message):
        pretrained.load(LandmarkMasks(str(tmp_path / "wing.ckpt")))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weights: this network needs a file of weights"):
        pretrained.load(LandmarkMasks())
    with pytest.raises(UserError, match="weights: there is no such file; found"):
        pretrained.load(LandmarkMasks(str(tmp_path / "wing.ckpt")))
