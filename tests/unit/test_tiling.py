"""Images of any size through networks of a fixed size or a multiple; tiles join without a seam."""

import numpy as np
import pytest

from translate.inference import tiling
from translate.inference.sizes import SizeRule


def image(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def local(x: np.ndarray) -> np.ndarray:
    """Return a translation whose pixels depend on neighbours up to 8 pixels away, like a convolution."""
    result = np.zeros_like(x)
    padded = np.pad(x, ((0, 0), (8, 8), (8, 8)), mode="reflect")
    for shift in range(0, 17, 4):
        result += padded[:, shift : shift + x.shape[1], shift : shift + x.shape[2]] / 5
    return result


@pytest.mark.parametrize(("height", "width"), [(16, 24), (17, 23), (1, 5), (40, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_sees_multiples_and_the_size_comes_back(height: int, width: int, channels: int) -> None:
    seen = []

    def run(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape)
        return x

    pixels = image(height, width, channels)
    result = tiling.whole(run, pixels, SizeRule(8, 16))
    assert np.array_equal(result, np.broadcast_to(pixels, (height, width, 3)))
    ((_, rows, columns),) = seen
    assert rows % 8 == columns % 8 == 0
    assert min(rows, columns) >= 16


@pytest.mark.parametrize(
    ("height", "width", "max_pixels"), [(500, 700, 300 * 300), (1000, 130, 40_000), (333, 901, 77_777)]
)
def test_tiles_of_a_local_network_equal_the_whole(height: int, width: int, max_pixels: int) -> None:
    shapes = []

    def run(x: np.ndarray) -> np.ndarray:
        shapes.append(x.shape)
        return local(x)

    pixels, rule = image(height, width), SizeRule(4)
    whole = tiling.whole(local, pixels, rule, 10**9, deep=True)
    tiled = tiling.whole(run, pixels, rule, max_pixels, deep=True)
    assert len(shapes) > 1
    assert max(h * w for _, h, w in shapes) <= max_pixels
    assert all(h % 4 == w % 4 == 0 for _, h, w in shapes)
    difference = np.abs(whole - tiled)
    assert difference.max() < 8  # where the blending still takes a pixel at a tile's border, at a small weight
    assert difference.mean() < 0.1


def test_blending_is_smooth_where_tiles_differ() -> None:
    """Two tiles of other brightness: no step between neighbouring pixels exceeds that of the ramp."""
    levels = iter(np.linspace(-0.5, 0.5, 50))

    def run(x: np.ndarray) -> np.ndarray:
        return np.full_like(x, next(levels))

    result = tiling.whole(run, np.zeros((200, 900, 3), np.uint8), SizeRule(4), 250 * 250, deep=True)
    steps = np.abs(np.diff(result, axis=1)).max()
    assert len(np.unique(result.round(3))) > 50
    assert steps < 3 * 127.5 / 49 / 100


@pytest.mark.parametrize("length", [257, 300, 512, 1000, 4099])
@pytest.mark.parametrize("side", [64, 128, 256])
def test_weights_of_tiles_add_up_to_one(length: int, side: int) -> None:
    rule = SizeRule(1)
    starts = tiling._starts(length, side, rule)
    assert starts[0] == 0
    assert starts[-1] + side == length
    total = np.zeros(length)
    for start, weight in zip(starts, tiling._weights(starts, side), strict=True):
        assert (weight >= 0).all()
        total[start : start + side] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_resizing_leads_back() -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 90)[None, :, None], (60, 90, 3)).astype(np.uint8)
    small = tiling.reduced(smooth, 32)
    assert small.shape == (32, 32, 3)
    large = tiling.enlarged(small.astype(np.float32), 60, 90)
    assert large.shape == (60, 90, 3)
    assert np.abs(large - smooth).mean() < 3
    assert tiling.reduced(image(32, 32), 32).shape == (32, 32, 3)


def test_values_lead_back() -> None:
    pixels = image(5, 7)
    assert np.array_equal(tiling.to_pixels(tiling.to_input(pixels)), pixels)
    assert tiling.to_input(image(5, 7, 1)).shape == (3, 5, 7)
    assert tiling.to_pixels(np.full((3, 1, 1), 7.0, np.float32)).max() == 255
