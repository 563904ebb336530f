"""A model of our own: a generator that knows its target domain, and StarGAN v2's discriminator.

Differences: none; it is nobody's publication.
"""

from typing import Any

import torch
from torch import Tensor

from my_lab.translations import Painting
from translate.data.views.reference import ReferenceBatch
from translate.losses.reconstruction import l1
from translate.models.base import TranslationModel
from translate.registry.registry import MODELS


@MODELS.register(
    "my_lab_painter_gan",
    batch="reference",
    networks=("generator", "discriminator"),
    losses=("adversarial",),
    terms={"discriminator": ("real", "fake"), "generator": ("adversarial", "cycle")},
)
class PainterGAN(TranslationModel):
    """Translate between domains by one generator that takes the target domain; one result an image."""

    ema_roles = ("generator",)

    def __init__(self, latent_size: int = 1, ema_decay: float = 0.99, **common: Any) -> None:
        super().__init__(ema_decay=ema_decay, **common)
        self.adversarial = self.losses["adversarial"]
        self.latent_size = latent_size  # the view draws codes, which this model does not use

    def step(self, batch: ReferenceBatch[Tensor]) -> None:
        """Do one iteration: the discriminator, the generator, the average."""
        generator, discriminator = self.network("generator"), self.network("discriminator")
        x, y, y_new = batch.image, batch.domain, batch.target
        with self.update("discriminator") as minimize:
            with torch.no_grad():
                fake = generator(x, y_new)
            terms = self.adversarial.discriminator_terms(discriminator(x, y), fake=discriminator(fake, y_new))
            minimize(self.weighted("discriminator", terms))
        with self.update("generator") as minimize:
            fake = generator(x, y_new)
            terms = {
                "adversarial": self.adversarial.generator_term(
                    discriminator(fake, y_new), lambda: discriminator(batch.reference, y_new)
                ),
                "cycle": l1(generator(fake, y), x),
            }
            minimize(self.weighted("generator", terms))
        self.update_ema()

    def translate(
        self,
        x: Tensor,
        target: Tensor,
        code: Tensor | None = None,
        reference: Tensor | None = None,
        psi: float = 1.0,
    ) -> Tensor:
        """Translate images (B, 3, S, S) to domains (B,); code, reference and psi change nothing here."""
        del code, reference, psi
        return Painting(self.inference_networks())(x, target)
