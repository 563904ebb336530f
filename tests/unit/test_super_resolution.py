"""Super-resolution: the filter, crops at whole pixels, results larger than sources, and the scores of luma."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.tiny import tiny_srresnet
from translate.data.batches import RawImages
from translate.data.datasets.high_resolution import HighResolution
from translate.data.images import ImageError
from translate.data.transforms import crop_turn, stored_sizes
from translate.errors import ConfigError, UserError
from translate.evaluation.whole_images import low_and_true
from translate.inference import image_files, tiling
from translate.inference.graph_header import GraphHeader, parse
from translate.inference.grids import Grid
from translate.inference.sizes import SizeRule
from translate.metrics.super_resolution import PsnrY, SsimY
from translate.networks.layers.bicubic import enlarge, reduce

DRAWS = np.random.default_rng(0)


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return smooth pixels (height, width, 3) uint8 with some noise."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        128 + 80 * np.sin(x / (3 + k)) * np.cos(y / (5 - k)) + draws.normal(0, 8, (height, width)) for k in range(3)
    ]
    return np.stack(waves, axis=2).clip(0, 255).astype(np.uint8)


# --- the filter ---------------------------------------------------------------------------------------------


def kernel(t: np.ndarray) -> np.ndarray:
    """Return Keys's filter with a = -0.5."""
    t = np.abs(t)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t <= 2, far, 0))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_reduction_is_the_stretched_filter_away_from_the_border(scale: int) -> None:
    line = DRAWS.normal(size=16 * scale)
    found = reduce(torch.from_numpy(line)[None, None, None].expand(1, 1, scale, -1), scale)[0, 0, 0].numpy()
    for place in range(2, 14):
        weights = kernel((np.arange(len(line)) + 0.5) / scale - (place + 0.5))
        assert found[place] == pytest.approx(line @ weights / weights.sum(), abs=1e-12)


def test_enlargement_is_the_filter_and_keeps_a_constant() -> None:
    line = DRAWS.normal(size=12)
    found = enlarge(torch.from_numpy(line)[None, None, None].expand(1, 1, 4, -1), 4)[0, 0, 6].numpy()
    for place in range(8, 40):
        weights = kernel((np.arange(12) + 0.5) - (place + 0.5) / 4)
        assert found[place] == pytest.approx(line @ weights, abs=1e-12)
    assert torch.allclose(enlarge(torch.full((1, 1, 3, 3), 0.3), 2), torch.full((1, 1, 6, 6), 0.3))


# --- data ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, sides in enumerate(((40, 60), (52, 48))):
        (tmp_path / "train").mkdir(exist_ok=True)
        Image.fromarray(photograph(*sides, seed=number)).save(tmp_path / "train" / f"{number}.png")
    (tmp_path / "val").mkdir()
    Image.fromarray(photograph(41, 57, seed=9)).save(tmp_path / "val" / "a.png")
    return tmp_path


def test_windows_are_pixels_of_the_file_from_corner_to_corner(folder: Path) -> None:
    data = HighResolution(str(folder / "train"), str(folder / "val"), tiles=3, split="train")
    first = photograph(40, 60)
    assert len(data) == 18
    assert np.array_equal(data.read(0, 16), first[:16, :16])
    assert np.array_equal(data.read(8, 16), first[24:, 44:])
    assert np.array_equal(data.read_many([4], [16, 8])[0], first[12:28, 26:34])
    assert "window 5 of 9" in data.describe(4)
    assert data.domains == ()
    other = HighResolution(str(folder / "train"), str(folder / "val"), tiles=2, split="train")
    assert other.fingerprint() != data.fingerprint()
    with pytest.raises(ImageError, match="smaller than a window of 64 pixels"):
        data.read(0, 64)


def test_validation_images_are_whole_or_cut_in_the_middle(folder: Path) -> None:
    data = HighResolution(str(folder / "train"), str(folder / "val"), split="val")
    whole = photograph(41, 57, seed=9)
    assert len(data) == 1
    assert np.array_equal(data.read(0, 21), whole[10:31, 18:39])
    assert np.array_equal(data.read_whole(0, 16), whole)
    held_out = [
        HighResolution(str(folder / "train"), val_fraction=0.5, split=split).names for split in ("train", "val")
    ]
    assert sorted({*held_out[0], *held_out[1]}) == ["0.png", "1.png"]
    assert not {*held_out[0]} & {*held_out[1]}


def test_mistakes_are_named(folder: Path) -> None:
    for arguments, key in (
        ({"domains": ["a"]}, "domains"),
        ({"tiles": 0}, "tiles"),
        ({"val_fraction": 2.0}, "val_fraction"),
    ):
        with pytest.raises(UserError, match=key):
            HighResolution(str(folder / "train"), split="train", **arguments)  # type: ignore[arg-type]
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="val_root: found no image"):
        HighResolution(str(folder / "train"), str(folder / "empty"), split="val")


def test_crops_are_turned_in_all_eight_ways() -> None:
    pixels = torch.from_numpy(photograph(16, 16))[None]
    (stored,) = stored_sizes("crop_turn", 8)
    assert stored == (16, 16)
    seen = set()
    for number in range(8):
        uniform = torch.full((1, 6), (number + 0.5) / 8)
        uniform[0, 3:5] = torch.tensor([0.3, 0.7])  # left 2, top 6
        crop = crop_turn(RawImages(pixels, uniform), 8)[0]
        plain = pixels[0, 6:14, 2:10].permute(2, 0, 1).float() / 127.5 - 1
        ways = [w for k in range(4) for w in (plain.rot90(k, (1, 2)), plain.flip(2).rot90(k, (1, 2)))]
        (way,) = (k for k, each in enumerate(ways) if torch.allclose(each, crop, atol=1e-6))
        seen.add(way)
    assert seen == set(range(8))
    wide = crop_turn(RawImages(pixels, torch.rand(1, 6)), [8, 4])
    assert wide.shape == (1, 3, 8, 4)


# --- results larger than sources ----------------------------------------------------------------------------


def tripled(x: np.ndarray) -> np.ndarray:
    return x.repeat(3, axis=1).repeat(3, axis=2)


@pytest.mark.parametrize("max_pixels", [10**6, 9 * 3000])
def test_tiles_of_an_enlarged_image_make_the_whole(max_pixels: int) -> None:
    pixels = photograph(70, 90)
    calls = []

    def run(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return tripled(x)

    found = tiling.whole(run, pixels, SizeRule(), max_pixels, scale=3)
    assert np.array_equal(found, pixels.repeat(3, axis=0).repeat(3, axis=1))
    assert (len(calls) > 1) == (max_pixels < 10**6)
    assert all(height * width * 9 <= max_pixels for _, height, width in calls)


def test_transparency_is_enlarged_and_a_grid_shows_small_sources_with_large_pixels() -> None:
    pixels = np.dstack([photograph(6, 8), np.full((6, 8), 255, np.uint8)])
    pixels[0, 0, 3] = 0
    file = image_files.of_image(Image.fromarray(pixels, "RGBA"))
    larger = image_files.enlarged(file, 4)
    assert larger.alpha is not None
    assert larger.alpha.shape == (24, 32)
    assert larger.alpha[0, 0] < 10
    assert larger.alpha[-1, -1] == 255
    low, high = torch.rand(3, 4, 4) * 2 - 1, torch.rand(3, 8, 8) * 2 - 1
    shown = Grid([[low], [high]]).arranged()
    assert shown[:, :8].equal(low.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert shown[:, -8:].equal(high)


def test_graphs_of_earlier_versions_have_results_of_the_size_of_their_sources() -> None:
    header = GraphHeader(
        *("generator", True, "cyclegan", ("image",), ("translation",), 32, "none", 4, 4, ("a", "b"), (), 0),
        *(None, 1, 3, None, "0", "1", 4),
    )
    metadata = header.metadata()
    assert parse(metadata, "x.onnx").scale == 4
    del metadata["scale"]
    assert parse(metadata, "x.onnx").scale == 1


# --- evaluation ---------------------------------------------------------------------------------------------


def test_scores_of_luma_equal_their_formula() -> None:
    one, other = photograph(40, 50), photograph(40, 50, seed=1)
    y = [(p.astype(np.float64) @ [65.481, 128.553, 24.966] / 255 + 16)[3:-3, 3:-3] for p in (one, other)]
    wanted = 10 * np.log10(255**2 / ((y[0] - y[1]) ** 2).mean())
    images, targets = (torch.from_numpy(p).permute(2, 0, 1)[None].float() for p in (one, other))
    assert PsnrY(border=3).read(images, targets).item() == pytest.approx(wanted, rel=1e-6)
    assert PsnrY().read(images, images).item() == 100
    assert SsimY().read(images, images).item() == pytest.approx(1)
    changed = images.clone()
    changed[:, :, :4] = 0  # within the border
    assert PsnrY(border=4).read(changed, targets).equal(PsnrY(border=4).read(images, targets))
    with pytest.raises(UserError, match="found 40 x 50 pixels, expected at least 51 a side"):
        PsnrY(border=20).read(images, targets)


def test_images_are_reduced_to_eight_bits_from_multiples_of_the_scale() -> None:
    pixels = photograph(43, 50)
    low, true = low_and_true(pixels, 4)
    assert np.array_equal(true, pixels[:40, :48])
    assert low.shape == (10, 12, 3)
    assert low.dtype == np.uint8
    exact = reduce(torch.from_numpy(true.astype(np.float64)).permute(2, 0, 1)[None], 4)[0].permute(1, 2, 0).numpy()
    assert np.abs(low - exact.clip(0, 255)).max() <= 0.51


def test_metrics_and_sizes_that_do_not_suit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"metrics\.local: the model 'srresnet' is not evaluated by this metric"):
        tiny_srresnet("metrics=local")
    with pytest.raises(ConfigError, match=r"data\.image_size: found 30, expected multiples of 4"):
        tiny_srresnet("data.image_size=30")
