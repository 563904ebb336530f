"""CycleGAN (Zhu et al., ICCV 2017, arXiv 1703.10593).

Letters: a, b images of the first and of the second domain. ``generator_ab`` (G_ab, G in the paper) translates a to b,
``generator_ba`` (G_ba, F in the paper) b to a. ``discriminator_a`` (D_a, D_X in the paper) reads images of the first
domain, ``discriminator_b`` (D_b, D_Y) of the second. ``fake_b = G_ab(a)``, ``identity_b = G_ab(b)``. Terms are named by
the domain of the images that they compare: ``cycle_a`` compares a with G_ba(G_ab(a)), ``identity_b`` b with G_ab(b).

Names in the official code: G_A and G_B are ``generator_ab`` and ``generator_ba``. D_A reads images of b, so it is
``discriminator_b``; D_B is ``discriminator_a``. idt_A is ``identity_b``.

Differences
- From the official code: the exchanges of the image pools are a function of the images' positions in the sample
  stream, so they do not depend on the number of processes, and the pools are saved in checkpoints. The official code
  has the losses of WGAN-GP but computes no penalty in training; here the weight of ``gradient_penalty`` switches it on.
  An identity term whose weight is always zero is not computed, as in the official code.
- From the official code, in the data: images are resized by the bilinear filter, there by the bicubic one. The second
  image is independent of the first, as there. The first one comes in epochs of the first domain: each image once, in
  a new order. There an epoch has as many images as the larger domain, and a smaller first domain repeats in it. A
  length in epochs (`${epochs:N}`) counts those of the larger domain, as there.
- Weights of identity terms multiply those of the cycle terms, as in the paper and the official code (0.5 of 10, which
  makes 5). Other implementations use 0.5 alone, a tenth of it; ``identity_scale`` selects.
- From the paper: it lowers the learning rates to zero. The official code lowers them once per epoch and ends at 1/101
  of the initial rate (2e-6), not at zero.
- From the official code, in translation: with batch norm it normalises by the statistics of the batch, which is one
  image. Here each image is normalised by its own statistics, which is equal for one image and does not depend on other
  images, or by running statistics (``statistics``). Dropout is off in translation.
- From both: ``ema_decay`` keeps an EMA of the generators; null, the default, equals both. The terms ``variation_a`` and
  ``variation_b`` of the generators, the total variation of translations, have the weight 0.
"""

from collections.abc import Hashable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.philox import uniform
from translate.data.streams import Stream
from translate.data.views.unpaired import UnpairedBatch
from translate.distributed.collectives import on_global_batch
from translate.errors import UserError
from translate.inference.cyclegan import CycleGANTranslation
from translate.inference.grids import Grid
from translate.losses.adversarial import AdversarialLoss
from translate.losses.reconstruction import l1
from translate.losses.regularization import mean_variation
from translate.models.base import TranslationModel
from translate.models.image_pool import ImagePool
from translate.models.penalties import Penalties
from translate.models.two_domains import direction_grids
from translate.networks.layers.batching import forward_together
from translate.registry.registry import MODELS
from translate.schedules import product

SIDES = {"a": 0, "b": 1}  # domains by name, and their numbers


@MODELS.register(
    "cyclegan",
    batch="unpaired",
    networks=("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"),
    losses=("adversarial",),
    terms={
        "generator": (
            "adversarial_ab",
            "adversarial_ba",
            "cycle_a",
            "cycle_b",
            "identity_a",
            "identity_b",
            "variation_a",
            "variation_b",
        ),
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty", "noisy"),
    },
    optional_terms={
        "discriminator": ("r1", "r2", "zero_centred", "noisy"),
        "generator": ("variation_a", "variation_b"),
    },
)
class CycleGAN(TranslationModel):
    """Two generators that invert each other, and a discriminator for each domain.

    ``identity_scale``: the weights of the identity terms are multiplied by those of the cycle terms ("cycle") or not
    ("alone"). ``pool_size`` is the size of each discriminator's pool of earlier translations (0: no pool).
    ``statistics`` are those that batch norms use in translation: "image", as in training at batch size 1, or "running".
    ``ema_decay``: null for no moving averages of the generators. Terms of discriminators have the variants "a" and "b".
    """

    progress_terms = ("generator/adversarial_ab", "generator/adversarial_ba", "generator/cycle_a", "generator/cycle_b")
    ema_roles = ("generator_ab", "generator_ba")
    double_backward_roles = ("discriminator_a", "discriminator_b")
    inference = CycleGANTranslation

    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module

    def __init__(
        self,
        identity_scale: Literal["cycle", "alone"] = "cycle",
        pool_size: int = 50,
        statistics: Literal["image", "running"] = "image",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if pool_size < 0:
            raise UserError(key="pool_size", found=pool_size, expected="at least 0, which is no pool")
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.statistics = statistics
        self.pools = {side: ImagePool(pool_size) for side in SIDES}
        self.stateful = {f"pool_{side}": pool for side, pool in self.pools.items()}
        if identity_scale == "cycle":
            weights = self.weights["generator"]
            for side in SIDES:
                weights[f"identity_{side}"] = product(weights[f"identity_{side}"], weights[f"cycle_{side}"])

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: one update of both generators, then one of both discriminators."""
        a, b = batch.a, batch.b
        with self.update("generator_ab", "generator_ba") as minimize:
            fake_b, identity_b = self.generate("ab", a, b)
            fake_a, identity_a = self.generate("ba", b, a)
            minimize(self.generator_loss(a, b, fake_a, fake_b, identity_a, identity_b))
        fake_a, fake_b = self.query_pool("a", fake_a), self.query_pool("b", fake_b)
        with self.update("discriminator_a", "discriminator_b") as minimize:
            minimize(self.discriminator_loss("a", a, fake_a) + self.discriminator_loss("b", b, fake_b))
        self.update_ema()

    def step_variant(self) -> Hashable:
        """Return the penalties that are due."""
        return self.penalties.due()

    def generate(self, direction: str, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the translations of ``source`` in a direction, and the images that its generator makes of ``target``.

        The latter are None if the identity term of the target domain is not active.
        """
        generator = self.network(f"generator_{direction}")
        if not self.is_active("generator", f"identity_{direction[1]}"):
            return generator(source), None
        fake, identity = forward_together(generator, source, target)
        return fake, identity

    def generator_loss(
        self, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor, identity_a: Tensor | None, identity_b: Tensor | None
    ) -> Tensor:
        """Return the loss of both generators (eqs. 1 to 3; identity terms of section 5.2).

        ``L_G = L_ab + L_ba + lambda (L_cyc_a + L_cyc_b) + lambda_idt (L_idt_a + L_idt_b)`` with
        ``L_ab = E[(D_b(G_ab(a)) - 1)^2]``, ``L_cyc_a = E[|G_ba(G_ab(a)) - a|]`` and ``L_idt_b = E[|G_ab(b) - b|]``.
        The variation of the translations is added if it has a weight; official: 0.
        """
        terms = {
            "adversarial_ab": self.adversarial.generator_term(
                self.discriminator_b(fake_b), lambda: self.discriminator_b(b)
            ),
            "adversarial_ba": self.adversarial.generator_term(
                self.discriminator_a(fake_a), lambda: self.discriminator_a(a)
            ),
            "cycle_a": l1(self.generator_ba(fake_b), a),
            "cycle_b": l1(self.generator_ab(fake_a), b),
        }
        if identity_a is not None:
            terms["identity_a"] = l1(identity_a, a)
        if identity_b is not None:
            terms["identity_b"] = l1(identity_b, b)
        for side, fake in (("a", fake_a), ("b", fake_b)):
            if self.is_active("generator", f"variation_{side}"):
                terms[f"variation_{side}"] = mean_variation(fake)
        return self.weighted("generator", terms)

    def discriminator_loss(self, side: str, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the discriminator of a domain (eq. 1).

        ``L_D_b = 1/2 E[(D_b(b) - 1)^2] + 1/2 E[D_b(fake_b)^2]``, with translations ``fake_b`` from the image pool.
        """
        discriminator = self.network(f"discriminator_{side}")
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            partial(forward_together, discriminator), real, fake, between=discriminator, column=SIDES[side]
        )
        self.record_discriminator_accuracy(f"discriminator/{side}", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms, side)

    def query_pool(self, side: str, fake: Tensor) -> Tensor:
        """Return the translations to a domain for its discriminator, some exchanged for earlier translations.

        All processes have equal pools: each pool receives the translations of the global batch.
        """
        pool = self.pools[side]
        if pool.size == 0:
            return fake.detach()

        def query(images: Tensor) -> Tensor:
            return pool.query(images, self.pool_draws(side, len(images)).tolist())

        return self.host_inputs.outside(lambda images: on_global_batch(images, query), fake.detach())

    def pool_draws(self, side: str, num_images: int) -> np.ndarray:
        """Return two numbers, uniform on [0, 1), for each image of the global batch of this iteration: (n, 2) float64.

        They are a function of (seed, side, position of the image in the sample stream).
        """
        positions = self.iteration * num_images + np.arange(num_images)
        draws = uniform(self.seed, Stream.POOL, positions, 2 * len(SIDES))
        return draws.reshape(num_images, len(SIDES), 2)[:, SIDES[side]]

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return a grid for each direction: rows of sources, translations, reconstructions and identities.

        An identity is the output of the generator that translates to the source's own domain.
        """

        def rows(x: Tensor, own: Tensor, source: str, target: str) -> dict[str, Tensor]:
            translated = self.translate(x, 1 - own)
            return {
                source: x,
                f"to {target}": translated,
                "and back": self.translate(translated, own),
                "identity": self.translate(x, own),
            }

        return direction_grids(held_out, rows)
