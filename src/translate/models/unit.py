"""UNIT (Liu, Breuel, Kautz, NIPS 2017, arXiv 1703.00848): auto-encoders of two domains that share a latent space.

Letters: a, b images of the first and of the second domain; E_a, E_b encoders with the shared layers, whose output is
the mean code; G_a, G_b decoders (the paper's generators) with the shared layers; D_a, D_b discriminators; n standard
normal noise. ``z_a = E_a(a)``, ``fake_b = G_b(z_a + n)``, ``z_ab = E_b(fake_b)``. Terms are named by the domain of the
images that they compare, adversarial terms by the direction: ``cycle_a`` compares a with ``G_a(z_ab + n)``.

Two forms, by the networks of the configuration
- ``model=unit_paper``: the form of the paper, with the roles ``encoder_shared``, ``decoder_shared`` and
  ``discriminator_shared``. Each is a network of its own, stepped once, and follows or precedes those of both domains.
- ``model=unit``: the form of today's official code (2018). No layer is shared; the cycle alone makes the space common.

Differences
- From the paper: the weights of the divergences have no factor 1/2, as in the official code. An image is reconstructed
  with the L1 distance, the likelihood of a Laplace distribution.
- From the official code: the noise of an image is a function of its position in the sample stream, so it does not
  depend on the number of processes. Gradients of the discriminators' loss do not reach the generators; the official
  code of the paper's time computes these gradients and discards them.
- From the official code of 2018: held-out images are not cropped at random.
- From the official code of the paper's time: it sums the divergence of both domains as twice the mean over both, which
  is equal.
- From both: ``ema_decay`` keeps an EMA of encoders and decoders, and a discriminator of codes can be trained, against
  which the encoders play (term ``code``). The defaults have neither and equal both.
"""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.unpaired import UnpairedBatch
from translate.errors import UserError
from translate.inference.grids import Grid
from translate.inference.unit import UNITTranslation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.perceptual import normalized_feature_distance
from translate.losses.reconstruction import l1
from translate.losses.regularization import code_energy
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.models.two_domains import autoencoder_grids
from translate.networks.layers.batching import forward_together
from translate.registry.registry import MODELS

Pair = tuple[Tensor, Tensor]
GENERATORS = ("encoder_a", "encoder_b", "encoder_shared", "decoder_shared", "decoder_a", "decoder_b")
DISCRIMINATORS = ("discriminator_a", "discriminator_b", "discriminator_shared")


@MODELS.register(
    "unit",
    batch="unpaired",
    networks=("encoder_a", "encoder_b", "decoder_a", "decoder_b", "discriminator_a", "discriminator_b"),
    optional_networks=("encoder_shared", "decoder_shared", "discriminator_shared", "code_discriminator", "perceptual"),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "code_discriminator": ("code",),
        "generator": (
            "adversarial_ab",
            "adversarial_ba",
            "reconstruction_a",
            "reconstruction_b",
            "kl_a",
            "kl_b",
            "cycle_a",
            "cycle_b",
            "cycle_kl_a",
            "cycle_kl_b",
            "perceptual_a",
            "perceptual_b",
            "code",
        ),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class UNIT(TranslationModel):
    """Variational auto-encoders of two domains with a common space of codes, and a discriminator for each domain.

    ``kl`` is computed of the "mean" code, or of the "sample", the code with its noise, as in the paper's time. Terms of
    discriminators have the variants "a" and "b". ``ema_decay``: null for no moving averages.
    """

    progress_terms = ("generator/adversarial_ab", "generator/adversarial_ba", "generator/cycle_a", "generator/cycle_b")
    ema_roles = GENERATORS
    double_backward_roles = DISCRIMINATORS
    inference = UNITTranslation

    encoder_a: nn.Module
    encoder_b: nn.Module
    decoder_a: nn.Module
    decoder_b: nn.Module

    def __init__(self, kl: Literal["mean", "sample"] = "mean", **common: Any) -> None:
        super().__init__(**common)
        if kl not in ("mean", "sample"):
            raise UserError(key="kl", found=kl, expected="'mean' or 'sample'")
        self.kl = kl
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self._check_optional_roles()

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: one update of the discriminators, then one of encoders and decoders, with new noise."""
        a, b = batch.a, batch.b
        with self.update(*DISCRIMINATORS, "code_discriminator") as minimize:
            with torch.no_grad():
                codes = self.encode(a, b)
                features_a, features_b = self.features(*self.with_noise(*codes, first=0))
                fake_a, fake_b = self.decoder_a(features_b), self.decoder_b(features_a)
            loss = self.discriminator_loss("a", a, fake_a) + self.discriminator_loss("b", b, fake_b)
            minimize(loss + self.code_discriminator_loss(*codes))
        with self.update(*GENERATORS) as minimize:
            minimize(self.generator_loss(a, b))
        self.update_ema()

    def generator_loss(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the loss of encoders and decoders (eqs. 3 to 7).

        ``L = l0 (L_ab + L_ba) + l2 (E[|G_a(z_a + n) - a|] + ...) + l1 (E[z_a^2] + E[z_b^2])
        + l4 (E[|G_a(z_ab + n) - a|] + ...) + l3 (E[z_ab^2] + E[z_ba^2])`` with ``L_ab = E[(D_b(fake_b) - 1)^2]``,
        or the cross-entropy in the paper.
        """
        means_a, means_b = self.encode(a, b)
        codes_a, codes_b = self.with_noise(means_a, means_b, first=2)
        features_a, features_b = self.features(codes_a, codes_b)
        same_a, fake_a = forward_together(self.decoder_a, features_a, features_b)
        fake_b, same_b = forward_together(self.decoder_b, features_a, features_b)
        means_ba, means_ab = self.encode(fake_a, fake_b)
        codes_ba, codes_ab = self.with_noise(means_ba, means_ab, first=4)
        features_ba, features_ab = self.features(codes_ba, codes_ab)
        terms = {
            "adversarial_ab": self.adversarial_term("b", b, fake_b),
            "adversarial_ba": self.adversarial_term("a", a, fake_a),
            "reconstruction_a": l1(same_a, a),
            "reconstruction_b": l1(same_b, b),
            "kl_a": code_energy(means_a if self.kl == "mean" else codes_a),
            "kl_b": code_energy(means_b if self.kl == "mean" else codes_b),
            "cycle_a": l1(self.decoder_a(features_ab), a),
            "cycle_b": l1(self.decoder_b(features_ba), b),
            "cycle_kl_a": code_energy(means_ab if self.kl == "mean" else codes_ab),
            "cycle_kl_b": code_energy(means_ba if self.kl == "mean" else codes_ba),
        }
        if self.is_active("generator", "perceptual_a"):
            terms["perceptual_a"] = self.perceptual_distance(fake_b, a)
        if self.is_active("generator", "perceptual_b"):
            terms["perceptual_b"] = self.perceptual_distance(fake_a, b)
        if self.is_active("generator", "code"):
            terms["code"] = self.confusion(means_a, means_b)
        return self.weighted("generator", terms)

    def adversarial_term(self, side: str, real: Tensor, fake: Tensor) -> Tensor:
        """Return the adversarial loss of the translations to a domain."""
        return self.adversarial.generator_term(self.logits(side, fake), partial(self.logits, side, real))

    def discriminator_loss(self, side: str, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the discriminator of a domain, with the weights of its terms.

        ``L_D_a = E[(D_a(a) - 1)^2] + E[D_a(fake_a)^2]``, summed over scales, or the cross-entropy in the paper.
        """
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            partial(self.discriminate, side), real, fake, between=partial(self.logits, side), column="ab".index(side)
        )
        self.record_discriminator_accuracy(f"discriminator/{side}", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms, side)

    # --- networks with their shared layers --------------------------------------------------------------------

    def encode(self, a: Tensor, b: Tensor) -> Pair:
        """Return the mean codes (B, C, s, s) ``E_a(a)`` and ``E_b(b)``."""
        return self._shared("encoder_shared", self.encoder_a(a), self.encoder_b(b))

    def features(self, codes_a: Tensor, codes_b: Tensor) -> Pair:
        """Return the input of both decoders for each of two codes: the output of their shared layers, or the codes."""
        return self._shared("decoder_shared", codes_a, codes_b)

    def discriminate(self, side: str, *images: Tensor) -> list[Any]:
        """Return the logits of the discriminator of a domain for each of several batches of images."""
        features = forward_together(self.network(f"discriminator_{side}"), *images)
        if "discriminator_shared" not in self.roles:
            return features
        return forward_together(self.network("discriminator_shared"), *features)

    def logits(self, side: str, images: Tensor) -> Any:
        """Return the logits of the discriminator of a domain for images."""
        return self.discriminate(side, images)[0]

    def _shared(self, role: str, first: Tensor, second: Tensor) -> Pair:
        if role not in self.roles:
            return first, second
        first, second = forward_together(self.network(role), first, second)
        return first, second

    def with_noise(self, means_a: Tensor, means_b: Tensor, first: int) -> Pair:
        """Return both codes with standard normal noise: draws number ``first`` and ``first + 1`` of an iteration."""
        return means_a + self.normal_noise(means_a, first), means_b + self.normal_noise(means_b, first + 1)

    # --- optional terms ---------------------------------------------------------------------------------------

    def perceptual_distance(self, translation: Tensor, source: Tensor) -> Tensor:
        """Return the distance of the normalised features of translations and of their sources."""
        perceptual = self.network("perceptual")
        return normalized_feature_distance(perceptual(translation), perceptual(source))

    def code_discriminator_loss(self, means_a: Tensor, means_b: Tensor) -> Tensor:
        """Return the loss by which a discriminator separates codes of a (real) from codes of b (fake), or 0."""
        if "code_discriminator" not in self.roles:
            return means_a.new_zeros(())
        logits_a, logits_b = forward_together(self.network("code_discriminator"), means_a, means_b)
        self.record_discriminator_accuracy("code_discriminator", logits_a, logits_b)
        terms = self.adversarial.discriminator_terms(logits_a, fake=logits_b)
        return self.weighted("code_discriminator", {"code": terms["real"] + terms["fake"]})

    def confusion(self, means_a: Tensor, means_b: Tensor) -> Tensor:
        """Return the encoders' loss against the discriminator of codes: codes of a as fake, codes of b as real ones."""
        logits_a, logits_b = forward_together(self.network("code_discriminator"), means_a, means_b)
        terms = self.adversarial.discriminator_terms(logits_b, fake=logits_a)
        return terms["real"] + terms["fake"]

    def _check_optional_roles(self) -> None:
        """Raise UserError for a term without its network, and for a network that no term or optimizer uses."""
        uses = {
            "perceptual": ("generator.perceptual_a", "generator.perceptual_b"),
            "code_discriminator": ("generator.code", "code_discriminator.code"),
        }
        for role, terms in uses.items():
            active = [term for term in terms if self.is_active(*term.split("."))]
            if role in self.roles and not active:
                raise UserError("no term with a weight reads this network", key=f"networks.{role}")
            if active and role not in self.roles:
                raise UserError(
                    f"this term needs the network {role}", key=f"weights.{active[0]}", fix=f"set networks.{role}, or 0"
                )
        for role in (*GENERATORS, *DISCRIMINATORS, "code_discriminator"):
            if role in self.roles and role not in self.trained:
                raise UserError("this network has no optimizer", key=f"optimizers.{role}")

    # --- samples ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return a grid for each direction: rows of sources, reconstructions, translations and translations back."""
        return autoencoder_grids(held_out, UNITTranslation(self.inference_networks()))
