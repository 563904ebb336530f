"""CycleGAN (Zhu et al., ICCV 2017, arXiv 1703.10593).

Letters: a, b images of the first and of the second domain; ``fake_b`` is made from a, ``cycled_a`` from ``fake_b``;
``generator_ab`` translates a to b (G in the paper), ``generator_ba`` b to a (F); ``discriminator_a`` judges images of
domain a (D_X), ``discriminator_b`` those of b (D_Y). A term is named by the domain of the images that it compares:
``cycle_a`` is about a and ``cycled_a``, ``identity_b`` about b and what ``generator_ab`` makes of b.

The published code names otherwise: its G_A and G_B are ``generator_ab`` and ``generator_ba``; its D_A judges images of
b, so it is ``discriminator_b``, and its D_B is ``discriminator_a``; its idt_A is ``identity_b``.

Differences
- From the published code: what the pools exchange is a function of the images' places in the sample stream, so it does
  not depend on the number of processes, and the pools are part of checkpoints. An identity term whose weight is always
  zero is not measured, as published; one whose weight may change is. The published code has the losses of WGAN-GP but
  computes no penalty in training; here the weight of ``gradient_penalty`` switches it on.
- Weights of identity terms multiply those of the cycle terms, as in the paper and the published code (0.5 of 10, which
  makes 5). Other implementations take the same 0.5 as it is, a tenth; ``identity_scale`` chooses.
- From the paper: it lets the learning rates fall to zero; published are steps of an epoch, the last of which still has
  a hundred-and-first of the start (2e-6 of 2e-4).
- From the published code: with batch norm it translates by the statistics of the batch at hand, which is one image.
  Here an image is normalised by its own statistics, which is the same at one image and does not depend on the others,
  or by running ones (``statistics``). Dropout, if there is any, is off in translations.
- From both: averages of the generators may be kept (``ema_decay``); by default there are none, as published.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.philox import uniform
from translate.data.streams import Stream
from translate.data.views.unpaired import UnpairedBatch
from translate.distributed.collectives import local_shard, on_global_batch, shard_count
from translate.errors import UserError
from translate.inference.cyclegan import CycleGANTranslation
from translate.inference.grids import grid
from translate.losses.adversarial import AdversarialLoss
from translate.losses.penalties import gradient_penalty
from translate.losses.reconstruction import l1
from translate.models.base import OptimizerFactory, TranslationModel
from translate.models.image_pool import ImagePool
from translate.networks.layers.batching import forward_together
from translate.registry.registry import MODELS
from translate.schedules import product

SIDES = ("a", "b")
NUM_SAMPLES = 8  # images of a domain in a sample grid


@MODELS.register(
    "cyclegan",
    batch="unpaired",
    networks=("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"),
    losses=("adversarial",),
    terms={
        "generator": ("adversarial_ab", "adversarial_ba", "cycle_a", "cycle_b", "identity_a", "identity_b"),
        "discriminator": ("real", "fake", "gradient_penalty"),
    },
)
class CycleGAN(TranslationModel):
    """Two generators that undo each other, and a discriminator for each domain.

    ``identity_scale`` says what the weights of the identity terms multiply, ``pool_size`` how many translations each
    discriminator is shown again (0: none), ``statistics`` what batch norms translate by: "image", as when trained at
    batch size 1, or "running". The terms of the discriminators have the variants "a" and "b".
    """

    progress_terms = ("generator/adversarial_ab", "generator/adversarial_ba", "generator/cycle_a", "generator/cycle_b")

    double_backward_roles = ("discriminator_a", "discriminator_b")

    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        losses: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, Any]],
        identity_scale: Literal["cycle", "alone"] = "cycle",
        pool_size: int = 50,
        statistics: Literal["image", "running"] = "image",
        ema_decay: float | None = None,
        gradient_clip: float | None = None,
        seed: int = 0,
    ) -> None:
        averaged = () if ema_decay is None else ("generator_ab", "generator_ba")
        super().__init__(networks, optimizers, weights, averaged, ema_decay or 0.0, gradient_clip, seed)
        if pool_size < 0:
            raise UserError(f"model.pool_size: found {pool_size}, expected 0, which is off, or more")
        self.adversarial: AdversarialLoss = losses["adversarial"]
        self.statistics = statistics
        self.pools = {side: ImagePool(pool_size) for side in SIDES}
        self.memories = {f"pool_{side}": pool for side, pool in self.pools.items()}
        if identity_scale == "cycle":
            of = self.weights["generator"]
            of |= {f"identity_{side}": product(of[f"identity_{side}"], of[f"cycle_{side}"]) for side in SIDES}

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: an update of both generators, then one of both discriminators."""
        a, b = batch.a, batch.b
        with self.update("generator_ab", "generator_ba") as minimize:
            (fake_b, same_b), (fake_a, same_a) = self.translations(a, b)
            minimize(self.generator_loss(a, b, fake_a, fake_b, same_a, same_b))
        fake_a, fake_b = self.query_pool("a", fake_a), self.query_pool("b", fake_b)
        with self.update("discriminator_a", "discriminator_b") as minimize:
            minimize(self.discriminator_loss("a", a, fake_a) + self.discriminator_loss("b", b, fake_b))
        self.update_ema()

    def translations(self, a: Tensor, b: Tensor) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """Return, of each generator, its translations and, if that counts, what it makes of images of its target."""
        found = []
        for direction, source, target in (("ab", a, b), ("ba", b, a)):
            identity = self.is_active("generator", f"identity_{direction[1]}")
            made = forward_together(self.network(f"generator_{direction}"), source, *([target] if identity else []))
            found.append((made[0], made[1] if identity else None))
        return found[0], found[1]

    def generator_loss(
        self, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor, same_a: Tensor | None, same_b: Tensor | None
    ) -> Tensor:
        """Return what the generators pay (eqs. 1 to 3; the identity terms of section 5.2)."""
        terms = {
            "adversarial_ab": self.adversarial.generator(self.discriminator_b(fake_b)),
            "adversarial_ba": self.adversarial.generator(self.discriminator_a(fake_a)),
            "cycle_a": l1(self.generator_ba(fake_b), a),
            "cycle_b": l1(self.generator_ab(fake_a), b),
        }
        if same_a is not None:
            terms["identity_a"] = l1(same_a, a)
        if same_b is not None:
            terms["identity_b"] = l1(same_b, b)
        return self.weighted("generator", terms)

    def discriminator_loss(self, side: str, real: Tensor, fake: Tensor) -> Tensor:
        """Return what the discriminator of a side pays for images of its domain and translations to it (eq. 1)."""
        discriminator = self.network(f"discriminator_{side}")
        real_logits, fake_logits = forward_together(discriminator, real, fake)
        self.record_discriminator_accuracy(f"discriminator/{side}", real_logits, fake_logits)
        terms = {"real": self.adversarial.real(real_logits), "fake": self.adversarial.fake(fake_logits)}
        if self.is_active("discriminator", "gradient_penalty"):
            ratio = local_shard(self.chances(Stream.INTERPOLATION, side, len(real) * shard_count(), 1))[
                :, :, None, None
            ].to(real)
            mixed = (ratio * real + (1 - ratio) * fake).requires_grad_()
            terms["gradient_penalty"] = gradient_penalty(discriminator(mixed), mixed)
        return self.weighted("discriminator", terms, side)

    def query_pool(self, side: str, fake: Tensor) -> Tensor:
        """Return translations to a side to be judged: ``fake``, of which some are exchanged for earlier ones.

        All processes have the same pools, to which each shows the translations of all.
        """
        pool = self.pools[side]
        if pool.size == 0:
            return fake.detach()
        return on_global_batch(
            fake, lambda whole: pool.query(whole, self.chances(Stream.POOL, side, len(whole), 2).tolist())
        )

    def chances(self, stream: Stream, side: str, num_images: int, count: int) -> Tensor:
        """Return ``count`` numbers, uniform on [0, 1), for each image of an iteration in all processes.

        They are float64, on the CPU, and a function of (seed, side, place of the image in the sample stream).
        """
        positions = self.iteration * num_images + np.arange(num_images)
        found = uniform(self.seed, stream, positions, len(SIDES) * count).reshape(num_images, len(SIDES), count)
        return torch.from_numpy(found[:, SIDES.index(side)])

    # --- use after training ----------------------------------------------------------------------------------

    def translate(self, x: Tensor, target: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) to the domains (B,), see `CycleGANTranslation`."""
        return CycleGANTranslation(self.inference_networks(), self.statistics)(x, target)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Tensor]:
        """Return a picture for each direction: rows of sources, translations, those translated back, and identities.

        An identity is what a source becomes by the generator that translates to the source's own domain.
        """
        found = {}
        for domain, name in enumerate(("a_to_b", "b_to_a")):
            x = held_out.image[held_out.domain == domain][:NUM_SAMPLES]
            own = held_out.domain.new_full((len(x),), domain)
            away = self.translate(x, 1 - own)
            rows = [x, away, self.translate(away, own), self.translate(x, own)]
            found[name] = grid([list(row) for row in rows])
        return found
