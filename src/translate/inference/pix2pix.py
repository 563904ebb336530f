"""Translation by pix2pix: from the first domain to the second."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("pix2pix")
class Pix2PixTranslation(Translation):
    """One generator; for ``statistics`` of batch norms and ``noise`` of dropout see `deterministic`."""

    roles = ("generator",)
    fixed_targets: ClassVar[Mapping[str, int]] = {"generator": 1}
    only_target: ClassVar[int | None] = 1

    def __init__(
        self, networks: Mapping[str, nn.Module], statistics: Literal["image", "running"] = "image", noise: bool = True
    ) -> None:
        super().__init__(networks)
        self.statistics = statistics
        self.noise = noise

    def network(self, role: str) -> nn.Module:
        """Return the generator without batch statistics, and with fixed dropout or none."""
        return deterministic(self.networks[role], self.statistics, self.noise)

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) translated to the second domain; UserError for a ``target`` (B,) other than 1."""
        self.require_only_target(target)
        return self.network("generator")(x)
