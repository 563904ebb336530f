"""SRResNet and SRGAN (Ledig et al., CVPR 2017, arXiv 1609.04802): images with 2, 4 or 8 times the pixels a side.

Letters: x image of high resolution, z the same image reduced by the scale, G generator, D discriminator, phi features
of a frozen network (VGG19). ``y = G(z)``. Values of images are scaled to [0, 1] in the losses of pixels.

SRResNet is G trained by ``E[(y - x)^2]`` alone. SRGAN starts from it (``start_from``) with a discriminator.

Differences
- From the paper, whose details are cited from memory: the adversarial term is a mean over the batch where the paper has
  a sum, and the discriminator reads values in [0, 1].
- From Lornatang/SRGAN-PyTorch: its loss of features has no gradient by mistake, so that code trains by pixels and the
  adversarial term alone. Here it has one. Its moving average weighs the new weights by 0.999; ours keeps that fraction.
- From leftthomas/SRGAN: it runs both networks once more before the discriminator's step, which moves the running
  statistics of their batch norms and has no other effect.
- From both: crops are cut from tiles that are twice as large, see docs/srgan.md.
- As in both: the discriminator's batch norms are in training mode in the generator's update too, so their running
  statistics move three times an iteration. Nothing reads them in training.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.high_resolution import HighResolutionBatch
from translate.errors import UserError
from translate.inference.base import Translation
from translate.inference.grids import Grid
from translate.inference.srgan import SRGANTranslation, SRResNetTranslation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.perceptual import feature_mse
from translate.losses.super_resolution import mean_squared_variation, pixel_mse
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.networks.layers.bicubic import enlarge, reduce
from translate.registry.registry import MODELS

NUM_SAMPLES = 4  # images in a sample grid


@MODELS.register(
    "srresnet",
    batch="high_resolution",
    networks=("generator",),
    terms={"generator": ("pixel",)},
)
class SRResNet(TranslationModel):
    """A generator that enlarges images, trained by the squared distance of pixels.

    ``ema_decay``: null for no moving average of the generator.
    """

    progress_terms: tuple[str, ...] = ("generator/pixel",)
    ema_roles = ("generator",)
    double_backward_roles: ClassVar[tuple[str, ...]] = ()
    target_domains = ("high_resolution",)
    inference: ClassVar[type[Translation] | None] = SRResNetTranslation

    generator: nn.Module

    def step(self, batch: HighResolutionBatch[Tensor]) -> None:
        """Do one iteration: one update of the generator (eq. 4): ``L_G = E[(G(z) - x)^2]``."""
        x = batch.high
        with self.update("generator") as minimize:
            minimize(self.weighted("generator", {"pixel": pixel_mse(self.generator(self.reduced(x)), x)}))
        self.update_ema()

    @property
    def scale(self) -> int:
        """Return by how much height and width grow."""
        return SRResNetTranslation({"generator": self.generator}).scale

    def reduced(self, x: Tensor) -> Tensor:
        """Return the images z (B, 3, S / s, S / s) of low resolution that belong to images x (B, 3, S, S)."""
        return reduce(x, self.scale)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return one grid: rows of images of low resolution, enlarged by a bicubic filter, by the generator, and true.

        Images of low resolution are shown with enlarged pixels.
        """
        x = held_out.image[:NUM_SAMPLES]
        z = self.reduced(x).clamp(-1, 1)
        y = self.translate(z, torch.zeros(len(z), dtype=torch.int64, device=z.device))
        rows = {"low": z, "bicubic": enlarge(z, self.scale), "high": y, "true": x}
        return {"high": Grid.of_rows(rows)}


@MODELS.register(
    "srgan",
    batch="high_resolution",
    networks=("generator", "discriminator"),
    optional_networks=("content",),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "generator": ("pixel", "content", "adversarial", "variation"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class SRGAN(SRResNet):
    """A generator that enlarges images, a discriminator of large images, and frozen features to compare them by.

    The network ``content`` returns one map of features or several. ``ema_decay``: null for no moving average of the
    generator.
    """

    progress_terms = ("discriminator/real", "discriminator/fake", "generator/adversarial")
    double_backward_roles = ("discriminator",)
    inference = SRGANTranslation

    discriminator: nn.Module

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        if self.is_active("generator", "content") != ("content" in self.roles):
            key = "weights.generator.content" if "content" not in self.roles else "networks.content"
            raise UserError("the term content and the network content belong together", key=key, fix="set both or none")

    def step(self, batch: HighResolutionBatch[Tensor]) -> None:
        """Do one iteration: one update of the generator, then one of the discriminator on the same images."""
        x = batch.high
        y = self.generator(self.reduced(x))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(x, y))
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(x, y.detach()))
        self.update_ema()

    def generator_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of the generator (eqs. 3 to 6): ``L_G = E[(phi(y) - phi(x))^2] - lambda E[log D(y)] + ...``.

        The other terms are ``E[(y - x)^2]`` and the variation of y.
        """
        terms = {"adversarial": self.adversarial.generator_term(self.discriminator(y), lambda: self.discriminator(x))}
        if self.is_active("generator", "pixel"):
            terms["pixel"] = pixel_mse(y, x)
        if self.is_active("generator", "content"):
            terms["content"] = self.feature_distance(x, y)
        if self.is_active("generator", "variation"):
            terms["variation"] = mean_squared_variation(y)
        return self.weighted("generator", terms)

    def feature_distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``E[(phi(y) - phi(x))^2]``, summed over the maps of features (eq. 5)."""
        content = self.network("content")
        with torch.no_grad():
            wanted = content(x)
        return feature_mse(content(y), wanted)

    def discriminator_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of the discriminator (eq. 2): ``L_D = -E[log D(x)] - E[log(1 - D(y))]``."""
        (real, fake), penalties = self.penalties.evaluate(
            lambda *images: [self.discriminator(each) for each in images], x, y, between=self.discriminator
        )
        self.record_discriminator_accuracy("discriminator", real, fake)
        terms = self.adversarial.discriminator_terms(real, fake=fake) | penalties
        return self.weighted("discriminator", terms)
