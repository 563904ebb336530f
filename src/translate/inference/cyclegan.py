"""Translation by CycleGAN: there by one generator, back by the other."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from translate.inference.base import Translation
from translate.inference.deterministic import steady
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("cyclegan")
class CycleGANTranslation(Translation):
    """Two generators; ``statistics`` says what their batch norms translate by, if they have any."""

    roles = ("generator_ab", "generator_ba")

    def __init__(self, networks: Mapping[str, nn.Module], statistics: Literal["image", "running"] = "image") -> None:
        super().__init__(networks)
        self.statistics = statistics

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Translate images (B, 3, S, S), those with target (B,) 1 to the second domain, those with 0 to the first.

        Nothing is asked about the domains that they are of: a generator that is given an image of the domain that it
        translates to should leave it as it is (the identity terms are about that).
        """
        found = torch.empty_like(x)
        for domain, role in ((1, "generator_ab"), (0, "generator_ba")):
            rows = target == domain
            if rows.any():
                if role not in self.networks:  # published weights are often of one direction
                    raise ValueError(f"cyclegan: these weights have no {role}, which translates to domain {domain}")
                found[rows] = steady(self.networks[role], self.statistics)(x[rows]).to(x.dtype)
        return found
