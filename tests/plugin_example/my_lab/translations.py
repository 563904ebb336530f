"""How our model translates once it has learned, for `translate.load`: without Lightning, under the model's name."""

import torch
from torch import Tensor

from translate.inference.base import Translation
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("my_lab_painter_gan")
class Painting(Translation):
    """One generator that takes the target domain; one result an image."""

    roles = ("generator",)

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) to domains (B,)."""
        return self.networks["generator"](x, target)


@TRANSLATIONS.register("my_lab_darkener")
class Darkening(Translation):
    """Images darkened by a given amount; one result an image."""

    roles = ("generator",)

    def random_target(self, count: int, num_domains: int, draws: torch.Generator) -> Tensor:
        """Return random amounts (count,) in [0, 1)."""
        return torch.rand(count, generator=draws)

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, S, S) darkened by ``target`` (B,) in [0, 1]."""
        return self.networks["generator"](x, target)
