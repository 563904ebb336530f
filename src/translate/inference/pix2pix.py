"""Translation by pix2pix: from the first domain to the second."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from translate.inference.base import Translation
from translate.inference.deterministic import steady
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("pix2pix")
class Pix2PixTranslation(Translation):
    """One generator, which at translation normalises by ``statistics`` and, with ``noise``, drops features."""

    roles = ("generator",)

    def __init__(
        self, networks: Mapping[str, nn.Module], statistics: Literal["image", "running"] = "image", noise: bool = True
    ) -> None:
        super().__init__(networks)
        self.statistics = statistics
        self.noise = noise

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) of the first domain; ``target`` (B,) must be 1, the second (ValueError)."""
        if (target != 1).any():
            raise ValueError(
                f"pix2pix translates to the second domain, target 1, found {sorted(set(target.tolist()))}; "
                "for the other direction train with the domains in the other order"
            )
        return steady(self.networks["generator"], self.statistics, self.noise)(x)
