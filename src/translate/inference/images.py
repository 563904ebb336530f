"""Convert images from the forms that callers have to float tensors, and back to 8-bit pixels."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.data.images import Crop, ImageError, read_image, resize, to_rgb
from translate.data.transforms import to_float
from translate.errors import Phrase, UserError
from translate.inference.grids import to_bytes
from translate.sizes import SizeLike

EXPECTED = (
    "a float tensor (B, 3, H, W) in [-1, 1], 8-bit pixels (B, H, W, 3), a Pillow image, the path of an image file, or "
    "a list of these"
)


def to_images(source: Any, size: SizeLike, crop: Crop, name: str = "images") -> Tensor:
    """Return images as a float tensor (B, 3, H, W) in [-1, 1].

    A float tensor (B, 3, H, W) or (3, H, W) keeps its values and size. Every other source is resized to ``size`` as
    training images are, see `translate.data.images.read_image`: 8-bit pixels (B, H, W, 3) or (H, W, 3) as a tensor or
    array, a Pillow image, the path of an image file, or a list of these. UserError, with the argument's ``name`` as its
    key, for anything else and for images of different sizes.
    """
    try:
        return _to_images(source, size, crop)
    except UserError as error:
        raise error.inside(name) from error


def _to_images(source: Any, size: SizeLike, crop: Crop) -> Tensor:
    if isinstance(source, Tensor) and source.is_floating_point():
        return checked(source)
    if isinstance(source, Tensor | np.ndarray):
        return to_float(torch.from_numpy(np.stack([resize(p, size, crop) for p in _pixels(source)])))
    if isinstance(source, Image.Image):
        return to_float(torch.from_numpy(_resized(source, size, crop)[None]))
    if isinstance(source, str | os.PathLike):
        return to_float(torch.from_numpy(_read(Path(source), size, crop)[None]))
    if isinstance(source, Iterable):
        batches = [_to_images(element, size, crop) for element in source]
        if len({batch.shape[1:] for batch in batches}) != 1:
            sizes = sorted({" x ".join(map(str, batch.shape[2:])) for batch in batches})
            raise UserError(found=Phrase(", ".join(sizes) or "no image"), expected="images of one size")
        return torch.cat(batches)
    raise UserError(found=Phrase(type(source).__name__), expected=EXPECTED)


def to_pixels(images: Tensor) -> Tensor:
    """Return 8-bit pixels (B, H, W, 3) of images (B, 3, H, W) in [-1, 1], on the CPU."""
    return torch.stack([to_bytes(image) for image in images.detach().float().cpu()])


def elements(source: Any) -> list[Any]:
    """Return the single images in a source of `to_images`, each in its own form."""
    if isinstance(source, Tensor | np.ndarray):
        return list(source) if source.ndim == 4 else [source]
    if isinstance(source, str | os.PathLike | Image.Image):
        return [source]
    return [element for each in source for element in elements(each)]


def alike(source: Any, images: Sequence[Any]) -> Any:
    """Return images, one for each of `elements`, arranged as the source is: one, a batch, or a list."""
    if isinstance(source, Tensor):
        return torch.stack(list(images)) if source.ndim == 4 else images[0]
    if isinstance(source, np.ndarray):
        return np.stack(images) if source.ndim == 4 else images[0]
    if isinstance(source, str | os.PathLike | Image.Image):
        return images[0]
    result, start = [], 0
    for each in source:
        count = len(elements(each))
        result.append(alike(each, images[start : start + count]))
        start += count
    return result


def like(source: Any, image: Tensor) -> Any:
    """Return an image (3, H, W) in [-1, 1] in the form of a single one: a tensor, pixels, or a Pillow image."""
    if isinstance(source, Tensor) and source.is_floating_point():
        return image
    pixels = to_bytes(image.detach().float().cpu())
    if isinstance(source, Tensor):
        return pixels
    return pixels.numpy() if isinstance(source, np.ndarray) else Image.fromarray(pixels.numpy())


def checked(source: Tensor) -> Tensor:
    """Return a float tensor as images (B, 3, H, W); UserError for another shape or range."""
    images = source[None] if source.ndim == 3 else source
    if images.ndim != 4 or images.shape[1] != 3:
        raise UserError(found=Phrase(f"a float tensor of shape {tuple(source.shape)}"), expected="(B, 3, H, W)")
    if images.numel() and not images.abs().max() <= 1.001:  # a NaN fails too
        low, high = images.min().item(), images.max().item()
        raise UserError(
            found=Phrase(f"values from {low:g} to {high:g}"),
            expected="[-1, 1]",
            fix="scale the values, or give 8-bit pixels",
        )
    return images.float()


def _pixels(source: Tensor | np.ndarray) -> list[Image.Image]:
    array = source.cpu().numpy() if isinstance(source, Tensor) else source
    pixels = array[None] if array.ndim == 3 else array
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise UserError(found=Phrase(f"{array.dtype} of shape {array.shape}"), expected=EXPECTED)
    return [Image.fromarray(each) for each in np.ascontiguousarray(pixels)]


def _resized(source: Image.Image, size: SizeLike, crop: Crop) -> np.ndarray:
    try:
        return resize(to_rgb(source), size, crop)
    except ImageError as error:
        raise UserError(f"a Pillow image of mode {source.mode} {error.reason}") from error


def _read(path: Path, size: SizeLike, crop: Crop) -> np.ndarray:
    try:
        return read_image(path, size, crop)
    except ImageError as error:
        raise UserError(f"{path} {error.reason}") from error
