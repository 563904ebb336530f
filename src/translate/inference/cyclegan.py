"""Translation by CycleGAN: one generator for each direction."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("cyclegan")
class CycleGANTranslation(Translation):
    """Two generators; ``statistics`` are those of their batch norms, see `deterministic`."""

    roles = ("generator_ab", "generator_ba")
    fixed_targets: ClassVar[Mapping[str, int]] = {"generator_ab": 1, "generator_ba": 0}

    def __init__(self, networks: Mapping[str, nn.Module], statistics: Literal["image", "running"] = "image") -> None:
        super().__init__(networks)
        self.statistics = statistics

    def network(self, role: str) -> nn.Module:
        """Return a generator without batch statistics and dropout."""
        return deterministic(self.networks[role], self.statistics)

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) translated to the first domain (target 0) or the second (target 1).

        ``target`` has shape (B,). The domain of the input is not needed: the identity loss trains a generator to keep
        images of its target domain. UserError if the generator of a direction is missing.
        """
        translations = torch.empty_like(x)
        for role, domain in self.fixed_targets.items():
            rows = target == domain
            if rows.any():
                if role not in self.networks:
                    raise UserError(f"these weights have no {role}, which translates to domain {domain}", key="target")
                translations[rows] = self.network(role)(x[rows]).to(x.dtype)
        return translations
