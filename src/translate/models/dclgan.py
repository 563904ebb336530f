"""DCLGAN (Han, Shoeiby, Petersson, Armin, CVPR workshops 2021): the contrast of CUT in both directions.

Letters: a, b images of the first and of the second domain, ``fake_b = G_ab(a)``, ``identity_b = G_ab(b)``. Each domain
has an encoder and projection heads of its own: those of a are the encoder of ``generator_ab`` with ``projection_a``,
those of b the encoder of ``generator_ba`` with ``projection_b``. ``nce_a`` compares the places of a and of ``fake_b``.

Differences
- The order of updates, factors of terms, rates, taps and the adversarial loss are those of the official code, read at
  commit 02f7fd7 of JunlinHan/DCLGAN. No figures of it were at hand. The similarity variant is not here.
- From the official code: places and exchanges of the pools are functions of the seed and of the iteration.
- From both: ``ema_decay`` keeps an EMA of the generators; null, the default, equals both.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from translate.data.views.unpaired import UnpairedBatch
from translate.inference.dclgan import DCLGANTranslation
from translate.losses.reconstruction import l1
from translate.models.cyclegan import SIDES, CycleGAN
from translate.models.places import Features, at_places, check_taps_of, draw_places
from translate.networks.layers.batching import forward_together
from translate.registry.registry import MODELS

GENERATORS = ("generator_ab", "generator_ba", "projection_a", "projection_b")


@MODELS.register(
    "dclgan",
    batch="unpaired",
    networks=("generator_ab", "generator_ba", "projection_a", "projection_b", "discriminator_a", "discriminator_b"),
    losses=("adversarial", "contrastive"),
    terms={
        "generator": ("adversarial_ab", "adversarial_ba", "nce_a", "nce_b", "identity_a", "identity_b"),
        "discriminator": ("real", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred")},
)
class DCLGAN(CycleGAN):
    """Two generators, and for each domain projection heads and a discriminator, without a cycle.

    ``num_places`` is as in CUT, ``pool_size`` and ``statistics`` are as in CycleGAN.
    """

    progress_terms = ("generator/adversarial_ab", "generator/adversarial_ba", "generator/nce_a", "generator/nce_b")
    inference = DCLGANTranslation

    def __init__(self, num_places: int = 256, **common: Any) -> None:
        super().__init__(identity_scale="alone", **common)  # it has no cycle
        self.num_places = num_places
        for role, heads in (("generator_ab", "projection_a"), ("generator_ba", "projection_b")):
            check_taps_of(self.network(role), self.network(heads), role, heads)

    def step(self, batch: UnpairedBatch[Tensor]) -> None:
        """Do one iteration: a discriminator update, then one of generators and projections."""
        a, b = batch.a, batch.b
        fake_b, identity_b, keys_a = self.translated("ab", a, b)
        fake_a, identity_a, keys_b = self.translated("ba", b, a)
        old_a, old_b = self.query_pool("a", fake_a), self.query_pool("b", fake_b)
        with self.update("discriminator_a", "discriminator_b") as minimize:
            minimize(self.discriminator_loss("a", a, old_a) + self.discriminator_loss("b", b, old_b))
        with self.update(*GENERATORS) as minimize:
            terms = {
                "adversarial_ab": self.adversarial.generator_term(
                    self.discriminator_b(fake_b), lambda: self.discriminator_b(b)
                ),
                "adversarial_ba": self.adversarial.generator_term(
                    self.discriminator_a(fake_a), lambda: self.discriminator_a(a)
                ),
                "nce_a": self.contrast("a", keys_a, fake_b),
                "nce_b": self.contrast("b", keys_b, fake_a),
            }
            terms |= {} if identity_a is None else {"identity_a": l1(identity_a, a)}
            terms |= {} if identity_b is None else {"identity_b": l1(identity_b, b)}
            minimize(self.weighted("generator", terms))
        self.update_ema()

    def translated(self, direction: str, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None, Features]:
        """Return the translations, the images made of ``target`` or None, and the features of the source (keys)."""
        generator: Any = self.network(f"generator_{direction}")
        images = [source, target] if self.is_active("generator", f"identity_{direction[1]}") else [source]
        forward = partial(generator.forward_with_features, taps=self.heads(direction[0]).taps)
        (fake, *features), *rest = forward_together(generator, *images, forward=forward)
        return fake, rest[0][0] if rest else None, [x.detach() for x in features]

    def contrast(self, side: str, keys: Features, fake: Tensor) -> Tensor:
        """Return the mean over taps of the contrastive loss of images of a domain and their translations ``fake``."""
        other = "b" if side == "a" else "a"
        encoder: Any = self.network(f"generator_{other}{side}")
        queries = encoder.encode(fake, self.heads(other).taps)
        places = draw_places(self, self.num_places, SIDES[side], keys)
        with torch.no_grad():
            projected_keys = self.heads(side)(*sampled(keys, places))
        projected_queries = self.heads(other)(*sampled(queries, places))
        losses = [self.losses["contrastive"](q, k) for q, k in zip(projected_queries, projected_keys, strict=True)]
        return torch.stack(losses).mean()

    def heads(self, side: str) -> Any:
        """Return the projection heads of a domain."""
        return self.network(f"projection_{side}")


def sampled(maps: Features, places: Sequence[Tensor]) -> list[Tensor]:
    """Return the features (B, P, C) of each map at its places."""
    return [at_places(x, ids, flipped=False) for x, ids in zip(maps, places, strict=True)]
