"""Style images: files of any size, or paintings that are drawn by program."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from translate.data.images import ImageError, open_rgb
from translate.data.synthetic.paintings import KINDS, SIDE, paint
from translate.errors import UserError


def is_known(place: str) -> bool:
    """Return whether a style image is there: the name of a painting or an existing file; ``./NAME`` is a file."""
    return place in KINDS or Path(place).expanduser().is_file()


def name_of(place: str | os.PathLike[str]) -> str:
    """Return the name of a style, that of the painting or of the file without its suffix.

    >>> name_of("paintings/starry night.jpg"), name_of("mosaic")
    ('starry night', 'mosaic')
    """
    return Path(place).stem


def read(place: str | os.PathLike[str], size: int | None = None, key: str = "style_image") -> np.ndarray:
    """Return the pixels (H, W, 3) uint8 of a style image, ``size`` pixels on its longer side; None: as it is.

    ``place`` is a file, or the name of a painting in `KINDS`. UserError, with ``key``, for a file that cannot be read.
    """
    if size is not None and size < 1:
        raise UserError(key="style_size", found=size, expected="at least 1 pixel, or null for its own size")
    if place in KINDS:
        return paint(str(place), size or SIDE, size or SIDE)
    path = Path(place).expanduser()
    if not path.is_file():
        raise UserError(
            "there is no such file", key=key, found=str(place), fix=f"name an image file, or one of {', '.join(KINDS)}"
        )
    try:
        image = open_rgb(path)
    except ImageError as error:
        raise UserError(f"{path} {error.reason}", key=key) from error
    return np.asarray(image if size is None else image.resize(scaled(image.size, size), Image.Resampling.BILINEAR))


def scaled(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Return a width and height of the same ratio whose longer one is ``longer``, both at least 1.

    >>> scaled((400, 300), 200), scaled((1, 1000), 10)
    ((200, 150), (1, 10))
    """
    factor = longer / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
