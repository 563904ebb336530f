"""Read all bits of colour images with 16 bits a channel, of which Pillow keeps the high bytes.

Pillow's decoders unpack either byte of a sample: big-endian samples that are read as little-endian ones give their low
bytes. So a file is decoded twice, by the same code in C, whatever its filters and compression are.
"""

import io
import sys
from typing import Any

import numpy as np
from PIL import Image

from translate.data.images import formats, upright

OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The byte order that takes the other byte of a sample, by the order in which a file is read."""

GREY_AND_ALPHA = "LA;16B"
"""How Pillow reads grey with transparency of 16 bits: the high bytes alone, in a mode of four channels."""

FOUR_BYTES = "RGBA"
"""How all four bytes of a pixel of grey with transparency are read."""


BANDS = "RGBA"
"""How Pillow reads channels in separate planes, as if they had 8 bits."""


def samples(content: bytes) -> np.ndarray | None:
    """Return the upright samples (H, W, C) uint16 of a PNG or TIFF file of 16 bits a channel.

    C is 2 for grey with transparency, 3 for RGB and 4 for RGBA. None for files whose low bytes cannot be read, such as
    compressed channels in separate planes, and for other files.
    """
    if (high := _decoded(content, swapped=False)) is None:
        return None
    if high[1] == GREY_AND_ALPHA:  # the bytes of a pixel are those of grey, then those of alpha
        pairs = np.asarray(high[0]).astype(np.uint16)
        return np.stack([pairs[:, :, 0] << 8 | pairs[:, :, 1], pairs[:, :, 2] << 8 | pairs[:, :, 3]], axis=2)
    low = _decoded(content, swapped=True)
    assert low is not None, "a file that could be decoded once"
    return np.asarray(high[0]).astype(np.uint16) << 8 | np.asarray(low[0])


def key_colour(image: Image.Image) -> tuple[int, ...] | None:
    """Return the colour (3 numbers of 16 bits) that is transparent in an RGB image of 16 bits; None without one."""
    key = image.info.get("transparency")
    return key if image.mode == "RGB" and isinstance(key, tuple) and len(key) == 3 else None


def _decoded(content: bytes, swapped: bool) -> tuple[Image.Image, str] | None:
    """Return the upright image of the high bytes, or with ``swapped`` of the low ones, and how the file is read."""
    with Image.open(io.BytesIO(content), formats=formats()) as image:
        tiles: list[Any] = list(image.tile)
        rawmodes = [_rawmode(tile) for tile in tiles]
        if getattr(image, "_planar_configuration", 1) != 1:
            order = "L" if content[:1] == b"I" else "B"
            replacements = [f"{rawmode};16{OTHER_ORDER[order] if swapped else order}" for rawmode in rawmodes]
            if not set(rawmodes) <= set(BANDS):  # compressed planes, of which Pillow reads the high bytes
                return None
        else:
            replacements = [_replaced(rawmode, swapped) for rawmode in rawmodes]
            if not all(replacements):
                return None
        image.tile = [_with_rawmode(tile, rawmode) for tile, rawmode in zip(tiles, replacements, strict=True)]
        image.load()
        return upright(image), rawmodes[0]


def _replaced(rawmode: str, swapped: bool) -> str:
    """Return the raw mode by which samples of a raw mode are read; "" for one whose low bytes cannot be read."""
    if rawmode == GREY_AND_ALPHA:
        return FOUR_BYTES
    if rawmode[:-1] not in ("RGB;16", "RGBA;16", "RGBX;16") or rawmode[-1] not in OTHER_ORDER:
        return ""
    return rawmode[:-1] + OTHER_ORDER[rawmode[-1]] if swapped else rawmode


def _rawmode(tile: Any) -> str:
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    """Return a part of a file that is decoded as another raw mode: (decoder, extents, offset, arguments)."""
    arguments = (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode
    return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)
