"""The style of each image from the arguments of a caller: codes, seeds, references, or styles themselves."""

from typing import Any

import torch
from torch import Tensor

from translate.data.images import Crop
from translate.errors import Phrase, UserError
from translate.inference.base import Translation
from translate.inference.codes import draw_codes
from translate.inference.images import to_images
from translate.inference.numbers import finite, whole
from translate.sizes import ImageSize

StyleInputs = dict[str, Tensor]
"""The style input of each image by keyword: codes (B, L), references (B, 3, H, W) or styles (B, Z); {} without."""


class StyleReader:
    """Checks and converts style arguments for a translation by ``model``."""

    def __init__(self, model: str, translation: Translation, image_size: ImageSize, crop: Crop) -> None:
        """Take the model's name, for messages, and how reference images get the size of training."""
        self.model, self.translation = model, translation
        self.image_size, self.crop = image_size, crop

    def read(self, count: int, code: Any, seed: int | None, reference: Any, style: Any) -> StyleInputs:
        """Return the style input of each of ``count`` images; UserError for several, and for one of another kind."""
        given = (("code", code), ("seed", seed), ("reference", reference), ("style", style))
        names = [name for name, value in given if value is not None]
        self._check_known(names)
        if len(names) > 1:
            raise UserError(key="translate", found=Phrase(" and ".join(names)), expected="one of them")
        if style is not None:
            return {"style": _for_each(_rows(style, "style", None), count, "style", "styles")}
        if reference is not None:
            images = self.references(reference)
            return {"reference": _for_each(images, count, "reference", "references")}
        if "code" not in self.translation.style_inputs:
            return {}
        length = self.translation.latent_size
        if code is None:
            return {"code": torch.from_numpy(draw_codes(whole(seed or 0, "seed"), count, length))}
        return {"code": _for_each(_rows(code, "code", length), count, "code", "codes")}

    def references(self, reference: Any) -> Tensor:
        """Return reference images (B, 3, S, S) in [-1, 1], see `to_images`."""
        return to_images(reference, self.image_size, self.crop, "reference")

    def _check_known(self, names: list[str]) -> None:
        for name in names:
            if ("code" if name in ("seed", "style") else name) not in self.translation.style_inputs:
                known = ", ".join(self.translation.style_inputs) or "no style input, the target alone"
                raise UserError(f"{self.model} does not take this argument", key=name, expected=known)


def checked_psi(psi: float, style: StyleInputs) -> float:
    """Return psi as a number; UserError for another value, and without codes, whose styles it moves."""
    if "code" not in style:
        raise UserError("it moves the styles of codes towards the mean style", key="psi", expected="a code or a seed")
    return finite(psi, "psi")


def _rows(values: Any, key: str, width: int | None) -> Tensor:
    """Return a tensor or an array, (B, W) or (W,), as a tensor (B, W) float32; UserError for another shape."""
    try:
        rows = torch.as_tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(key=key, found=Phrase(type(values).__name__), expected="a tensor or an array") from None
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or width not in (None, rows.shape[1]):
        found = Phrase(f"shape {tuple(torch.as_tensor(values).shape)}")
        raise UserError(key=key, found=found, expected=f"(B, {width or 'Z'})")
    return rows


def _for_each(values: Tensor, count: int, key: str, plural: str) -> Tensor:
    if len(values) not in (1, count):
        found = Phrase(f"{len(values)} {plural} for {count} images")
        raise UserError(key=key, found=found, expected="one, or one for each image")
    return values.expand(count, *values.shape[1:])
