"""A model on a batch type of our own: it learns to darken images by a given amount.

Letters: x image in [-1, 1]; d darkness in [0, 1); G generator. The loss is ``E[|G(x, d) - ((1 - d) (x + 1) - 1)|]``.

Differences: none; it is nobody's publication.
"""

from typing import Any

from torch import Tensor

from my_lab.translations import Darkening
from my_lab.views import DarknessBatch
from translate.losses.reconstruction import l1
from translate.models.base import TranslationModel
from translate.registry.registry import MODELS


@MODELS.register(
    "my_lab_darkener",
    batch="my_lab_darkness",
    networks=("generator",),
    terms={"generator": ("l1",)},
)
class Darkener(TranslationModel):
    """Darken images by a given amount."""

    def step(self, batch: DarknessBatch[Tensor]) -> None:
        """Do one iteration: one update of the generator."""
        generator = self.network("generator")
        x, darkness = batch.image, batch.darkness
        target = (1 - darkness[:, None, None, None]) * (x + 1) - 1
        with self.update("generator") as minimize:
            minimize(self.weighted("generator", {"l1": l1(generator(x, darkness), target)}))

    def translate(self, x: Tensor, target: Tensor, *args: Any, **guide: Any) -> Tensor:
        """Return images (B, 3, S, S) darkened by ``target`` (B,) in [0, 1]."""
        return Darkening(self.inference_networks())(x, target)
