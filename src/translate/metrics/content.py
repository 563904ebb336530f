"""Content preservation: the similarity of each translation to its source.

The papers of these models report no such score. A network that returns its input has the best one, so read it beside a
score of the target domain.
"""

from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from translate.metrics.lpips import Lpips
from translate.metrics.mean import MeanMetric
from translate.registry.registry import METRICS

GREY = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


@METRICS.register(
    "ssim_source_local",
    protocol="local",
    reads="sources",
    scores={"SSIM to the source": "higher"},
    keeps_source=("SSIM to the source",),
)
class SsimSourceLocal(MeanMetric):
    """Structural similarity of the grey source and its grey translations: contours are compared, colours are not.

    Gaussian window of 11 pixels, deviation 1.5 (Wang et al. 2004), of grey values in [0, 1].
    """

    score = "SSIM to the source"

    @torch.no_grad()
    def read(self, outputs: list[Tensor], sources: Tensor) -> Tensor:
        """Return the mean similarity (n,) of sources (n, 3, S, S) in [-1, 1] and the translations of each."""
        grey = sources.new_tensor(GREY).view(1, 3, 1, 1)
        source, *translations = (((x.clamp(-1, 1) + 1) / 2 * grey).sum(1, keepdim=True) for x in (sources, *outputs))
        values = [
            structural_similarity_index_measure(x, source, data_range=1.0, reduction="none") for x in translations
        ]
        return torch.stack([value.reshape(-1) for value in values if isinstance(value, Tensor)]).mean(0)


@METRICS.register(
    "lpips_source_official",
    protocol="official",
    reads="sources",
    weights="alexnet",
    scores={"LPIPS to the source": "lower"},
    keeps_source=("LPIPS to the source",),
)
class LpipsSourceOfficial(MeanMetric):
    """LPIPS between a source and its translations, by AlexNet as for LPIPS diversity.

    ``weights`` is a file of AlexNet in torchvision's layout (null: fetched once into the cache).
    """

    score = "LPIPS to the source"

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights
        self.network: Lpips | None = None

    def prepare(self, weights: Path, device: torch.device) -> None:
        """Load the network."""
        self.network = Lpips(weights).to(device)

    @torch.no_grad()
    def read(self, outputs: list[Tensor], sources: Tensor) -> Tensor:
        """Return the mean distance (n,) of sources (n, 3, S, S) in [-1, 1] and the translations of each."""
        assert self.network is not None, "prepare first"
        stages = self.network.stages(sources.float())
        return torch.stack([self.network.between(self.network.stages(x.float()), stages) for x in outputs]).mean(0)
