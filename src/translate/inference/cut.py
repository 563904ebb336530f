"""Translation by CUT: one generator, from the first domain to the second."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from translate.inference.base import Translation
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("cut")
class CUTTranslation(Translation):
    """One generator, whose translation of an image depends on this image alone."""

    roles = ("generator",)
    fixed_targets: ClassVar[Mapping[str, int]] = {"generator": 1}
    only_target: ClassVar[int | None] = 1

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) translated to the second domain; UserError for a ``target`` (B,) other than 1."""
        self.require_only_target(target)
        return self.network("generator")(x)
