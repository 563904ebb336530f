"""Images as callers have them, made into what networks take, and back."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.data.images import Crop, ImageError, read_image, resize, to_rgb
from translate.data.transforms import to_float
from translate.errors import UserError
from translate.inference.grids import to_bytes

EXPECTED = (
    "a float tensor (B, 3, H, W) in [-1, 1], 8-bit pixels (B, H, W, 3), a Pillow image, the path of an image file, or "
    "a list of such"
)


def to_images(given: Any, size: int, crop: Crop) -> Tensor:
    """Return images as a float tensor (B, 3, H, W) in [-1, 1].

    A float tensor (B, 3, H, W) or (3, H, W) is taken as it is, whatever its size. Everything else is brought to
    (size, size) as training pictures are, see `translate.data.images.read_image`: 8-bit pixels (B, H, W, 3) or
    (H, W, 3) as a tensor or array, a Pillow image, the path of an image file, or a list of any of these.
    """
    if isinstance(given, Tensor) and given.is_floating_point():
        return _checked(given)
    if isinstance(given, Tensor | np.ndarray):
        return to_float(torch.from_numpy(np.stack([resize(p, size, crop) for p in _pixels(given)])))
    if isinstance(given, Image.Image):
        return to_float(torch.from_numpy(_resized(given, size, crop)[None]))
    if isinstance(given, str | os.PathLike):
        return to_float(torch.from_numpy(_read(Path(given), size, crop)[None]))
    if isinstance(given, Iterable):
        parts = [to_images(each, size, crop) for each in given]
        if len({part.shape[1:] for part in parts}) != 1:
            found = ", ".join(sorted({" x ".join(map(str, part.shape[2:])) for part in parts})) or "no image"
            raise UserError(f"images: found {found} in one list, expected images of one size")
        return torch.cat(parts)
    raise UserError(f"images: found {type(given).__name__}, expected {EXPECTED}")


def to_pixels(images: Tensor) -> Tensor:
    """Return 8-bit pixels (B, H, W, 3) of images (B, 3, H, W) in [-1, 1], on the CPU."""
    return torch.stack([to_bytes(image) for image in images.detach().float().cpu()])


def _checked(given: Tensor) -> Tensor:
    images = given[None] if given.ndim == 3 else given
    if images.ndim != 4 or images.shape[1] != 3:
        raise UserError(f"images: found a float tensor of shape {tuple(given.shape)}, expected (B, 3, H, W)")
    if images.numel() and not images.abs().max() <= 1.001:  # a NaN fails too
        low, high = images.min().item(), images.max().item()
        raise UserError(f"images: found values from {low:g} to {high:g}, expected [-1, 1]; or give 8-bit pixels")
    return images.float()


def _pixels(given: Tensor | np.ndarray) -> list[Image.Image]:
    array = given.cpu().numpy() if isinstance(given, Tensor) else given
    pixels = array[None] if array.ndim == 3 else array
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise UserError(f"images: found {array.dtype} of shape {array.shape}, expected {EXPECTED}")
    return [Image.fromarray(each) for each in np.ascontiguousarray(pixels)]


def _resized(given: Image.Image, size: int, crop: Crop) -> np.ndarray:
    try:
        return resize(to_rgb(given), size, crop)
    except ImageError as error:
        raise UserError(f"images: a Pillow image of mode {given.mode} {error.reason}") from error


def _read(path: Path, size: int, crop: Crop) -> np.ndarray:
    try:
        return read_image(path, size, crop)
    except ImageError as error:
        raise UserError(f"images: {path} {error.reason}") from error
