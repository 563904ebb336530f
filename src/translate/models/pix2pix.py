"""pix2pix (Isola et al., CVPR 2017, arXiv 1611.07004).

Letters: x image of the first domain, y its partner in the second, ``fake`` the translation of x, G generator, D
discriminator. The discriminator reads x and y, or x and ``fake``, concatenated along the channels. The direction is the
order of ``data.domains``.

Differences
- From the paper and the official code, in translation: they normalise by the statistics of the batch, which is one
  image, and leave dropout on with new draws at every call. Here each image is normalised by its own statistics, which
  is equal for one image and does not depend on other images, or by running statistics (``statistics``; use them after
  training with larger batches). With ``noise`` dropout is on with a fixed mask for all images, so a translation is a
  function of the image.
- From the official code, in the data: images are resized by the bilinear filter, there by the bicubic one.
- From the paper: it gives a learning rate of 2e-4 and 6 to 200 epochs by data set. The official code keeps the rate for
  100 epochs and lowers it once per epoch for another 100. It ends at 1/101 of the initial rate, not at zero.
- From both: ``ema_decay`` keeps an EMA of the generator; null, the default, equals both.
- The dropout masks in training depend on the number of processes, since each process draws its own.
"""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.paired import PairedBatch
from translate.inference.grids import Grid
from translate.inference.pix2pix import Pix2PixTranslation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.reconstruction import l1
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.registry.registry import MODELS

NUM_SAMPLES = 8  # images in a sample grid


@MODELS.register(
    "pix2pix",
    batch="paired",
    networks=("generator", "discriminator"),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "generator": ("adversarial", "l1"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class Pix2Pix(TranslationModel):
    """A generator from one domain to the other and a discriminator of pairs.

    ``statistics`` are those that batch norms use in translation: "image", as in training at batch size 1, or "running".
    ``noise`` leaves dropout on in translation. ``ema_decay``: null for no moving average of the generator.
    """

    progress_terms = ("discriminator/real", "discriminator/fake", "generator/adversarial", "generator/l1")
    ema_roles = ("generator",)
    inference = Pix2PixTranslation

    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, statistics: Literal["image", "running"] = "image", noise: bool = True, **common: Any) -> None:
        super().__init__(**common)
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.statistics = statistics
        self.noise = noise

    def step(self, batch: PairedBatch[Tensor]) -> None:
        """Do one iteration: one discriminator update, then one generator update, on the same translations."""
        x, y = batch.source, batch.target
        fake = self.generator(x)
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(x, y, fake.detach()))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(x, y, fake))
        self.update_ema()

    def discriminator_loss(self, x: Tensor, y: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the discriminator (eq. 1): ``L_D = -E[log D(x, y)] - E[log(1 - D(x, fake))]``.

        Gradient penalties, which neither paper nor official code has, differentiate by y and fake, not by x.
        """
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            lambda y, fake: (self.pair_logits(x, fake), self.pair_logits(x, y))[::-1],
            y,
            fake,
            between=partial(self.pair_logits, x),
        )
        self.record_discriminator_accuracy("discriminator", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms)

    def generator_loss(self, x: Tensor, y: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the generator (eqs. 1, 3 and 4): ``L_G = -E[log D(x, fake)] + lambda E[|y - fake|]``."""
        adversarial = self.adversarial.generator_term(self.pair_logits(x, fake), lambda: self.pair_logits(x, y))
        terms = {"adversarial": adversarial, "l1": l1(fake, y)}
        return self.weighted("generator", terms)

    def pair_logits(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the discriminator's logits for pairs of images x and y (B, 3, H, W)."""
        return self.discriminator(torch.cat([x, y], dim=1))

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return one grid: rows of sources, translations and true partners."""
        assert held_out.partner is not None  # the checks refuse data without pairs
        rows = torch.nonzero(held_out.domain == 0)[:NUM_SAMPLES, 0]
        x, y = held_out.image[rows], held_out.partner[rows]
        translations = self.translate(x, torch.ones_like(rows))
        grid = Grid([list(row) for row in (x, translations, y)], row_labels=("source", "translation", "true partner"))
        return {"translation": grid}
