"""DTN (Taigman, Polyak, Wolf, ICLR 2017, arXiv 1611.02200): unsupervised translation that keeps a given function f.

Letters: s image of the first (source) domain, t of the second (target) domain, f the frozen function, g the generator,
``G = g o f`` the translation, D the discriminator of three classes. Class 0 is a translation G(s), 1 a translation
G(t), 2 a real image t; the paper counts from 1.

The function f is trained before, on other data or by a stage, and never here. Its role ``features`` is frozen: it is in
no checkpoint. The translation G is one network to a user, but g alone learns. G(t) should be t itself.

Differences
- From the paper: no code was released. The networks and the order of updates are those of a port
  (davrempe/domain-transfer-net): one update of D, then one of g, on the same translations.
- From the port: grey targets are images of three equal channels; ``image_channels: 1`` of generator and discriminator
  make and read one channel. The port's total variation sums absolute differences over positions and takes the mean over
  channels; the paper's form takes the root of the sum of squares. Both are options of ``losses.smoothness``.
- Translation uses the running statistics of the batch norms of g, as in the port, or those of each image.
- From both: gradient penalties can be switched on, and ``ema_decay`` keeps an EMA of g. The defaults equal both. A
  penalty concerns one number of an image: the logit, or ``log(D_2 / (1 - D_2))`` of the ternary loss, by which g is
  trained. With two kinds of translations it is the mean over both.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from translate.data.batches import HeldOut
from translate.data.views.unpaired import UnpairedBatch
from translate.distributed.microbatches import rendezvous
from translate.errors import UserError
from translate.inference.dtn import DTNTranslation
from translate.inference.grids import Grid
from translate.losses.adversarial import AdversarialLoss, Ternary
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.registry.registry import MODELS

CLASSES = ("source", "target", "real")
"""What an image is to the discriminator, by number: G(s), G(t) or t."""

NUM_SAMPLES = 8  # images of a domain in a sample grid


@MODELS.register(
    "dtn",
    batch="unpaired",
    networks=("features", "generator", "discriminator"),
    trained=("generator", "discriminator"),
    losses=("adversarial", "constancy", "identity", "smoothness"),
    terms={
        "discriminator": ("source", "target", "real", "r1", "r2", "zero_centred", "gradient_penalty"),
        "generator": ("adversarial_source", "adversarial_target", "constancy", "identity", "smoothness"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class DTN(TranslationModel):
    """A generator that inverts a frozen function in the target domain, and a discriminator of three classes.

    Weights: ``constancy`` is alpha of the paper, ``identity`` (L_TID) beta, ``smoothness`` (L_TV) gamma.
    ``statistics`` are those that batch norms use in translation: "running", or "image", as in training at batch size 1.
    ``running_statistics`` are over the translations G(s) and G(t) ("both", as in the port), or over G(s) alone
    ("source"), which is what a user translates.
    ``ema_decay``: null for no moving average of the generator. The terms ``class_accuracy/discriminator/*`` are the
    fractions of images of a class that the discriminator assigns to it; chance is 1/3. Another loss than `ternary`
    takes both kinds of translations for fake images, and needs a discriminator with ``num_logits`` 1; chance is 1/2.
    """

    progress_terms = ("generator/adversarial_source", "generator/constancy", "generator/identity")
    ema_roles = ("generator",)
    inference = DTNTranslation

    features: nn.Module
    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        statistics: Literal["image", "running"] = "running",
        running_statistics: Literal["both", "source"] = "both",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if "features" in self.trained:
            raise UserError("DTN never trains the function f", key="optimizers.features", fix="remove this optimizer")
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.statistics, self.running_statistics = statistics, running_statistics

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: one update of the discriminator, then one of the generator, on the same translations."""
        s, t = batch.a, batch.b
        with torch.no_grad():
            code_s, code_t = self.features(s), self.features(t)
        fake_s = self.generator(code_s)
        with standing_statistics(self.generator) if self.running_statistics == "source" else nullcontext():
            fake_t = self.generator(code_t)
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(t, fake_s, fake_t))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(t, fake_s, fake_t, code_s))
        self.update_ema()

    def discriminator_loss(self, t: Tensor, fake_s: Tensor, fake_t: Tensor) -> Tensor:
        """Return ``L_D = -E_s[log D_0(G(s))] - E_t[log D_1(G(t))] - E_t[log D_2(t)]`` (eq. 3)."""
        (*_, source, target, real), penalties = self.penalties.evaluate(
            self.realness_and_logits,
            t,
            fake_s,
            fake_t,
            between=lambda images: self.realness(self.discriminator(images)),
        )
        logits = dict(zip(CLASSES, (source, target, real), strict=True))
        for number, name in enumerate(CLASSES):
            self.record_class_accuracy(f"discriminator/{name}", logits[name], number if self.ternary else number // 2)
        terms = self.adversarial.discriminator_terms(**logits) | penalties
        return self.weighted("discriminator", terms)

    def realness_and_logits(self, t: Tensor, fake_s: Tensor, fake_t: Tensor) -> list[Tensor]:
        """Return `realness` of t, G(s) and G(t), then the logits of G(s), G(t) and t."""
        logits = [self.discriminator(images) for images in (fake_s, fake_t, t)]
        self._check_logits(logits[0].shape[1])
        return [self.realness(each) for each in (logits[2], *logits[:2])] + logits

    def realness(self, logits: Tensor) -> Tensor:
        """Return the logit (B,) that images are real, of logits (B, 1) or of those (B, 3) of three classes."""
        return self.adversarial.log_odds(logits) if isinstance(self.adversarial, Ternary) else logits.flatten()

    @property
    def ternary(self) -> bool:
        """Return whether the loss knows both kinds of translations apart, as that of the paper does."""
        return isinstance(self.adversarial, Ternary)

    def _check_logits(self, count: int) -> None:
        """Raise UserError unless the discriminator has as many logits as the loss has classes; one logit for two."""
        if count != (expected := 3 if self.ternary else 1):
            statement = "the number of logits for the loss of the slot adversarial"
            raise UserError(statement, key="networks.discriminator.num_logits", found=count, expected=str(expected))

    def generator_loss(self, t: Tensor, fake_s: Tensor, fake_t: Tensor, code_s: Tensor) -> Tensor:
        """Return ``L_G = L_GANG + alpha L_CONST + beta L_TID + gamma L_TV`` (eqs. 4 to 6).

        ``L_GANG = -E_s[log D_2(G(s))] - E_t[log D_2(G(t))]``, ``L_CONST = E_s[d(f(s), f(G(s)))]``,
        ``L_TID = E_t[d2(t, G(t))]`` and ``L_TV`` the total variation of the translations of both domains.
        """
        real = partial(self.discriminator, t)
        terms = {
            "adversarial_source": self.adversarial.generator_term(self.discriminator(fake_s), real),
            "adversarial_target": self.adversarial.generator_term(self.discriminator(fake_t), real),
            "constancy": self.losses["constancy"](self.features(fake_s), code_s),
            "identity": self.losses["identity"](fake_t, t),
        }
        if self.is_active("generator", "smoothness"):
            smoothness = self.losses["smoothness"]
            terms["smoothness"] = smoothness(fake_s) + smoothness(fake_t)
        return self.weighted("generator", terms)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return a grid for each domain: rows of images and of their translations to the target domain."""
        grids = {}
        for domain, name in enumerate(("source", "target")):
            x = held_out.image[held_out.domain == domain][:NUM_SAMPLES]
            translations = self.translate(x, held_out.domain.new_ones(len(x)))
            labels = (held_out.domains[domain], f"to {held_out.domains[1]}")
            grids[name] = Grid([list(x), list(translations)], row_labels=labels)
        return grids


@contextmanager
def standing_statistics(network: nn.Module) -> Iterator[None]:
    """Within the context, batch norms use the statistics of a batch and leave the running ones as they are."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    # once for all microbatches: the second of them would take the zero of the first for the momentum
    momenta = rendezvous(None, lambda _: [norm.momentum for norm in norms])
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
