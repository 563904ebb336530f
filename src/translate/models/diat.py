"""DIAT and DIAT-A (Li, Zuo, Zhang, 2016, arXiv 1610.05586): one attribute changed, the identity kept, in one direction.

Letters: x image without the attribute (the first domain), r real image with it (the second domain), T transform
network, D discriminator of the attribute, ``y = T(x)``, phi_l features of layer l of a frozen network, D_l those of
layer l of D, N a frozen denoising network, E enhancement network. Squares are means over all elements of an image.

The stages are models of their own, see docs/diat.md:
1. ``diat_denoiser``: N learns to denoise images of both domains.
2. ``diat``: T and D. DIAT keeps the identity by the features phi_l, DIAT-A by the features D_l, which move with D.
3. ``diat_enhancement``: E and D. T is frozen, and E sharpens its translations.

Differences
- From the paper: no code was released, and the paper is cited from memory. Its first version (2016) is meant; the
  version of 2018 has a network of masks in place of the enhancement. The weights of all terms, the layers of D, the
  noise, the region of the enhancement and the order of the updates (D, then T, on the same translations) are choices of
  this project. The adversarial loss is non-saturating. Gradient penalties can be switched on.
- ``ema_decay`` keeps an EMA of T, of E, or of N; null, the default, keeps none.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.philox import normal
from translate.data.streams import INFERENCE_CODES
from translate.data.views.images import ImageBatch
from translate.data.views.unpaired import UnpairedBatch
from translate.errors import UserError
from translate.inference.base import Translation
from translate.inference.diat import DenoiserTranslation, DIATEnhancementTranslation, DIATTranslation
from translate.inference.grids import Grid
from translate.losses.adversarial import AdversarialLoss
from translate.losses.reconstruction import l2, masked_l2
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.registry.registry import MODELS

NUM_SAMPLES = 8  # images in a sample grid


@MODELS.register(
    "diat_denoiser",
    batch="images",
    networks=("denoiser",),
    losses=(),
    terms={"denoiser": ("reconstruction",)},
)
class Denoiser(TranslationModel):
    """A network that denoises images: ``noise`` is the standard deviation of the noise, for images in [-1, 1].

    ``ema_decay``: null for no moving average.
    """

    progress_terms = ("denoiser/reconstruction",)
    ema_roles = ("denoiser",)
    double_backward_roles = ()
    target_domains = ("denoised",)
    inference: ClassVar[type[Translation] | None] = DenoiserTranslation

    denoiser: nn.Module

    def __init__(self, noise: float = 0.2, **common: Any) -> None:
        super().__init__(**common)
        self.noise = noise

    def step(self, batch: ImageBatch[Tensor]) -> None:
        """Do one iteration: one update of the network: ``L_N = E[(N(x + sigma n) - x)^2]``, n standard normal."""
        x = batch.image
        noisy = x + self.noise * self.normal_noise(x, 0)
        with self.update("denoiser") as minimize:
            minimize(self.weighted("denoiser", {"reconstruction": l2(self.denoiser(noisy), x)}))
        self.update_ema()

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return one grid: rows of images, of the same with noise, and of denoised ones."""
        x = held_out.image[:NUM_SAMPLES]
        draws = normal(0, INFERENCE_CODES, torch.arange(len(x)).numpy(), x[0].numel())
        noisy = x + self.noise * torch.from_numpy(draws).view(x.shape).to(x)
        denoised = self.translate(noisy, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        return {"denoised": Grid.of_rows({"image": x, "noisy": noisy.clamp(-1, 1), "denoised": denoised.clamp(-1, 1)})}


class OneDirection(TranslationModel):
    """What both trainings against a discriminator of the attribute share. ``statistics``: see `deterministic`."""

    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, statistics: Literal["image", "running"] = "image", **common: Any) -> None:
        super().__init__(**common)
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.statistics = statistics

    def discriminator_loss(self, r: Tensor, fake: Tensor) -> Tensor:
        """Return ``L_D = -E[log D(r)] - E[log(1 - D(fake))]``, or another adversarial loss."""
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            lambda *images: [self.discriminator(each) for each in images], r, fake, between=self.discriminator
        )
        self.record_discriminator_accuracy("discriminator", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return one grid: rows of images of the first domain and of their translations."""
        x = held_out.image[held_out.domain == 0][:NUM_SAMPLES]
        translations = self.translate(x, torch.ones(len(x), dtype=torch.int64, device=x.device))
        return {"attribute": Grid.of_rows({held_out.domains[0]: x, f"to {held_out.domains[1]}": translations})}


@MODELS.register(
    "diat",
    batch="unpaired",
    networks=("generator", "discriminator"),
    optional_networks=("features", "denoiser"),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "generator": ("adversarial", "identity", "adaptive_identity", "regularization"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class DIAT(OneDirection):
    """A transform network and a discriminator of the attribute; see the module for the two identity losses.

    ``identity_layers`` are layers of the role ``features``, ``adaptive_layers`` of the discriminator, and the lists of
    weights have a number w_l for each (null: 1). The role ``denoiser`` is a trained denoising network. Roles and layers
    are needed where the weight of their term is not zero; a role of no term is refused. ``ema_decay``: null for no
    moving average of T.
    """

    progress_terms = ("discriminator/fake", "generator/adversarial")
    ema_roles = ("generator",)
    inference = DIATTranslation

    def __init__(
        self,
        identity_layers: Sequence[str] = (),
        identity_layer_weights: Sequence[float] | None = None,
        adaptive_layers: Sequence[str] = (),
        adaptive_layer_weights: Sequence[float] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        for term, role in (("identity", "features"), ("regularization", "denoiser")):
            if self.is_active("generator", term) != (role in self.roles):
                key = f"weights.generator.{term}" if role not in self.roles else f"networks.{role}"
                statement = f"the term {term} and the network {role} belong together"
                raise UserError(statement, key=key, fix="set both or none")
            if role in self.trained:
                raise UserError(f"the network {role} is frozen", key=f"optimizers.{role}", fix="remove this optimizer")
        self.identity_layers = self._layers("identity", "features", identity_layers, identity_layer_weights)
        self.adaptive_layers = self._layers("adaptive", "discriminator", adaptive_layers, adaptive_layer_weights)

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: one update of the discriminator, then one of T, on the same translations."""
        x, r = batch.a, batch.b
        y = self.generator(x)
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(r, y))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(x, y, r))
        self.update_ema()

    def generator_loss(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """Return the loss of T, with the weights of its terms and w_l of the layers.

        ``L_T = -E[log D(y)] + sum_l w_l E[(phi_l(y) - phi_l(x))^2] + sum_l w_l E[(D_l(y) - D_l(x))^2]
        + E[(y - N(y))^2]``. The targets phi_l(x) and D_l(x) have no gradient, and D is frozen in this update.
        """
        terms = {}
        if self.is_active("generator", "adaptive_identity"):
            layers = tuple(self.adaptive_layers)
            logits, features = self.discriminator(y, layers)
            with torch.no_grad():
                _, wanted = self.discriminator(x, layers)
            terms["adaptive_identity"] = layer_distance(features, wanted, self.adaptive_layers)
        else:
            logits = self.discriminator(y)
        terms["adversarial"] = self.adversarial.generator_term(logits, lambda: self.discriminator(r))
        if self.is_active("generator", "identity"):
            phi, names = self.network("features"), tuple(self.identity_layers)
            with torch.no_grad():
                wanted = phi(x, names)
            terms["identity"] = layer_distance(phi(y, names), wanted, self.identity_layers)
        if self.is_active("generator", "regularization"):
            terms["regularization"] = l2(y, self.network("denoiser")(y))
        return self.weighted("generator", terms)

    def _layers(self, kind: str, role: str, layers: Sequence[str], weights: Sequence[float] | None) -> dict[str, float]:
        """Return the layers of an identity loss and their weights; UserError unless its network gives them.

        They are not read where the weight of the term is zero.
        """
        term, key = ("identity" if kind == "identity" else "adaptive_identity"), f"{kind}_layers"
        if not self.is_active("generator", term):
            return {}
        if not layers:
            raise UserError(f"the term {term} needs layers", key=key, found=[], fix=f"name layers of {role}")
        if weights is not None and len(weights) != len(layers):
            raise UserError(key=f"{kind}_layer_weights", found=list(weights), expected=f"{len(layers)} numbers")
        known = tuple(getattr(self.network(role), "layers", ()))
        for name in layers:
            if name not in known:
                raise UserError(f"the network {role} does not give this layer", key=key, found=name, known=known)
        return dict(zip(layers, weights or [1.0] * len(layers), strict=True))


@MODELS.register(
    "diat_enhancement",
    batch="unpaired",
    networks=("generator", "enhancer", "discriminator"),
    trained=("enhancer", "discriminator"),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "enhancer": ("adversarial", "local", "outside"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class DIATEnhancement(OneDirection):
    """An enhancement network for the translations of a frozen transform network, and a discriminator.

    ``region`` is the part of an image in which the attribute shows, as fractions of height and width: top, bottom, left
    and right. Null is the whole image, and then the term ``outside`` has the weight 0. ``ema_decay``: null for no
    moving average of the enhancement network.
    """

    progress_terms = ("discriminator/fake", "enhancer/adversarial", "enhancer/local")
    ema_roles = ("enhancer",)
    inference = DIATEnhancementTranslation

    enhancer: nn.Module

    def __init__(self, region: Sequence[float] | None = None, **common: Any) -> None:
        super().__init__(**common)
        if "generator" in self.trained:
            raise UserError("the transform network is frozen", key="optimizers.generator", fix="remove this optimizer")
        self.region = (0.0, 1.0, 0.0, 1.0) if region is None else tuple(region)
        if region is not None and not is_region(self.region):
            expected = "top, bottom, left, right: fractions of the sides, from 0 to 1 and rising"
            raise UserError(key="region", found=list(region), expected=expected)
        if self.is_active("enhancer", "outside") and self.region == (0.0, 1.0, 0.0, 1.0):
            raise UserError(
                "the region is the whole image", key="weights.enhancer.outside", fix="set 0, or a smaller region"
            )

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: one update of the discriminator, then one of E, on the same images ``z = E(T(x))``."""
        x, r = batch.a, batch.b
        with torch.no_grad():
            y = self.generator(x)
        z = self.enhancer(y)
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(r, z))
        with self.update("enhancer") as minimize:
            minimize(self.enhancer_loss(x, y, z, r))
        self.update_ema()

    def enhancer_loss(self, x: Tensor, y: Tensor, z: Tensor, r: Tensor) -> Tensor:
        """Return the loss of E, with the weights of its terms and the region M of the attribute.

        ``L_E = -E[log D(z)] + E_M[(z - y)^2] + E_{not M}[(z - x)^2]``: z has the attribute of the translation y inside
        of the region, and the sharp pixels of the source x outside.
        """
        region = self.region_mask(x)
        terms = {
            "adversarial": self.adversarial.generator_term(self.discriminator(z), lambda: self.discriminator(r)),
            "local": masked_l2(z, y, region),
        }
        if self.is_active("enhancer", "outside"):
            terms["outside"] = masked_l2(z, x, 1 - region)
        return self.weighted("enhancer", terms)

    def region_mask(self, x: Tensor) -> Tensor:
        """Return the region (H, W) for images (B, 3, H, W): 1 inside, 0 outside, borders rounded to whole pixels."""
        height, width = x.shape[2:]
        top, bottom, left, right = self.region
        mask = x.new_zeros(height, width)
        mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 1
        return mask

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return one grid: rows of images of the first domain, of T's translations and of the enhanced ones."""
        x = held_out.image[held_out.domain == 0][:NUM_SAMPLES]
        target = torch.ones(len(x), dtype=torch.int64, device=x.device)
        y = DIATTranslation(self.inference_networks(), self.statistics)(x, target)
        rows = {held_out.domains[0]: x, f"to {held_out.domains[1]}": y, "enhanced": self.translate(x, target)}
        return {"attribute": Grid.of_rows(rows)}


def layer_distance(maps: Sequence[Tensor], wanted: Sequence[Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return ``sum_l w_l E[(f_l - g_l)^2]`` of feature maps f, g (B, C, s, s) of layers, and their ``weights``.

    >>> one, zero = torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    >>> layer_distance([one, 3 * one], [zero, zero], {"conv1": 1.0, "conv2": 0.5}).item()
    5.5
    """
    distances = [weight * l2(f, g) for f, g, weight in zip(maps, wanted, weights.values(), strict=True)]
    return torch.stack(distances).sum()


def is_region(region: Sequence[float]) -> bool:
    """Return whether four fractions are top, bottom, left and right of a part of an image.

    >>> is_region([0.5, 1, 0.2, 0.8]), is_region([0.5, 0.5, 0, 1]), is_region([0, 1])
    (True, False, False)
    """
    return len(region) == 4 and 0 <= region[0] < region[1] <= 1 and 0 <= region[2] < region[3] <= 1
