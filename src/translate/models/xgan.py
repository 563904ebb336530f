"""XGAN (Royer et al. 2017, arXiv 1711.05139): two auto-encoders that share layers and the meaning of their codes.

Letters: a, b images of the first and of the second domain; E_a, E_b encoders, G_a, G_b decoders, both with the shared
layers; c the classifier of codes; D_b (and optionally D_a) discriminators. ``z_a = E_a(a)``, ``fake_b = G_b(z_a)``,
``z_ab = E_b(fake_b)``. Terms are named by the domain of the images that they start from, adversarial terms by the
direction: ``semantic_a`` compares z_a with z_ab.

The classifier c minimizes the cross-entropy of the domain of a code. The encoders maximize it: the gradient is reversed
between them, so one update trains both.

Differences
- From the paper: no code was released. The networks are those of a port (seungminki/xgan2) without its dropout and its
  denoiser. Batch norms come after the ReLUs there, and those of shared layers see both domains in turn.
- From the port: it replaced the classifier c by a critic with a gradient penalty, with five updates an iteration. It
  does not detach the codes there, so the sum of five reversed gradients is added to the encoders. It also has a
  perceptual term between unrelated images, and its teacher is a constant. Here are the losses of the paper.
- The discriminator reads translations made before the update of the auto-encoders; the port makes new ones.
- Dropout, if it is switched on, draws for each process and microbatch anew.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.unpaired import UnpairedBatch
from translate.errors import UserError
from translate.inference.grids import Grid
from translate.inference.unit import SIDES
from translate.inference.xgan import XGANTranslation
from translate.losses.adversarial import AdversarialLoss, NonSaturating
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.models.two_domains import autoencoder_grids
from translate.networks.layers.gradient_reversal import reverse_gradient
from translate.registry.registry import MODELS

AUTO_ENCODERS = ("encoder_a", "encoder_b", "encoder_shared", "decoder_shared", "decoder_a", "decoder_b")
DISCRIMINATORS = ("discriminator_a", "discriminator_b")


class Trip(NamedTuple):
    """The way of images through their own domain and into the other one."""

    code: Tensor  # (B, L) of the images
    same: Tensor  # (B, 3, S, S), decoded in their own domain
    translation: Tensor  # (B, 3, S, S), decoded in the other domain
    code_of_translation: Tensor  # (B, L)


@MODELS.register(
    "xgan",
    batch="unpaired",
    networks=(
        "encoder_a",
        "encoder_b",
        "encoder_shared",
        "decoder_shared",
        "decoder_a",
        "decoder_b",
        "code_classifier",
        "discriminator_b",
    ),
    optional_networks=("discriminator_a", "teacher"),
    losses=("adversarial", "reconstruction", "semantic", "teacher"),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "generator": (
            "reconstruction_a",
            "reconstruction_b",
            "domain_a",
            "domain_b",
            "semantic_a",
            "semantic_b",
            "adversarial_ab",
            "adversarial_ba",
            "teacher",
        ),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class XGAN(TranslationModel):
    """Auto-encoders of two domains with a common space of codes, a classifier of codes, and a discriminator.

    Weights of terms: ``domain_a`` and ``domain_b`` are w_d of the paper, ``semantic_*`` w_s, ``adversarial_*`` w_g,
    ``teacher`` w_t. ``reversal`` is the factor by which the reversed gradient of the domain terms reaches the encoders.
    ``detach_codes``: the semantic terms do not move the codes of images, only those of translations. ``ema_decay``:
    null for no moving averages. Terms of discriminators have the variants "a" and "b".
    """

    progress_terms = ("generator/reconstruction_a", "generator/semantic_a", "generator/domain_a")
    ema_roles = AUTO_ENCODERS
    double_backward_roles = DISCRIMINATORS
    inference = XGANTranslation

    decoder_shared: nn.Module
    encoder_shared: nn.Module
    code_classifier: nn.Module

    def __init__(self, reversal: float = 1.0, detach_codes: bool = True, **common: Any) -> None:
        super().__init__(**common)
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.cross_entropy = NonSaturating()
        self.reversal = reversal
        self.detach_codes = detach_codes
        self._check_optional_roles()

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: one update of auto-encoders and classifier, then one of the discriminators."""
        a, b = batch.a, batch.b
        with self.update(*AUTO_ENCODERS, "code_classifier") as minimize:
            trip_a, trip_b = self.travel(a, "a"), self.travel(b, "b")
            minimize(self.generator_loss(a, b, trip_a, trip_b))
        with self.update(*DISCRIMINATORS) as minimize:
            loss = self.discriminator_loss("b", b, trip_a.translation.detach())
            if "discriminator_a" in self.roles:
                loss = loss + self.discriminator_loss("a", a, trip_b.translation.detach())
            minimize(loss)
        self.update_ema()

    def travel(self, x: Tensor, side: str) -> Trip:
        """Return the codes, reconstructions and translations of images of a domain, and the codes of the latter."""
        other = "b" if side == "a" else "a"
        code = self.encode(x, side)
        features = self.decoder_shared(code)
        same = self.network(f"decoder_{side}")(features)
        translation = self.network(f"decoder_{other}")(features)
        return Trip(code, same, translation, self.encode(translation, other))

    def encode(self, x: Tensor, side: str) -> Tensor:
        """Return the codes (B, L) of images (B, 3, S, S) of a domain."""
        codes: Tensor = self.encoder_shared(self.network(f"encoder_{side}")(x))
        return codes

    def generator_loss(self, a: Tensor, b: Tensor, trip_a: Trip, trip_b: Trip) -> Tensor:
        """Return the loss of auto-encoders and classifier (section 3).

        ``L = E|a - G_a(z_a)|_2 + E|b - G_b(z_b)|_2 + w_d (-E[log(1 - c(z_a))] - E[log c(z_b)])
        + w_s (E|z_a - z_ab|_1 + E|z_b - z_ba|_1) - w_g E[log D_b(fake_b)] + w_t E|z_a - T(a)|_1``. The gradient of
        the part with w_d is reversed behind the classifier c.
        """
        reconstruction, semantic = self.losses["reconstruction"], self.losses["semantic"]
        terms = {
            "reconstruction_a": reconstruction(trip_a.same, a),
            "reconstruction_b": reconstruction(trip_b.same, b),
            "domain_a": self.cross_entropy.fake(self.classify(trip_a.code, "a")),
            "domain_b": self.cross_entropy.real(self.classify(trip_b.code, "b")),
            "semantic_a": semantic(trip_a.code_of_translation, self.fixed(trip_a.code)),
            "semantic_b": semantic(trip_b.code_of_translation, self.fixed(trip_b.code)),
        }
        if self.is_active("generator", "adversarial_ab"):
            discriminator = self.network("discriminator_b")
            logits = discriminator(trip_a.translation)
            terms["adversarial_ab"] = self.adversarial.generator_term(logits, partial(discriminator, b))
        if self.is_active("generator", "adversarial_ba"):
            discriminator = self.network("discriminator_a")
            logits = discriminator(trip_b.translation)
            terms["adversarial_ba"] = self.adversarial.generator_term(logits, partial(discriminator, a))
        if self.is_active("generator", "teacher"):
            with torch.no_grad():
                embeddings = self.network("teacher")(a)
            terms["teacher"] = self.losses["teacher"](trip_a.code, embeddings)
        return self.weighted("generator", terms)

    def classify(self, code: Tensor, side: str) -> Tensor:
        """Return the classifier's logits (B, 1) that codes are of the second domain; the gradient is reversed."""
        logits: Tensor = self.code_classifier(reverse_gradient(code, self.reversal))
        self.record_class_accuracy(f"code_classifier/{side}", logits, SIDES.index(side))
        return logits

    def fixed(self, code: Tensor) -> Tensor:
        """Return codes of images as targets of the semantic terms: with their gradients or, as configured, without."""
        return code.detach() if self.detach_codes else code

    def discriminator_loss(self, side: str, real: Tensor, fake: Tensor) -> Tensor:
        """Return ``L_D_b = -E[log D_b(b)] - E[log(1 - D_b(fake_b))]``, with the weights of its terms."""
        discriminator = self.network(f"discriminator_{side}")
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            lambda *images: [discriminator(each) for each in images],
            real,
            fake,
            between=discriminator,
            column=SIDES.index(side),
        )
        self.record_discriminator_accuracy(f"discriminator/{side}", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms, side)

    def _check_optional_roles(self) -> None:
        """Raise UserError for a term without its network, and for a network that no term reads."""
        for role, term in (("discriminator_a", "adversarial_ba"), ("teacher", "teacher")):
            active = self.is_active("generator", term)
            if role in self.roles and not active:
                raise UserError("no term with a weight reads this network", key=f"networks.{role}")
            if active and role not in self.roles:
                fix = f"set networks.{role}, or 0"
                raise UserError(f"this term needs the network {role}", key=f"weights.generator.{term}", fix=fix)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return a grid for each direction: rows of sources, reconstructions, translations and translations back."""
        return autoencoder_grids(held_out, XGANTranslation(self.inference_networks()))
