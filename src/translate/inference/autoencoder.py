"""Reconstruction by an auto-encoder, as a translation whose only target is the image itself."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("autoencoder")
class AutoencoderTranslation(Translation):
    """An encoder and a decoder; batch norms use their running statistics."""

    roles = ("encoder", "decoder")
    only_target: ClassVar[int | None] = 0

    def network(self, role: str) -> nn.Module:
        """Return the network of a role without batch statistics."""
        return deterministic(self.networks[role], "running")

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstructions (B, 3, S, S) of images (B, 3, S, S)."""
        images: Tensor = self.network("decoder")(self.network("encoder")(x))
        return images

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the reconstructions of images (B, 3, S, S); UserError for a ``target`` (B,) other than 0."""
        self.require_only_target(target)
        return self.forward(x)
