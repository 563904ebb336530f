"""The metrics of protocol `super_resolution`: enlarged images against the true ones, by their luma.

The protocol of the papers: images of 8 bits, luma as in MATLAB's rgb2ycbcr, and a border that does not count.
"""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from translate.errors import Phrase, UserError
from translate.metrics.mean import MeanMetric
from translate.registry.registry import METRICS

LUMA = (65.481, 128.553, 24.966)  # of red, green, blue in 0..1 (BT.601), 16 to 235 together with the offset
OFFSET = 16.0
WINDOW = 11  # pixels of the window of SSIM
LARGEST_PSNR = 100.0  # dB, of equal images


def luma(images: Tensor) -> Tensor:
    """Return the luma (n, 1, H, W) float64, from 16 to 235, of images (n, 3, H, W) from 0 to 255.

    >>> luma(torch.full((1, 3, 1, 1), 255.0)).item()
    235.0
    """
    weights = torch.tensor(LUMA, dtype=torch.float64, device=images.device)[:, None, None]
    return (images.double() * weights).sum(1, keepdim=True) / 255 + OFFSET


class _LumaMetric(MeanMetric):
    """A metric of the luma without ``border`` pixels on each side, 4 in the papers."""

    items = "images"

    def __init__(self, border: int = 4) -> None:
        if border < 0:
            raise UserError(key="border", found=border, expected="0 or more")
        self.border = border

    def planes(self, *images: Tensor) -> list[Tensor]:
        """Return the luma (n, 1, h, w) of images (n, 3, H, W) without the border."""
        height, width = images[0].shape[2:]
        if min(height, width) - 2 * self.border < WINDOW:
            raise UserError(
                "an image is too small for this border",
                key="border",
                found=Phrase(f"{height} x {width} pixels"),
                expected=f"at least {2 * self.border + WINDOW} a side",
            )
        return [
            luma(each)[:, :, self.border : height - self.border, self.border : width - self.border] for each in images
        ]


@METRICS.register("psnr_y", protocol="super_resolution", reads="pairs", scores={"PSNR": "higher"})
class PsnrY(_LumaMetric):
    """Peak signal-to-noise ratio of the luma in dB: ``10 log10(255^2 / MSE)`` of each image, then the mean."""

    score = "PSNR"

    def read(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the ratio (n,) of each image (n, 3, H, W) in [0, 255]; that of equal images is 100 dB."""
        enlarged, true = self.planes(images, targets)
        mse = (enlarged - true).square().mean((1, 2, 3))
        return (10 * torch.log10(255**2 / mse)).clamp(max=LARGEST_PSNR).float()


@METRICS.register("ssim_y", protocol="super_resolution", reads="pairs", scores={"SSIM": "higher"})
class SsimY(_LumaMetric):
    """Structural similarity of the luma (Wang et al. 2004), a Gaussian window of 11 pixels and deviation 1.5."""

    score = "SSIM"

    def read(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the similarity (n,) of each image (n, 3, H, W) in [0, 255]."""
        enlarged, true = self.planes(images, targets)
        values = structural_similarity_index_measure(enlarged, true, data_range=255.0, reduction="none")
        assert isinstance(values, Tensor)
        return values.reshape(-1).float()
