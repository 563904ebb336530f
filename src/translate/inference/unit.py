"""Translation by UNIT: the encoder of the source's domain, then the decoder of the target's, without noise."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from translate.inference.base import Translation, TranslationPath
from translate.registry.registry import TRANSLATIONS

SIDES = ("a", "b")  # the domains by number


@TRANSLATIONS.register("unit")
class UNITTranslation(Translation):
    """Encoders and decoders of two domains, and the layers that the domains share, if there are any.

    A translation decodes the mean code. A target of 0 means that the image is of the second domain, 1 of the first.
    """

    roles: ClassVar[tuple[str, ...]] = ("encoder_a", "encoder_b", "decoder_a", "decoder_b")
    optional_roles: ClassVar[tuple[str, ...]] = ("encoder_shared", "decoder_shared")
    role_targets: ClassVar[Mapping[str, int]] = {
        "encoder_a": 1,
        "encoder_b": 0,
        "encoder_shared": 1,
        "decoder_shared": 1,
        "decoder_a": 0,
        "decoder_b": 1,
    }

    def shared(self, role: str, features: Tensor) -> Tensor:
        """Return the output of shared layers, or the features themselves if the model has none."""
        return self.network(role)(features) if role in self.networks else features

    def encode(self, x: Tensor, side: str) -> Tensor:
        """Return the mean codes (B, C, s, s) of images (B, 3, H, W) of the domain "a" or "b"."""
        return self.shared("encoder_shared", self.network(f"encoder_{side}")(x))

    def decode(self, code: Tensor, side: str) -> Tensor:
        """Return images (B, 3, H, W) of codes in the domain "a" or "b"."""
        images: Tensor = self.network(f"decoder_{side}")(self.shared("decoder_shared", code))
        return images

    @torch.no_grad()
    def reconstruct(self, x: Tensor, side: str) -> Tensor:
        """Return images (B, 3, H, W) of a domain, encoded and decoded in it."""
        return self.decode(self.encode(x, side), side)

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) translated to the first domain (target 0) or the second (target 1), (B,)."""
        translations = torch.empty_like(x)
        for domain, side in enumerate(SIDES):
            rows = target == domain
            if rows.any():
                translations[rows] = self.decode(self.encode(x[rows], SIDES[1 - domain]), side).to(x.dtype)
        return translations

    def path(self, style_input: str | None, num_domains: int) -> TranslationPath:
        """Return the whole way as a module that computes both directions and selects by the target."""
        return BothDirections(self, ("image", "target"))


class BothDirections(TranslationPath):
    """Translate every image in both directions and select by the target, without steps that depend on values."""

    translation: UNITTranslation

    def forward(self, image: Tensor, target: Tensor, *style_inputs: Tensor) -> Tensor:
        """Return the translations (B, 3, H, W)."""
        to_a, to_b = (self.translation.decode(self.translation.encode(image, one), two) for one, two in ("ba", "ab"))
        return torch.where((target == 1)[:, None, None, None], to_b, to_a).clamp(-1, 1)
