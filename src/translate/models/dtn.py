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
- From both: ``ema_decay`` keeps an EMA of g; null, the default, equals both.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.unpaired import UnpairedBatch
from translate.errors import UserError
from translate.inference.dtn import DTNTranslation
from translate.inference.grids import Grid
from translate.losses.adversarial import Ternary
from translate.models.base import TranslationModel
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
        "discriminator": ("source", "target", "real"),
        "generator": ("adversarial_source", "adversarial_target", "constancy", "identity", "smoothness"),
    },
)
class DTN(TranslationModel):
    """A generator that inverts a frozen function in the target domain, and a discriminator of three classes.

    Weights: ``constancy`` is alpha of the paper, ``identity`` (L_TID) beta, ``smoothness`` (L_TV) gamma.
    ``statistics`` are those that batch norms use in translation: "running", or "image", as in training at batch size 1.
    ``ema_decay``: null for no moving average of the generator. The terms ``class_accuracy/discriminator/*`` are the
    fractions of images of a class that the discriminator assigns to it; chance is 1/3.
    """

    progress_terms = ("generator/adversarial_source", "generator/constancy", "generator/identity")
    ema_roles = ("generator",)
    double_backward_roles = ()
    inference = DTNTranslation

    features: nn.Module
    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, statistics: Literal["image", "running"] = "running", **common: Any) -> None:
        super().__init__(**common)
        if "features" in self.trained:
            raise UserError("DTN never trains the function f", key="optimizers.features", fix="remove this optimizer")
        self.adversarial: Ternary = self.losses["adversarial"]
        self.statistics = statistics

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: one update of the discriminator, then one of the generator, on the same translations."""
        s, t = batch.a, batch.b
        with torch.no_grad():
            code_s, code_t = self.features(s), self.features(t)
        fake_s, fake_t = self.generator(code_s), self.generator(code_t)
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(t, fake_s.detach(), fake_t.detach()))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(t, fake_s, fake_t, code_s))
        self.update_ema()

    def discriminator_loss(self, t: Tensor, fake_s: Tensor, fake_t: Tensor) -> Tensor:
        """Return ``L_D = -E_s[log D_0(G(s))] - E_t[log D_1(G(t))] - E_t[log D_2(t)]`` (eq. 3)."""
        logits = [self.discriminator(images) for images in (fake_s, fake_t, t)]
        for number, name in enumerate(CLASSES):
            self.record_class_accuracy(f"discriminator/{name}", logits[number], number)
        terms = {name: getattr(self.adversarial, name)(logits[number]) for number, name in enumerate(CLASSES)}
        return self.weighted("discriminator", terms)

    def generator_loss(self, t: Tensor, fake_s: Tensor, fake_t: Tensor, code_s: Tensor) -> Tensor:
        """Return ``L_G = L_GANG + alpha L_CONST + beta L_TID + gamma L_TV`` (eqs. 4 to 6).

        ``L_GANG = -E_s[log D_2(G(s))] - E_t[log D_2(G(t))]``, ``L_CONST = E_s[d(f(s), f(G(s)))]``,
        ``L_TID = E_t[d2(t, G(t))]`` and ``L_TV`` the total variation of the translations of both domains.
        """
        terms = {
            "adversarial_source": self.adversarial.generator(self.discriminator(fake_s)),
            "adversarial_target": self.adversarial.generator(self.discriminator(fake_t)),
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
