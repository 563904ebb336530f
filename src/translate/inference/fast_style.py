"""Translation by fast style transfer: one network, one style, which is the only domain."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.inference.base import Translation
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("fast_style")
class FastStyleTranslation(Translation):
    """One image transformation network; the target is always domain 0, the style image."""

    roles = ("transformer",)
    fixed_targets: ClassVar[Mapping[str, int]] = {"transformer": 0}

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in the style; UserError for a ``target`` (B,) other than 0."""
        if (target != 0).any():
            found = ", ".join(map(str, sorted(set(target.tolist()))))
            raise UserError("these weights have one style", key="target", found=Phrase(found), expected="0")
        return self.network("transformer")(x)
