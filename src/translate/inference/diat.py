"""Translation by DIAT: the transform network T, then the enhancement network E of a later stage; and its denoiser."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


class Row(Translation):
    """Networks in a row, by the order of `roles`, to the only target."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in the only domain that is a target."""
        for role in self.roles:
            x = self.network(role)(x)
        return x

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) translated to ``target`` (B,); UserError for another one than `only_target`."""
        self.require_only_target(target)
        return self.forward(x)


@TRANSLATIONS.register("diat")
class DIATTranslation(Row):
    """The transform network: T(x). ``statistics`` are those of its batch norms, see `deterministic`."""

    roles: ClassVar[tuple[str, ...]] = ("generator",)
    fixed_targets: ClassVar[Mapping[str, int]] = {"generator": 1}
    only_target: ClassVar[int | None] = 1

    def __init__(self, networks: Mapping[str, nn.Module], statistics: Literal["image", "running"] = "image") -> None:
        super().__init__(networks)
        self.statistics = statistics

    def network(self, role: str) -> nn.Module:
        """Return the network of a role without batch statistics."""
        return deterministic(self.networks[role], self.statistics)


@TRANSLATIONS.register("diat_enhancement")
class DIATEnhancementTranslation(DIATTranslation):
    """The transform network, then the enhancement network: E(T(x))."""

    roles = ("generator", "enhancer")
    fixed_targets: ClassVar[Mapping[str, int]] = {}


@TRANSLATIONS.register("diat_denoiser")
class DenoiserTranslation(Row):
    """The denoising network, which has no domains: its only target is the denoised image."""

    roles = ("denoiser",)
    only_target: ClassVar[int | None] = 0
