"""CUT and FastCUT (Park, Efros, Zhang, Zhu, ECCV 2020, arXiv 2007.15651): contrastive unpaired translation.

Letters: x, y images of the first and of the second domain, G generator, D discriminator, F projection heads (H in the
paper). ``fake = G(x)``, ``identity = G(y)``. The taps are layers of G; a *key* is the projected feature of an image at
a place of a tap, a *query* that of its translation. The direction is the order of ``data.domains``.

Two forms, by the configuration
- ``model=cut``: the terms ``nce`` and ``nce_identity`` with half a weight each.
- ``model=fastcut``: ``nce`` alone with ten times the weight, and ``flip_equivariance``.

Shared passes
- The features of x and y that make the keys are those of the pass that makes G(x) and G(y), since G is not updated in
  between and keys take no gradient. After a flip they need a pass of their own. The official code always makes one.
- Both images of an iteration, and both queries, go through G and F in one pass. Results are equal but for rounding.

Differences
- From the official code: places and flips are functions of (seed, iteration), so they depend neither on the number of
  processes nor of microbatches, and a resumed run draws the same. They are equal for all images of a batch, as there.
- From the official code: it flips the features of the queries back; here the places are mirrored, which is equal.
- From the official code: F is built with the model, and not in a first pass over a batch.
- From the official code, in the data: as those of CycleGAN, see `translate.models.cyclegan`.
- As in the official code (data/unaligned_dataset.py), images are resized to the size of the network and not cropped
  while the rates fall, if the configuration says when: ``data.crop_until``, as the recipes of unpaired images do.
- From both: gradient penalties can be switched on, and ``ema_decay`` keeps an EMA of G. The defaults equal both.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.philox import uniform
from translate.data.streams import Stream
from translate.data.views.unpaired import UnpairedBatch
from translate.errors import UserError
from translate.inference.cut import CUTTranslation
from translate.inference.grids import Grid
from translate.losses.adversarial import AdversarialLoss
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.models.places import Features, at_places, check_taps_of, draw_places
from translate.networks.layers.batching import forward_together
from translate.registry.registry import MODELS

NUM_SAMPLES = 8  # images in a sample grid
FLIP_PROBABILITY = 0.5


@MODELS.register(
    "cut",
    batch="unpaired",
    networks=("generator", "discriminator", "projection"),
    losses=("adversarial", "contrastive"),
    terms={
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "generator": ("adversarial", "nce", "nce_identity"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred")},
)
class CUT(TranslationModel):
    """A generator from the first domain to the second, projection heads of its features, and a discriminator.

    ``num_places`` is the number of places of a tap that are compared (all, if a tap has fewer). With
    ``flip_equivariance`` the images that G translates are mirrored in half of the iterations, and the features of the
    translations are mirrored back. ``ema_decay``: null for no moving average of the generator.
    """

    progress_terms = ("discriminator/real", "discriminator/fake", "generator/adversarial", "generator/nce")
    ema_roles = ("generator",)
    inference = CUTTranslation

    generator: Any
    discriminator: nn.Module
    projection: Any

    def __init__(self, num_places: int = 256, flip_equivariance: bool = False, **common: Any) -> None:
        super().__init__(**common)
        if num_places < 2:
            raise UserError(key="num_places", found=num_places, expected="at least 2")
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.num_places = num_places
        self.flip_equivariance = flip_equivariance
        check_taps_of(self.generator, self.projection)

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: a discriminator update, then one of generator and projection, on the same translations."""
        x, y = batch.a, batch.b
        flipped = self.is_flipped()
        images = [x, y] if self.is_active("generator", "nce_identity") else [x]
        translations, keys = self.generate(images, flipped)
        with self.update("discriminator") as minimize:
            minimize(self.discriminator_loss(y, translations[0].detach()))
        with self.update("generator", "projection") as minimize:
            minimize(self.generator_loss(y, translations, keys, flipped))
        self.update_ema()

    def generate(self, images: Sequence[Tensor], flipped: bool) -> tuple[list[Tensor], list[Features]]:
        """Return the translations (B, 3, H, W) of batches, and their features at the taps without gradients.

        If ``flipped``, the translations are those of mirrored images, the features those of the images as they are.
        """
        taps = self.projection.taps
        sources = [x.flip(3) for x in images] if flipped else images
        outputs = forward_together(
            self.generator, *sources, forward=partial(self.generator.forward_with_features, taps=taps)
        )
        translations = [output[0] for output in outputs]
        features = [output[1:] for output in outputs]
        if flipped:
            with torch.no_grad():
                features = self.encode(images)
        return translations, [[x.detach() for x in maps] for maps in features]

    def encode(self, images: Sequence[Tensor]) -> list[Features]:
        """Return the features (B, C, h, w) of batches at the taps."""
        return forward_together(
            self.generator, *images, forward=partial(self.generator.encode, taps=self.projection.taps)
        )

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the discriminator: ``L_D = 1/2 E[(D(y) - 1)^2] + 1/2 E[D(fake)^2]``."""
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            partial(forward_together, self.discriminator), real, fake, between=self.discriminator
        )
        self.record_discriminator_accuracy("discriminator", real_logits, fake_logits)
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms)

    def generator_loss(self, y: Tensor, translations: list[Tensor], keys: list[Features], flipped: bool) -> Tensor:
        """Return the loss of generator and projection (eq. 5).

        ``L_G = E[(D(fake) - 1)^2] + lambda_x L_nce(x, G(x)) + lambda_y L_nce(y, G(y))`` with ``L_nce`` the mean of
        `patch_nce` over the taps: ``lambda_x = lambda_y = 1/2`` in CUT, 10 and 0 in FastCUT.
        """
        logits = self.discriminator(translations[0])
        terms = {"adversarial": self.adversarial.generator_term(logits, lambda: self.discriminator(y))}
        names = ("nce", "nce_identity")[: len(translations)]
        terms |= zip(names, self.contrast(keys, self.encode(translations), flipped), strict=True)
        return self.weighted("generator", terms)

    def contrast(self, keys: list[Features], queries: list[Features], flipped: bool) -> list[Tensor]:
        """Return for each batch the mean over taps of the contrastive loss of maps of queries and of keys."""
        places = [self.places(call, maps) for call, maps in enumerate(keys)]
        with torch.no_grad():
            projected_keys = self.project(keys, places, flipped=False)
        projected_queries = self.project(queries, places, flipped)
        losses = [
            torch.stack([self.losses["contrastive"](q, k) for q, k in zip(*taps, strict=True)]).mean()
            for taps in zip(projected_queries, projected_keys, strict=True)
        ]
        return losses

    def project(self, features: list[Features], places: list[list[Tensor]], flipped: bool) -> list[Features]:
        """Return the projected features (B, P, n) of each batch at the places of each tap."""
        sampled = [
            [at_places(x, ids, flipped) for x, ids in zip(*maps, strict=True)]
            for maps in zip(features, places, strict=True)
        ]
        together = self.projection(*(torch.cat(tap) for tap in zip(*sampled, strict=True)))
        sizes = [len(maps[0]) for maps in features]
        return list(zip(*(x.split(sizes) for x in together), strict=True))

    def places(self, call: int, maps: Features) -> list[Tensor]:
        """Return the numbers of different places, row by row, in maps of features (B, C, H, W): a tensor (P,) each.

        They are a function of (seed, iteration, ``call``, number of the map), equal for all images of a batch.
        """
        return draw_places(self, self.num_places, call, maps)

    def is_flipped(self) -> bool:
        """Return whether the images of this iteration are mirrored before the generator: half of the time, if ever."""
        draw = uniform(self.seed, Stream.FLIP, np.array([self.iteration]), 1)[0, 0]
        return self.flip_equivariance and bool(draw < FLIP_PROBABILITY)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return grids of sources and their translations, and of images of the second domain and the same of them."""
        grids = {}
        for domain, (name, label) in enumerate((("translation", "translation"), ("identity", "identity"))):
            x = held_out.image[held_out.domain == domain][:NUM_SAMPLES]
            y = self.translate(x, held_out.domain.new_ones(len(x)))
            grids[name] = Grid.of_rows({held_out.domains[domain]: x, label: y})
        return grids
