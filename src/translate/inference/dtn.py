"""Translation by DTN: a frozen function f, then the generator g, from any domain that f knows to the second one."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("dtn")
class DTNTranslation(Translation):
    """The functions f and g; ``statistics`` are those of the batch norms of g, see `deterministic`."""

    roles = ("features", "generator")
    only_target: ClassVar[int | None] = 1

    def __init__(self, networks: Mapping[str, nn.Module], statistics: Literal["image", "running"] = "running") -> None:
        super().__init__(networks)
        self.statistics = statistics

    def network(self, role: str) -> nn.Module:
        """Return the network of a role without batch statistics."""
        return deterministic(self.networks[role], self.statistics if role == "generator" else "running")

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return ``g(f(x))``, images (B, 3, S, S) in the second domain."""
        images: Tensor = self.network("generator")(self.network("features")(x))
        return images

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, S, S) translated to the second domain; UserError for a ``target`` (B,) other than 1."""
        self.require_only_target(target)
        return self.forward(x)
