"""pix2pix (Isola et al., CVPR 2017, arXiv 1611.07004).

Letters: x image of the first domain, y its partner in the second, ``fake`` what the generator makes of x. The
discriminator sees x and y, or x and ``fake``, one above the other in the channels. The direction is the order of
``data.domains``.

Differences
- From the paper and the published code: they translate by the statistics of the batch at hand, which is one image, and
  leave dropout on, drawing anew every time. Here an image is normalised by its own statistics, which is the same at one
  image and does not depend on the others, or by running ones (``statistics``; sensible after training with larger
  batches). With ``noise`` dropout is on by a fixed mask, the same for all images: a translation is a function of the
  image and draws nothing.
- From the paper: it names a rate of 2e-4 and 6 to 200 epochs by data set; in the published code the rate stays for 100
  epochs and falls, in steps of an epoch, for another 100, the last of which still has a hundred-and-first of it.
- From both: an average of the generator may be kept (``ema_decay``); by default there is none, as published.
- The dropped features in training depend on the number of processes, since each draws its own.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.paired import PairedBatch
from translate.inference.grids import grid
from translate.inference.pix2pix import Pix2PixTranslation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.reconstruction import l1
from translate.models.base import OptimizerFactory, TranslationModel
from translate.registry.registry import MODELS

NUM_SAMPLES = 8  # images in a sample grid


@MODELS.register(
    "pix2pix",
    batch="paired",
    networks=("generator", "discriminator"),
    losses=("adversarial",),
    terms={"discriminator": ("real", "fake"), "generator": ("adversarial", "l1")},
)
class Pix2Pix(TranslationModel):
    """A generator from one domain to the other and a discriminator of pairs.

    ``statistics`` says what batch norms translate by: "image", as when trained at batch size 1, or "running".
    ``noise`` leaves dropout on in translations.
    """

    progress_terms = ("discriminator/real", "discriminator/fake", "generator/adversarial", "generator/l1")

    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        losses: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, Any]],
        statistics: Literal["image", "running"] = "image",
        noise: bool = True,
        ema_decay: float | None = None,
        gradient_clip: float | None = None,
        seed: int = 0,
    ) -> None:
        averaged = () if ema_decay is None else ("generator",)
        super().__init__(networks, optimizers, weights, averaged, ema_decay or 0.0, gradient_clip, seed)
        self.adversarial: AdversarialLoss = losses["adversarial"]
        self.statistics = statistics
        self.noise = noise

    def step(self, batch: PairedBatch[Tensor]) -> None:
        """Do one iteration: an update of the discriminator, then one of the generator, on the same translations."""
        x, y = batch.source, batch.target
        fake = self.generator(x)
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(x, y, fake.detach()))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(x, y, fake))
        self.update_ema()

    def discriminator_loss(self, x: Tensor, y: Tensor, fake: Tensor) -> Tensor:
        """Return what the discriminator pays (eq. 1)."""
        fake_logits, real_logits = self.judged(x, fake), self.judged(x, y)
        self.record_discriminator_accuracy("discriminator", real_logits, fake_logits)
        terms = {"real": self.adversarial.real(real_logits), "fake": self.adversarial.fake(fake_logits)}
        return self.weighted("discriminator", terms)

    def generator_loss(self, x: Tensor, y: Tensor, fake: Tensor) -> Tensor:
        """Return what the generator pays (eqs. 1, 3 and 4)."""
        terms = {"adversarial": self.adversarial.generator(self.judged(x, fake)), "l1": l1(fake, y)}
        return self.weighted("generator", terms)

    def judged(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logits that images y are the partners of images x."""
        return self.discriminator(torch.cat([x, y], dim=1))

    # --- use after training ----------------------------------------------------------------------------------

    def translate(self, x: Tensor, target: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) of the first domain to the second, see `Pix2PixTranslation`."""
        return Pix2PixTranslation(self.inference_networks(), self.statistics, self.noise)(x, target)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Tensor]:
        """Return one picture: rows of sources, translations, and what was wanted."""
        assert held_out.partner is not None  # the check has seen to it
        rows = torch.nonzero(held_out.domain == 0)[:NUM_SAMPLES, 0]
        x, wanted = held_out.image[rows], held_out.partner[rows]
        found = self.translate(x, torch.ones_like(rows))
        return {"translation": grid([list(row) for row in (x, found, wanted)])}
