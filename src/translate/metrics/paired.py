"""The protocol `paired`: translations against the images that were wanted, in a data set of pairs.

Every validation pair counts; both images are 8-bit, at the run's image size.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from translate.metrics.accumulators import Accumulator, Values
from translate.registry.registry import METRICS

FEW = 50


class _Paired(ABC):
    """The mean over pairs of a figure of each."""

    name = ""

    def accumulator(self) -> Accumulator:
        """Return what is kept: a number for each pair."""
        return Values()

    @abstractmethod
    def read(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Return the figure (n,) of images (n, 3, S, S) in [0, 255] against those that were wanted."""

    def figures(self, found: Accumulator) -> dict[str, float]:
        """Return the mean."""
        assert isinstance(found, Values)
        return {self.name: float(found.in_order().mean())}

    def doubts(self, found: Accumulator) -> Iterator[str]:
        """Yield what makes the figure doubtful."""
        if len(found) < FEW:
            yield f"{self.name} of {len(found)} pairs: the mean of few is noisy"


@METRICS.register("psnr_paired", protocol="paired", reads="pairs", figures={"PSNR": "higher"})
class PsnrPaired(_Paired):
    """Peak signal-to-noise ratio in dB: the mean over pairs of each pair's own ratio."""

    name = "PSNR"

    def read(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Return the ratio (n,) of each pair, all channels together; that of equal images counts as 100 dB."""
        found = peak_signal_noise_ratio(images, wanted, data_range=255.0, reduction="none", dim=(1, 2, 3))
        return found.clamp(max=100.0)


@METRICS.register("ssim_paired", protocol="paired", reads="pairs", figures={"SSIM": "higher"})
class SsimPaired(_Paired):
    """Structural similarity (Wang et al. 2004), a Gaussian window of 11 pixels and deviation 1.5: mean over pairs."""

    name = "SSIM"

    def read(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Return the similarity (n,) of each pair."""
        found = structural_similarity_index_measure(images, wanted, data_range=255.0, reduction="none")
        assert isinstance(found, Tensor)
        return found.reshape(-1)
