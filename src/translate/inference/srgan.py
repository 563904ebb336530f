"""Translation by SRResNet and SRGAN: an image of low resolution becomes one with several times the pixels a side."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


class SuperResolution(Translation):
    """One generator; its batch norms normalise by their running statistics, as in the paper at test time."""

    roles = ("generator",)
    fixed_targets: ClassVar[Mapping[str, int]] = {"generator": 0}

    @property
    def scale(self) -> int:
        """Return by how much height and width of a translation exceed those of its source."""
        scale = self.networks["generator"].scale
        assert isinstance(scale, int), scale
        return scale

    def network(self, role: str) -> nn.Module:
        """Return the generator in eval mode."""
        return deterministic(self.networks[role], "running")

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor | None = None) -> Tensor:
        """Return images (B, 3, s H, s W) of images (B, 3, H, W); there is one target, so it is not read."""
        images: Tensor = self.network("generator")(x)
        return images


@TRANSLATIONS.register("srresnet")
class SRResNetTranslation(SuperResolution):
    """The generator that was trained by squared distances alone."""


@TRANSLATIONS.register("srgan")
class SRGANTranslation(SuperResolution):
    """The generator that was trained against a discriminator."""
