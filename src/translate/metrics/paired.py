"""The metrics of protocol `paired`: translations against their targets, in a data set of pairs.

Every validation pair counts. Both images are rounded to 8 bits, at the run's image size.
"""

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from translate.metrics.mean import MeanMetric
from translate.registry.registry import METRICS

LARGEST_PSNR = 100.0  # dB, of equal images


@METRICS.register("psnr_paired", protocol="paired", reads="pairs", scores={"PSNR": "higher"})
class PsnrPaired(MeanMetric):
    """Peak signal-to-noise ratio in dB: ``10 log10(255^2 / MSE)`` of each pair, then the mean over pairs."""

    score, items = "PSNR", "pairs"

    def read(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the ratio (n,) of each pair, over all channels; that of equal images is 100 dB."""
        ratios = peak_signal_noise_ratio(images, targets, data_range=255.0, reduction="none", dim=(1, 2, 3))
        return ratios.clamp(max=LARGEST_PSNR)


@METRICS.register("ssim_paired", protocol="paired", reads="pairs", scores={"SSIM": "higher"})
class SsimPaired(MeanMetric):
    """Structural similarity (Wang et al. 2004), a Gaussian window of 11 pixels and deviation 1.5: mean over pairs."""

    score, items = "SSIM", "pairs"

    def read(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the similarity (n,) of each pair."""
        values = structural_similarity_index_measure(images, targets, data_range=255.0, reduction="none")
        assert isinstance(values, Tensor)
        return values.reshape(-1)


@METRICS.register("pixel_accuracy_paired", protocol="paired", reads="pairs", scores={"pixel accuracy": "higher"})
class PixelAccuracyPaired(MeanMetric):
    """The fraction of pixels of which every channel is within ``tolerance`` levels of 255: mean over pairs.

    UNIT (Liu et al. 2017) measures maps by it, with a tolerance of 16.
    """

    score, items = "pixel accuracy", "pairs"

    def __init__(self, tolerance: float = 16.0) -> None:
        self.tolerance = tolerance

    def read(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the fraction (n,) of each pair."""
        return ((images - targets).abs().amax(1) <= self.tolerance).double().mean((1, 2))
