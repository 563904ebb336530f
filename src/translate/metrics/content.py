"""How much of a source its translations keep: likeness of each to the image that it was made from.

The papers of these models report no such figure. A network that does nothing keeps all, so it is read beside one that
says whether the domain was changed.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from translate.metrics.accumulators import Accumulator, Values
from translate.metrics.lpips import Lpips
from translate.registry.registry import METRICS

FEW = 50
GREY = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


class _Likeness:
    """The mean over sources of the likeness of each to its translations."""

    name = ""

    def accumulator(self) -> Accumulator:
        """Return what is kept: a number for each source."""
        return Values()

    def figures(self, found: Accumulator) -> dict[str, float]:
        """Return the mean."""
        assert isinstance(found, Values)
        return {self.name: float(found.in_order().mean())}

    def doubts(self, found: Accumulator) -> Iterator[str]:
        """Yield what makes the figure doubtful."""
        if len(found) < FEW:
            yield f"{self.name} of {len(found)} sources: the mean of few is noisy"


@METRICS.register("ssim_source_local", protocol="local", reads="sources", figures={"SSIM to the source": "higher"})
class SsimSourceLocal(_Likeness):
    """Structural similarity of the grey source and its grey translations: contours that stayed, whatever the colours.

    Gaussian window of 11 pixels, deviation 1.5 (Wang et al. 2004), of grey values in [0, 1].
    """

    name = "SSIM to the source"

    @torch.no_grad()
    def read(self, outputs: list[Tensor], sources: Tensor) -> Tensor:
        """Return the mean similarity (n,) of sources (n, 3, S, S) in [-1, 1] and translations of each."""
        grey = sources.new_tensor(GREY).view(1, 3, 1, 1)
        wanted, *found = (((x.clamp(-1, 1) + 1) / 2 * grey).sum(1, keepdim=True) for x in (sources, *outputs))
        each = [structural_similarity_index_measure(x, wanted, data_range=1.0, reduction="none") for x in found]
        return torch.stack([value.reshape(-1) for value in each if isinstance(value, Tensor)]).mean(0)


@METRICS.register(
    "lpips_source_published",
    protocol="published",
    reads="sources",
    weights="alexnet",
    figures={"LPIPS to the source": "lower"},
)
class LpipsSourcePublished(_Likeness):
    """LPIPS between a source and its translations, by AlexNet as for LPIPS diversity.

    ``weights`` is a file of AlexNet in torchvision's layout (null: fetched once into the cache).
    """

    name = "LPIPS to the source"

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights
        self.network: Lpips | None = None

    def prepare(self, weights: Path, device: torch.device) -> None:
        """Read the network."""
        self.network = Lpips(weights).to(device)

    @torch.no_grad()
    def read(self, outputs: list[Tensor], sources: Tensor) -> Tensor:
        """Return the mean distance (n,) of sources (n, 3, S, S) in [-1, 1] and translations of each."""
        assert self.network is not None, "prepare first"
        stages = self.network.stages(sources.float())
        return torch.stack([self.network.between(self.network.stages(x.float()), stages) for x in outputs]).mean(0)
