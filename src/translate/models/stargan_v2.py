"""StarGAN v2 (Choi et al., CVPR 2020, arXiv 1912.01865).

Letters: x image, y domain, z latent code, s style code; ``_new`` belongs to the target of the translation.

Differences
- From the published code: the averages start from the initialised networks, not from a draw before He initialisation
  (forgotten after some thousand iterations). The second reference of a source is drawn anew every iteration, not
  once a run. The weight of the diversity term is a function of the iteration, so a resumed run does not restart it.
- From the paper: an iteration has two discriminator and two generator updates, the second of each guided by references,
  and that second generator update moves the generator alone, as in the published code.
- A gradient penalty in place of R1 (``weights.discriminator.gradient_penalty``, 0 unless said) is of neither: rows of
  the ablation (table 1) want it. It looks at the logit of the target domain. What it mixes by is drawn by counter.
- Masks for ``w_hpf > 0`` come from any network in the role ``masks``; the published one is a landmark network.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.reference import ReferenceBatch
from translate.errors import UserError
from translate.inference.grids import grid
from translate.inference.stargan_v2 import StarGANv2Translation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.penalties import gradient_penalty, r1
from translate.losses.reconstruction import l1
from translate.models.base import OptimizerFactory, TranslationModel
from translate.networks.stargan_v2 import Discriminator, Encoded, Generator, MappingNetwork, StyleEncoder
from translate.registry.registry import MODELS


@MODELS.register(
    "stargan_v2",
    batch="reference",
    networks=("generator", "mapping", "style_encoder", "discriminator"),
    optional_networks=("masks",),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "r1", "gradient_penalty"),
        "generator": ("adversarial", "style", "diversity", "cycle"),
    },
)
class StarGANv2(TranslationModel):
    """One generator for all domains and styles, guided by latent codes or by reference images.

    ``latent_size`` is the length of a latent code; ``ema_decay`` the share of the averages that an iteration keeps.
    R1 is measured in every ``r1_every``-th iteration and weighs so many times more there (Karras et al., CVPR 2020,
    section 3.1); 1 is as published.
    """

    progress_terms = (
        "discriminator/latent/real",
        "discriminator/latent/fake",
        "generator/latent/adversarial",
        "generator/latent/style",
        "generator/latent/diversity",
        "generator/latent/cycle",
    )

    style_inputs = StarGANv2Translation.style_inputs

    generator: Generator
    mapping: MappingNetwork
    style_encoder: StyleEncoder
    discriminator: Discriminator

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        losses: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, Any]],
        latent_size: int = 16,
        ema_decay: float = 0.999,
        gradient_clip: float | None = None,
        r1_every: int = 1,
        seed: int = 0,
    ) -> None:
        averaged = ("generator", "mapping", "style_encoder")
        if r1_every < 1:
            raise UserError(f"model.r1_every: found {r1_every}, expected 1, which is every iteration, or more")
        super().__init__(networks, optimizers, weights, averaged, ema_decay, gradient_clip, seed)
        self.adversarial: AdversarialLoss = losses["adversarial"]
        self.latent_size = latent_size
        self.r1_every = r1_every

    def step(self, batch: ReferenceBatch[Tensor]) -> None:
        """Do one iteration: two discriminator updates, two generator updates, one move of the averages."""
        codes, references = (batch.code, batch.code2), (batch.reference, batch.reference2)
        content = self.content(batch.image)  # the generator rests during both discriminator updates
        for variant, style_of, style_inputs in (
            ("latent", self.mapping, codes),
            ("reference", self.style_encoder, references),
        ):
            with self.update("discriminator") as minimize:
                with torch.no_grad():
                    fake = self.decode(content, style_of(style_inputs[0], batch.target), batch.image)
                minimize(self.discriminator_loss(batch, fake, variant))
        with self.update("generator", "mapping", "style_encoder") as minimize:
            minimize(self.generator_loss(batch, self.mapping, codes, "latent"))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(batch, self.style_encoder, references, "reference"))
        self.update_ema()

    def discriminator_loss(self, batch: ReferenceBatch[Tensor], fake: Tensor, variant: str) -> Tensor:
        """Return what the discriminator pays (eq. 1), with R1 on real images or the penalty of WGAN-GP."""
        penalized = self.is_active("discriminator", "r1") and self.iteration % self.r1_every == 0
        x = batch.image.detach().requires_grad_(penalized)
        real_logits = self.discriminator(x, batch.domain)
        fake_logits = self.discriminator(fake, batch.target)
        self.record_discriminator_accuracy(f"discriminator/{variant}", real_logits, fake_logits)
        terms = {
            "real": self.adversarial.real(real_logits),
            "fake": self.adversarial.fake(fake_logits),
        }
        if penalized:
            terms["r1"] = r1(real_logits, x)
        if self.is_active("discriminator", "gradient_penalty"):
            share = self.interpolation_weights(("latent", "reference").index(variant), len(x)).to(
                x.device, non_blocking=True
            )
            mixed = (share * x.detach() + (1 - share) * fake).requires_grad_()
            terms["gradient_penalty"] = gradient_penalty(self.discriminator(mixed, batch.target), mixed)
        return self.weighted("discriminator", terms, variant, every={"r1": self.r1_every})

    def generator_loss(
        self, batch: ReferenceBatch[Tensor], style_of: nn.Module, style_inputs: tuple[Tensor, Tensor], variant: str
    ) -> Tensor:
        """Return what the generator pays (eqs. 1 to 4); ``style_of`` reads the styles of both guides."""
        x, y, y_new = batch.image, batch.domain, batch.target
        style = style_of(style_inputs[0], y_new)
        content = self.generator.encode_image(x)
        fake = self.decode(content, style, x)
        with torch.no_grad():
            other = self.decode(content, style_of(style_inputs[1], y_new), x)
        cycled = self.generator(fake, self.style_encoder(x, y), self.masks_of(fake))
        terms = {
            "adversarial": self.adversarial.generator(self.discriminator(fake, y_new)),
            "style": l1(self.style_encoder(fake, y_new), style),
            "diversity": -l1(fake, other),  # negative: to descend is to draw both apart
            "cycle": l1(cycled, x),
        }
        return self.weighted("generator", terms, variant)

    @torch.no_grad()
    def content(self, x: Tensor) -> Encoded:
        """Return what the generator keeps of images (B, 3, S, S), without gradients."""
        return self.generator.encode_image(x)

    def decode(self, content: Encoded, style: Tensor, x: Tensor) -> Tensor:
        """Return the images of a content in styles (B, Z), with the masks of the sources ``x``."""
        return self.generator.decode_features(content, style, self.masks_of(x))

    def masks_of(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the masks of images for the high-pass skips, or None without a network in that role."""
        return self.network("masks")(x) if "masks" in self.roles else None

    # --- use after training ----------------------------------------------------------------------------------

    def translate(
        self,
        x: Tensor,
        target: Tensor,
        code: Tensor | None = None,
        reference: Tensor | None = None,
        psi: float = 1.0,
    ) -> Tensor:
        """Translate images (B, 3, S, S) to domains (B,) by the averaged networks, see `StarGANv2Translation`."""
        return StarGANv2Translation(self.inference_networks(), self.latent_size)(x, target, code, reference, psi)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Tensor]:
        """Return three pictures: cycles, latent-guided and reference-guided translations.

        Columns are sources. `cycle`: source, translation to the next domain, and back. `latent`: per domain the mean
        style (psi 0), then codes at psi 0.7 and 1. `reference`: a row for each reference, shown at the left.
        """
        images, domain = held_out.image, held_out.domain
        num_domains = int(domain.max()) + 1
        sources, count = images[:8], min(8, len(images))
        labels = domain[:count]
        draws = torch.Generator().manual_seed(0)
        codes = torch.randn(3, self.latent_size, generator=draws).to(images.device)

        def to(d: int, **guide: Any) -> Tensor:
            return self.translate(sources, torch.full_like(labels, d), **guide)

        def repeated(row: Tensor) -> Tensor:
            return row.expand(count, *row.shape)

        following = (labels + 1) % num_domains
        away = self.translate(sources, following, code=repeated(codes[0]))
        back = self.translate(away, labels, reference=sources)
        latent = []
        for d in range(num_domains):
            latent.append(to(d, code=repeated(codes[0]), psi=0.0))
            latent += [to(d, code=repeated(code), psi=psi) for code, psi in zip(codes, (0.7, 1.0, 1.0), strict=True)]
        references = images[-min(6, len(images)) :]
        kinds = domain[-len(references) :]
        guided = [to(int(d), reference=repeated(r)) for r, d in zip(references, kinds, strict=True)]
        return {
            "cycle": grid([list(sources), list(away), list(back)]),
            "latent": grid([list(row) for row in latent], top=list(sources)),
            "reference": grid([list(row) for row in guided], top=list(sources), left=list(references)),
        }
