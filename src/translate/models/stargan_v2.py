"""StarGAN v2 (Choi et al., CVPR 2020, arXiv 1912.01865).

Letters: x image, y domain, z latent code, s style code, G generator, F mapping network, E style encoder, D_y output of
the discriminator for domain y; ``_new`` marks the target of the translation (a tilde in the paper).

Differences
- From the official code: the moving averages start from the initialised networks, not from a draw before He
  initialisation (the start is forgotten after some thousand iterations). The second reference of a source is drawn in
  every iteration, not once a run, and it never equals the first one, except in a domain of one image. The weight of
  the diversity term is a function of the iteration, so a resumed run does not restart it.
- From the paper: an iteration has two discriminator and two generator updates, the first of each with latent codes, the
  second with references. The second generator update trains the generator alone. The official code does the same.
- The optional WGAN-GP penalty (``weights.discriminator.gradient_penalty``, 0 by default) is in neither the paper's
  final loss nor the official code; row B of table 1 needs it. It differentiates the logit of the target domain. Its
  interpolation weights come from the counter-based generator.
- Masks for ``w_hpf > 0`` come from any network in the role ``masks``: `landmark_masks`, as in the official code, or
  `face_oval`, which needs no file of weights.
- From the official code: crops are cut out of images that were reduced to 1.19 times the image size. They are resized
  for the second time, by the bicubic filter (`translate.data.transforms.crop_flip`). Whole images are resized once, as
  there.
"""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.reference import ReferenceBatch
from translate.errors import UserError
from translate.inference.grids import Grid
from translate.inference.stargan_v2 import MasksOfLastImages, StarGANv2Translation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.reconstruction import l1
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.networks.stargan_v2 import Discriminator, Encoded, Generator, MappingNetwork, StyleEncoder
from translate.registry.registry import MODELS

Masks = tuple[Tensor, Tensor] | None
"""The coarse and the fine mask (B, 1, S, S) of images, for the high-pass skips; None without these."""

UPDATE_NUMBERS = {"latent": 0, "reference": 1}  # of the discriminator updates of an iteration, for random draws
NUM_SOURCES, NUM_REFERENCES = 8, 6  # images in sample grids


@MODELS.register(
    "stargan_v2",
    batch="reference",
    networks=("generator", "mapping", "style_encoder", "discriminator"),
    optional_networks=("masks",),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty", "noisy"),
        "generator": ("adversarial", "style", "diversity", "cycle"),
    },
    optional_terms={"discriminator": ("r2", "zero_centred", "noisy")},
)
class StarGANv2(TranslationModel):
    """One generator for all domains and styles. Latent codes or reference images give the style.

    ``latent_size`` is the length of a latent code. R1 is computed in every ``r1_every``-th iteration, with its weight
    multiplied by that number (lazy regularization, Karras et al., CVPR 2020, section 3.1); 1 is the official setting.
    """

    progress_terms = (
        "discriminator/latent/real",
        "discriminator/latent/fake",
        "generator/latent/adversarial",
        "generator/latent/style",
        "generator/latent/diversity",
        "generator/latent/cycle",
    )
    ema_roles = ("generator", "mapping", "style_encoder")
    inference = StarGANv2Translation

    generator: Generator
    mapping: MappingNetwork
    style_encoder: StyleEncoder
    discriminator: Discriminator

    def __init__(self, latent_size: int = 16, ema_decay: float = 0.999, r1_every: int = 1, **common: Any) -> None:
        super().__init__(ema_decay=ema_decay, **common)
        if r1_every < 1:
            raise UserError(key="r1_every", found=r1_every, expected="at least 1, which is every iteration")
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self, every={"r1": r1_every})
        self.latent_size = latent_size
        self.r1_every = r1_every
        self.masks_of_last_images = MasksOfLastImages()

    def step(self, batch: ReferenceBatch[Tensor]) -> None:
        """Do one iteration: two discriminator updates, two generator updates, one update of the moving averages."""
        masks = self.masks_of(batch.image)
        content = self.content(batch.image)  # the generator is frozen in both discriminator updates
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(batch, content, masks, self.mapping, batch.code, "latent"))
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(batch, content, masks, self.style_encoder, batch.reference, "reference"))
        with self.update("generator", "mapping", "style_encoder") as minimize:
            minimize(self.generator_loss(batch, masks, self.mapping, batch.code, batch.code2, "latent"))
        with self.update("generator") as minimize:
            references = batch.reference, batch.reference2
            minimize(self.generator_loss(batch, masks, self.style_encoder, *references, "reference"))
        self.update_ema()

    def step_variant(self) -> Hashable:
        """Return the penalties that are due."""
        return self.penalties.due()

    def discriminator_loss(
        self,
        batch: ReferenceBatch[Tensor],
        content: Encoded,
        masks: Masks,
        style_of: nn.Module,
        style_input: Tensor,
        variant: str,
    ) -> Tensor:
        """Return the loss of the discriminator (eq. 1), with R1 on real images.

        ``L_D = -E[log D_y(x)] - E[log(1 - D_y_new(G(x, s)))] + gamma / 2 E[|grad_x D_y(x)|^2]``, where the mapping
        network or the style encoder (``style_of``) computes the style s from ``style_input``. For a paired loss the
        real images are the references of the batch, which are in the target domains of the translations: logits of
        different domains are outputs of different layers, whose difference has no meaning.
        """
        x, y, y_new = batch.image, batch.domain, batch.target
        with torch.no_grad():
            fake = self.generator.decode_features(content, style_of(style_input, y_new), masks)
        real, y_real = (batch.reference, y_new) if self.adversarial.paired else (x, y)
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            lambda real, fake: (self.discriminator(real, y_real), self.discriminator(fake, y_new)),
            real,
            fake,
            between=lambda images: self.discriminator(images, y_new),
            of_real=lambda images: self.discriminator(images, y_real),
            number=UPDATE_NUMBERS[variant],
        )
        self.record_discriminator_accuracy(f"discriminator/{variant}", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms, variant, every=self.penalties.every)

    def generator_loss(
        self,
        batch: ReferenceBatch[Tensor],
        masks: Masks,
        style_of: nn.Module,
        style_input: Tensor,
        style_input2: Tensor,
        variant: str,
    ) -> Tensor:
        """Return the loss of the generator, and of F and E if they are trained with it (eqs. 1 to 5).

        ``L_G = L_adv + lambda_sty L_sty - lambda_ds L_ds + lambda_cyc L_cyc``. With the styles s and s2 of both style
        inputs and ``fake = G(x, s)``: ``L_adv = -E[log D_y_new(fake)]`` (non-saturating),
        ``L_sty = E[|s - E_y_new(fake)|]``, ``L_ds = E[|fake - G(x, s2)|]`` and ``L_cyc = E[|x - G(fake, E_y(x))|]``.
        ``G(x, s2)`` has no gradient.
        """
        x, y, y_new = batch.image, batch.domain, batch.target
        style = style_of(style_input, y_new)
        content = self.generator.encode_image(x)
        fake = self.generator.decode_features(content, style, masks)
        with torch.no_grad():
            fake2 = self.generator.decode_features(content, style_of(style_input2, y_new), masks)
        reconstructed = self.generator(fake, self.style_encoder(x, y), self.masks_of(fake))
        terms = {
            "adversarial": self.adversarial.generator_term(
                self.discriminator(fake, y_new), lambda: self.discriminator(batch.reference, y_new)
            ),
            "style": l1(self.style_encoder(fake, y_new), style),
            "diversity": -l1(fake, fake2),  # negative, because the paper maximizes L_ds
            "cycle": l1(reconstructed, x),
        }
        return self.weighted("generator", terms, variant)

    @torch.no_grad()
    def content(self, x: Tensor) -> Encoded:
        """Return the generator's features of images (B, 3, H, W) that do not depend on the style, without gradients."""
        return self.generator.encode_image(x)

    @torch.no_grad()
    def masks_of(self, x: Tensor) -> Masks:
        """Return the masks of images for the high-pass skips, without gradients; None if no network has that role."""
        return self.network("masks")(x) if "masks" in self.roles else None

    # --- use after training ----------------------------------------------------------------------------------

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style: Any) -> Tensor:
        """Return images translated to ``target``; the masks of equal images are computed once, see the base class."""
        if "masks" in self.roles and "masks" not in style:
            style["masks"] = self.masks_of_last_images(self.inference_networks()["masks"], x)
        return super().translate(x, target, *args, **style)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return three grids, with a column for each source: cycles, translations by codes and by references.

        `cycle`: source, translation to the next domain, translation back. `latent`: for each domain the mean style
        (psi 0), then codes at psi 0.7 and 1. `reference`: a row for each reference, which is shown at the left.
        """
        images, domain = held_out.image, held_out.domain
        sources, count = images[:NUM_SOURCES], min(NUM_SOURCES, len(images))
        own = domain[:count]
        draws = torch.Generator().manual_seed(0)
        codes = torch.randn(3, self.latent_size, generator=draws).to(images.device)

        masks_network = self.inference_networks().get("masks")
        masks = None if masks_network is None else masks_network(sources)  # once for all rows

        def repeated(row: Tensor) -> Tensor:
            return row.expand(count, *row.shape)

        def to_domain(number: int, **style: Any) -> list[Tensor]:
            return list(self.translate(sources, torch.full_like(own, number), masks=masks, **style))

        num_domains = int(domain.max()) + 1
        translated = self.translate(sources, (own + 1) % num_domains, code=repeated(codes[0]), masks=masks)
        reconstructed = self.translate(translated, own, reference=sources)
        latent = {}
        for number, name in enumerate(held_out.domains[:num_domains]):
            latent[f"{name}, mean style"] = to_domain(number, code=repeated(codes[0]), psi=0.0)
            for k, (code, psi) in enumerate(zip(codes, (0.7, 1.0, 1.0), strict=True), start=1):
                latent[f"{name}, code {k}, psi {psi:g}"] = to_domain(number, code=repeated(code), psi=psi)
        references = images[-NUM_REFERENCES:]
        target = domain[-NUM_REFERENCES:].tolist()
        by_reference = [to_domain(d, reference=repeated(r)) for r, d in zip(references, target, strict=True)]
        names = held_out.domain_names
        of_sources = {"top": list(sources), "column_labels": names[:count]}
        cycle = {"source": sources, "next domain": translated, "and back": reconstructed}
        return {
            "cycle": Grid([list(row) for row in cycle.values()], row_labels=tuple(cycle), column_labels=names[:count]),
            "latent": Grid(list(latent.values()), row_labels=tuple(latent), **of_sources),
            "reference": Grid(by_reference, left=list(references), row_labels=names[-NUM_REFERENCES:], **of_sources),
        }
