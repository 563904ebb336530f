"""Translate one image of any form at its own size."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.data.images import ImageError, read_file
from translate.errors import Phrase, UserError
from translate.inference import image_encoding, image_files, tiling
from translate.inference.engine import Engine
from translate.inference.image_files import ImageFile
from translate.inference.images import EXPECTED, checked


def translate_each(
    engine: Engine,
    images: Sequence[Any],
    target: np.ndarray,
    style_inputs: Mapping[str, np.ndarray],
    psi: float | None,
    device: torch.device,
) -> list[Any]:
    """Return the translations of images, each in its own form and size, see `translate`.

    ``target`` has a row for each image, and so has the one style input: "code", "reference" or "style".
    """
    results = []
    for row, image in enumerate(images):
        own = target[row : row + 1]
        inputs = {name: value[row : row + 1] for name, value in style_inputs.items()}
        style = inputs.get("style")
        if style is None and inputs:
            style = engine.styles(own, inputs.get("code"), inputs.get("reference"), psi)
        results.append(translate(engine, image, own, style, device))
    return results


def translate(engine: Engine, image: Any, target: np.ndarray, style: np.ndarray | None, device: torch.device) -> Any:
    """Return the translation of one image in its own form and size: a tensor, pixels, or an image of Pillow."""
    if isinstance(image, Tensor) and image.is_floating_point():
        x = checked(image)[0].cpu().numpy().transpose(1, 2, 0)
        pixels = (x + np.float32(1)) * np.float32(127.5)
        translation = at_size(engine, pixels, target, style, deep=True)
        return torch.from_numpy(translation / np.float32(127.5) - np.float32(1)).permute(2, 0, 1).to(device)
    if isinstance(image, Tensor | np.ndarray):
        array = image.cpu().numpy() if isinstance(image, Tensor) else image
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            found = Phrase(f"{array.dtype} of shape {array.shape}")
            raise UserError(key="images", found=found, expected=EXPECTED)
        translation = at_size(engine, array, target, style)
        return torch.from_numpy(translation) if isinstance(image, Tensor) else translation
    file = _opened(image)
    translation = at_size(engine, file.pixels, target, style, deep=file.form.bits > 8)
    return image_encoding.to_image(translation, image_files.enlarged(file, engine.scale), file.form)


def at_size(
    engine: Engine, pixels: np.ndarray, target: np.ndarray, style: np.ndarray | None, deep: bool = False
) -> np.ndarray:
    """Return the translation (s H, s W, 3) of pixels (H, W, C), s the scale, see `translate.inference.tiling`."""

    def run(x: np.ndarray) -> np.ndarray:
        return engine.translate(x[None], target, style)[0]

    if engine.sizes is not None:
        return tiling.whole(run, pixels, engine.sizes, deep=deep, scale=engine.scale)
    x = tiling.to_input(tiling.reduced(pixels, engine.image_size))
    height, width = (engine.scale * side for side in pixels.shape[:2])
    stretched = tiling.enlarged(tiling.to_pixels(run(x), deep=True), height, width).clip(0, 255)
    return stretched if deep else np.rint(stretched).astype(np.uint8)


def _opened(image: Any) -> ImageFile:
    if isinstance(image, Image.Image):
        try:
            return image_files.of_image(image)
        except ImageError as error:
            raise UserError(f"a Pillow image of mode {image.mode} {error.reason}", key="images") from error
    if not isinstance(image, str | os.PathLike):
        raise UserError(key="images", found=Phrase(type(image).__name__), expected=EXPECTED)
    try:
        return image_files.read(read_file(image))
    except ImageError as error:
        raise UserError(f"{image} {error.reason}", key="images") from error
