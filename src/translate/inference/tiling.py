"""Translate an image of any size: resized to the size of training and back, or whole, in tiles if it is large.

Pixels are (H, W, 1) or (H, W, 3), uint8, or float32 from 0 to 255. Networks take float32 (3, H, W) in [-1, 1].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from PIL import Image

from translate.inference.sizes import SizeRule
from translate.sizes import ImageSize, SizeLike

Run = Callable[[np.ndarray], np.ndarray]
"""Translate one image (3, H, W)."""

OVERLAP = 128
"""Pixels that neighbouring tiles share, where one is blended into the other."""

MAX_PIXELS = 1_000_000
"""The largest translation, in pixels, that the networks make at once; larger ones are tiled."""


# --- values -------------------------------------------------------------------------------------------------


def to_input(pixels: np.ndarray) -> np.ndarray:
    """Return pixels as networks take them, (3, H, W)."""
    x = pixels.astype(np.float32)
    x /= 127.5
    x -= 1
    return np.ascontiguousarray(np.broadcast_to(x.transpose(2, 0, 1), (3, *pixels.shape[:2])))


def to_pixels(x: np.ndarray, deep: bool = False) -> np.ndarray:
    """Return the pixels (H, W, 3) of an image (3, H, W): uint8, or with ``deep`` float32 from 0 to 255."""
    pixels = (x.transpose(1, 2, 0).clip(-1, 1) + np.float32(1)) * np.float32(127.5)
    return pixels if deep else np.rint(pixels).astype(np.uint8)


# --- resizing -----------------------------------------------------------------------------------------------


def reduced(pixels: np.ndarray, size: SizeLike) -> np.ndarray:
    """Return pixels squeezed to a size, (height, width, C), by the filter of training: bilinear, antialiased."""
    return _resized(pixels, *ImageSize.of(size), Image.Resampling.BILINEAR)


def enlarged(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return pixels float32 stretched to (height, width, C), by the bicubic filter."""
    return _resized(pixels, height, width, Image.Resampling.BICUBIC)


def _resized(pixels: np.ndarray, height: int, width: int, resample: Image.Resampling) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return np.asarray(image.resize((width, height), resample)).reshape(height, width, -1)
    result = np.empty((height, width, pixels.shape[2]), np.float32)
    for channel in range(pixels.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(pixels[:, :, channel]))
        result[:, :, channel] = np.asarray(plane.resize((width, height), resample))
    return result


# --- whole images -------------------------------------------------------------------------------------------


def whole(
    run: Run,
    pixels: np.ndarray,
    rule: SizeRule,
    max_pixels: int = MAX_PIXELS,
    deep: bool = False,
    scale: int = 1,
) -> np.ndarray:
    """Return the translation (s H, s W, 3) of an image (H, W, C) at its own size, see `to_pixels`.

    ``scale`` is s, by how much translations are larger than their sources: 1 but for super-resolution.

    The image is continued by reflection to a height and width of the ``rule``, and the translation is cropped. An image
    whose translation has more than ``max_pixels`` is translated in tiles that overlap and are blended.
    """
    height, width = pixels.shape[:2]
    rows, columns = (_reflected(side, rule.up(side)) for side in (height, width))
    max_pixels //= scale**2
    if len(rows) * len(columns) <= max_pixels:
        x = to_input(pixels[np.ix_(rows, columns)] if (len(rows), len(columns)) != (height, width) else pixels)
        return to_pixels(run(x)[:, : scale * height, : scale * width], deep)
    result = np.empty((scale * height, scale * width, 3), np.float32 if deep else np.uint8)
    for top, band in _bands(run, pixels, Tiles.of(rows, columns, rule, max_pixels), scale):
        part = result[top : top + band.shape[1]]
        part[:] = to_pixels(band[:, : len(part), : scale * width], deep)
    return result


def _reflected(side: int, padded: int) -> np.ndarray:
    """Return the numbers of the rows or columns of an image that is continued by reflection."""
    return np.pad(np.arange(side), (0, padded - side), mode="reflect")


@dataclass(frozen=True)
class Tiles:
    """Tiles of ``side`` pixels that cover a padded image; each has a weight for every row and column of its own.

    The weights of all tiles at a pixel add up to 1.
    """

    rows: np.ndarray  # of the image, continued by reflection
    columns: np.ndarray
    tops: list[int]
    lefts: list[int]
    height: int
    width: int

    @staticmethod
    def of(rows: np.ndarray, columns: np.ndarray, rule: SizeRule, max_pixels: int) -> "Tiles":
        """Return tiles of at most ``max_pixels``, but at least of the smallest size that the rule allows."""
        side = max(rule.up(1), int(max_pixels**0.5) // rule.multiple * rule.multiple)
        height = min(len(rows), side)
        width = min(len(columns), max(side, max_pixels // height // rule.multiple * rule.multiple))
        return Tiles(rows, columns, _starts(len(rows), height, rule), _starts(len(columns), width, rule), height, width)

    def row_weights(self, scale: int = 1) -> list[np.ndarray]:
        """Return the weights (scale * height,) of each row of tiles in a translation."""
        return _weights([scale * top for top in self.tops], scale * self.height)

    def column_weights(self, scale: int = 1) -> list[np.ndarray]:
        """Return the weights (scale * width,) of each column of tiles in a translation."""
        return _weights([scale * left for left in self.lefts], scale * self.width)


def _starts(length: int, side: int, rule: SizeRule) -> list[int]:
    """Return where tiles of a side begin, at multiples of the rule, spread evenly; neighbours overlap."""
    if side >= length:
        return [0]
    overlap = min(OVERLAP, side // 2) // rule.multiple * rule.multiple
    count = ceil((length - overlap) / max(side - overlap, rule.multiple))
    return [round((length - side) * number / (count - 1) / rule.multiple) * rule.multiple for number in range(count)]


def _weights(starts: list[int], side: int) -> list[np.ndarray]:
    """Return the weight of each position of each tile: a ramp over the overlap with each neighbour, else 1."""
    weights = []
    for number, start in enumerate(starts):
        weight = np.ones(side, np.float32)
        if number > 0:
            weight = np.minimum(weight, _ramp(starts[number - 1] + side - start, side))
        if number + 1 < len(starts):
            weight = np.minimum(weight, _ramp(start + side - starts[number + 1], side)[::-1])
        weights.append(weight)
    total = np.zeros(starts[-1] + side, np.float32)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + side] += weight
    return [weight / total[start : start + side] for start, weight in zip(starts, weights, strict=True)]


def _ramp(overlap: int, side: int) -> np.ndarray:
    """Return weights that grow linearly over the first ``overlap`` positions, and never are 0."""
    return np.minimum((np.arange(side, dtype=np.float32) + 0.5) / max(overlap, 1), 1)


def _bands(run: Run, pixels: np.ndarray, tiles: Tiles, scale: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield finished bands (3, h, s W) of the translation and the row where each begins, from the top down."""
    length = scale * len(tiles.columns)
    pending = np.zeros((3, 0, length), np.float32)
    begin = 0  # the row of the translation at which `pending` begins
    for top, row_weight in zip(tiles.tops, tiles.row_weights(scale), strict=True):
        if scale * top > begin:
            yield begin, pending[:, : scale * top - begin]
            pending = pending[:, scale * top - begin :]
            begin = scale * top
        band = np.zeros((3, scale * tiles.height, length), np.float32)
        rows = tiles.rows[top : top + tiles.height]
        for left, column_weight in zip(tiles.lefts, tiles.column_weights(scale), strict=True):
            columns = tiles.columns[left : left + tiles.width]
            translation = run(to_input(pixels[np.ix_(rows, columns)]))
            band[:, :, scale * left : scale * (left + tiles.width)] += translation * column_weight
        band *= row_weight[:, None]
        band[:, : pending.shape[1]] += pending
        pending = band
    yield begin, pending
