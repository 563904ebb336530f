"""Translation by DTN: a frozen function f, then the generator g, from any domain that f knows to the second one."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("dtn")
class DTNTranslation(Translation):
    """The functions f and g; ``statistics`` are those of the batch norms of g, see `deterministic`."""

    roles = ("features", "generator")
    role_targets: ClassVar[Mapping[str, int]] = {"features": 1, "generator": 1}

    def __init__(self, networks: Mapping[str, nn.Module], statistics: Literal["image", "running"] = "running") -> None:
        super().__init__(networks)
        self.statistics = statistics

    def reachable(self, num_domains: int) -> tuple[int, ...]:
        """Return the second domain alone."""
        return (1,)

    def network(self, role: str) -> nn.Module:
        """Return the network of a role without batch statistics."""
        return deterministic(self.networks[role], self.statistics if role == "generator" else "running")

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, S, S) translated to the second domain; UserError for a ``target`` (B,) other than 1."""
        if (target != 1).any():
            raise UserError(
                "DTN translates to the second domain only",
                key="target",
                found=Phrase(", ".join(map(str, sorted(set(target.tolist()))))),
                expected="1",
                fix="for the other direction train with the domains in the other order",
            )
        images: Tensor = self.network("generator")(self.network("features")(x))
        return images
