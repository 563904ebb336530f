"""ComboGAN (Anoosheh et al., CVPR workshops 2018, arXiv 1712.06909): one encoder and decoder a domain.

Letters: n domains; each domain d has an encoder E_d, a decoder G_d and a discriminator D_d. An iteration has two
domains, drawn for the batch, with images a and b. ``z_a = E_a(a)``, ``fake_b = G_b(z_a)``, ``z_ab = E_b(fake_b)``;
P(x) is the 3x3 mean of x with stride 2, and h the smooth L1 distance. Terms are named by the domain of the images that
they compare, adversarial terms by the direction: ``cycle_a`` compares a with ``G_a(z_ab)``.

Domains beside the two of an iteration are not touched: see `TranslationModel.update`.

Names in the official code: the loss "D" of domain A is that of the discriminator of B. "encoder_shared" and
"decoder_shared" are the networks that it numbers behind those of the domains.

Differences
- From the official code: the exchanges of the image pools are a function of the positions of the images, so they do not
  depend on the number of processes, and the pools are saved in checkpoints. Shared blocks work at any batch size; those
  of the official code at batch size 1 alone. Here a term with a constant weight of zero is not computed.
- From both: ``ema_decay`` keeps an EMA of encoders and decoders; null, the default, equals both.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.batches import HeldOut
from translate.data.philox import uniform
from translate.data.streams import Stream
from translate.data.views.domain_pair import DomainPairBatch
from translate.distributed.collectives import on_global_batch
from translate.errors import Phrase, UserError
from translate.inference.combogan import ComboGANTranslation
from translate.inference.grids import Grid
from translate.losses.adversarial import AdversarialLoss
from translate.losses.reconstruction import smooth_l1
from translate.models.base import TranslationModel
from translate.models.image_pool import ImagePool
from translate.models.penalties import Penalties
from translate.networks.layers.batching import forward_together
from translate.networks.layers.per_domain import PerDomain
from translate.registry.registry import MODELS

SIDES = ("a", "b")  # the two domains of an iteration
NUM_SAMPLES = 4  # images of a domain in a sample grid
GENERATORS = ("encoder", "encoder_shared", "decoder_shared", "decoder")


@MODELS.register(
    "combogan",
    batch="domain_pair",
    networks=("encoder", "decoder", "discriminator"),
    optional_networks=("encoder_shared", "decoder_shared"),
    losses=("adversarial",),
    terms={
        "generator": (
            "adversarial_ab",
            "adversarial_ba",
            "cycle_a",
            "cycle_b",
            "identity_a",
            "identity_b",
            "forward_a",
            "forward_b",
            "latent_a",
            "latent_b",
        ),
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class ComboGAN(TranslationModel):
    """An encoder, a decoder and a discriminator for each domain; an iteration trains those of two domains.

    ``pool_size`` is the size of each domain's pool of earlier translations (0: no pools). ``ema_decay``: null for no
    moving averages. Terms of discriminators have the variants "a" and "b".
    """

    progress_terms = ("generator/adversarial_ab", "generator/adversarial_ba", "generator/cycle_a", "generator/cycle_b")
    ema_roles = GENERATORS
    double_backward_roles = ("discriminator",)
    inference = ComboGANTranslation

    encoder: PerDomain
    decoder: PerDomain
    discriminator: PerDomain

    def __init__(self, pool_size: int = 50, **common: Any) -> None:
        super().__init__(**common)
        if pool_size < 0:
            raise UserError(key="pool_size", found=pool_size, expected="at least 0, which is no pool")
        counts = {role: len(list(self.network(role).children())) for role in ("encoder", "decoder", "discriminator")}
        if len(set(counts.values())) > 1:
            raise UserError("one network for each domain in every role", key="networks", found=Phrase(str(counts)))
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.pools = [ImagePool(pool_size) for _ in range(counts["encoder"])]
        self.stateful = {f"pool_{domain}": pool for domain, pool in enumerate(self.pools)}

    def step(self, batch: DomainPairBatch[Tensor]) -> None:
        """Do one iteration: one update of the generators of two domains, then one of their discriminators."""
        a, b, domains = batch.a, batch.b, (batch.domain_a, batch.domain_b)
        generators = [*parts("encoder", domains), "encoder_shared", "decoder_shared", *parts("decoder", domains)]
        with self.update(*generators) as minimize:
            code_a, code_b = self.encode(a, domains[0]), self.encode(b, domains[1])
            fake_a, fake_b = self.decode(code_b, domains[0]), self.decode(code_a, domains[1])
            minimize(self.generator_loss(batch, code_a, code_b, fake_a, fake_b))
        fake_a, fake_b = self.query_pool(domains, 0, fake_a), self.query_pool(domains, 1, fake_b)
        with self.update(*parts("discriminator", domains)) as minimize:
            loss_a = self.discriminator_loss("a", domains[0], a, fake_a)
            minimize(loss_a + self.discriminator_loss("b", domains[1], b, fake_b))
        self.update_ema(*generators)

    def generator_loss(
        self, batch: DomainPairBatch[Tensor], code_a: Tensor, code_b: Tensor, fake_a: Tensor, fake_b: Tensor
    ) -> Tensor:
        """Return the loss of the encoders and decoders of both domains.

        ``L = L_ab + L_ba + sum over both of lambda_cyc h(G_a(z_ab), a) + lambda_idt h(P(G_a(z_a)), P(a))
        + lambda_fwd h(P(fake_b), P(a)) + lambda_lat(k) h(z_ab, z_a)``. ``L_ab`` is the adversarial loss of fake_b.
        z_a in the last term is a constant.
        """
        domain_a, domain_b = batch.domain_a, batch.domain_b
        code_ab, code_ba = self.encode(fake_b, domain_b), self.encode(fake_a, domain_a)
        adversarial = self.adversarial.generator_term
        discriminator_a, discriminator_b = self.discriminator[domain_a], self.discriminator[domain_b]
        terms = {
            "adversarial_ab": adversarial(discriminator_b(fake_b), partial(discriminator_b, batch.b)),
            "adversarial_ba": adversarial(discriminator_a(fake_a), partial(discriminator_a, batch.a)),
            "cycle_a": smooth_l1(self.decode(code_ab, domain_a), batch.a),
            "cycle_b": smooth_l1(self.decode(code_ba, domain_b), batch.b),
        }
        if self.is_active("generator", "identity_a"):
            terms["identity_a"] = smooth_l1(halved(self.decode(code_a, domain_a)), halved(batch.a))
        if self.is_active("generator", "identity_b"):
            terms["identity_b"] = smooth_l1(halved(self.decode(code_b, domain_b)), halved(batch.b))
        if self.is_active("generator", "forward_a"):
            terms["forward_a"] = smooth_l1(halved(fake_b), halved(batch.a))
        if self.is_active("generator", "forward_b"):
            terms["forward_b"] = smooth_l1(halved(fake_a), halved(batch.b))
        if self.is_active("generator", "latent_a"):
            terms["latent_a"] = smooth_l1(code_ab, code_a.detach())
        if self.is_active("generator", "latent_b"):
            terms["latent_b"] = smooth_l1(code_ba, code_b.detach())
        return self.weighted("generator", terms)

    def discriminator_loss(self, side: str, domain: int, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the discriminator of a domain.

        ``L_D = 1/2 E[(D(real) - 1)^2] + 1/2 E[D(fake)^2]``, with rising weights over its maps, see `RisingMaps`.
        """
        discriminator = self.discriminator[domain]
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            partial(forward_together, discriminator), real, fake, between=discriminator, column=SIDES.index(side)
        )
        self.record_discriminator_accuracy(f"discriminator/{side}", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms, side)

    # --- networks with the blocks that domains share ----------------------------------------------------------

    def encode(self, x: Tensor, domain: int) -> Tensor:
        """Return the codes (B, C, s, s) of images of a domain."""
        code: Tensor = self.encoder[domain](x)
        return self.network("encoder_shared")(code, domain) if "encoder_shared" in self.roles else code

    def decode(self, code: Tensor, domain: int) -> Tensor:
        """Return images (B, 3, S, S) in a domain of codes."""
        if "decoder_shared" in self.roles:
            code = self.network("decoder_shared")(code, domain)
        images: Tensor = self.decoder[domain](code)
        return images

    # --- image pools ------------------------------------------------------------------------------------------

    def query_pool(self, domains: tuple[int, int], side: int, fake: Tensor) -> Tensor:
        """Return the translations to a domain for its discriminator, some exchanged for earlier translations.

        All processes have equal pools: each pool receives the translations of the global batch.
        """
        pool = self.pools[domains[side]]
        if pool.size == 0:
            return fake.detach()
        return on_global_batch(fake, lambda images: pool.query(images, self.pool_draws(side, len(images)).tolist()))

    def pool_draws(self, side: int, num_images: int) -> np.ndarray:
        """Return two numbers, uniform on [0, 1), for each image of the global batch of this iteration: (n, 2) float64.

        They are a function of (seed, side, position of the image in the sample stream).
        """
        positions = self.iteration * num_images + np.arange(num_images)
        draws = uniform(self.seed, Stream.POOL, positions, 2 * len(SIDES))
        return draws.reshape(num_images, len(SIDES), 2)[:, side]

    # --- samples ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return a grid of all pairs: a row for each source, a column for each domain, with its own reconstruction.

        A second grid has the sources, one translation of each, and the translation back.
        """
        translation = ComboGANTranslation(self.inference_networks())
        left, rows, labels = [], [], []
        cycles: list[list[Tensor]] = [[], [], []]
        for domain, name in enumerate(held_out.domains):
            x = held_out.image[held_out.domain == domain][:NUM_SAMPLES]
            every = translation.to_every_domain(x, domain)
            left += list(x)
            rows += [list(row) for row in every.transpose(0, 1)]
            labels += [name] * len(x)
            other = (domain + 1) % len(held_out.domains)
            back = translation.decode(translation.encode(every[other], other), domain)
            for row, images in zip(cycles, (x, every[other], back), strict=True):
                row += list(images)
        columns = [f"to {name}" for name in held_out.domains]
        names = [f"{name} to {held_out.domains[(k + 1) % len(columns)]}" for k, name in enumerate(held_out.domains)]
        shown = [names[held_out.domains.index(label)] for label in labels]
        return {
            "pairs": Grid(rows, left=left, row_labels=labels, column_labels=columns),
            "cycle": Grid(cycles, row_labels=("source", "translation", "and back"), column_labels=shown),
        }


def parts(role: str, domains: tuple[int, int]) -> list[str]:
    """Return the names of the parts of a role that belong to two domains.

    >>> parts("encoder", (2, 0))
    ['encoder.2', 'encoder.0']
    """
    return [f"{role}.{domain}" for domain in domains]


def halved(x: Tensor) -> Tensor:
    """Return the means over 3x3 pixels with stride 2 of images (B, 3, S, S), without padding."""
    return F.avg_pool2d(x, 3, stride=2)
