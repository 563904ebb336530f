"""Convert colours between the profile of an image (ICC) and sRGB, with the little CMS of Pillow."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

SAME = "same"
"""Stands for the transform of a profile that is sRGB already."""

ROUNDING = 2
"""The largest change of a level by a profile that is sRGB in other words."""

_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC


@functools.cache
def srgb() -> bytes:
    """Return the profile of sRGB as a file stores it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@functools.lru_cache(maxsize=64)
def transforms(profile: bytes, mode: str) -> tuple[Any, Any]:
    """Return the transforms from a profile to sRGB and back, for images of mode L, RGB or CMYK.

    None stands for a transform that does not exist: a damaged profile, one of another colour space, or one that leads
    in one direction only. Both are SAME for sRGB itself.
    """
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError, ValueError):
        return None, None
    standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    there = _built(own, standard, mode, "RGB")
    if there is not None and mode == "RGB" and _changes_nothing(there):
        return SAME, SAME
    return there, None if there is None else _built(standard, own, "RGB", mode)


def _changes_nothing(transform: Any) -> bool:
    """Return whether a transform keeps colours but for rounding: there are many profiles of sRGB, by many names."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    changed = np.asarray(apply(transform, Image.fromarray(cube)))
    return bool(np.abs(changed.astype(int) - cube).max() <= ROUNDING)


def _built(source: Any, destination: Any, source_mode: str, destination_mode: str) -> Any:
    try:
        return ImageCms.buildTransform(source, destination, source_mode, destination_mode, _INTENT, _FLAGS)
    except ImageCms.PyCMSError:
        return None


def apply(transform: Any, image: Image.Image) -> Image.Image:
    """Return an image after a transform; grey stays grey where the transform leads to sRGB."""
    grey = image.mode == "L"
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # only an operation in place returns None
    return result.convert("L") if grey else result
