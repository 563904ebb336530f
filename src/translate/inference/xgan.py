"""Translation by XGAN: the encoder of the source's domain, then the decoder of the target's, through shared layers."""

from typing import ClassVar

from torch import nn

from translate.inference.deterministic import deterministic
from translate.inference.unit import UNITTranslation
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("xgan")
class XGANTranslation(UNITTranslation):
    """Encoders and decoders of two domains with shared layers; batch norms use their running statistics.

    A target of 0 means that the image is of the second domain, 1 of the first.
    """

    roles: ClassVar[tuple[str, ...]] = (*UNITTranslation.roles, *UNITTranslation.optional_roles)
    optional_roles: ClassVar[tuple[str, ...]] = ()

    def network(self, role: str) -> nn.Module:
        """Return the network of a role without batch statistics."""
        return deterministic(self.networks[role], "running")
