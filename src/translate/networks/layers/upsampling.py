"""Convolutions of decoders that double the side: transposed, or after nearest or bilinear upsampling.

A transposed convolution with stride 2 computes neighbouring pixels with different weights of its kernel, which leaves a
weave of single pixels in short runs (Odena et al., Distill 2016). A 3x3 convolution of upsampled features computes all
pixels with the same weights.

Letters: B batch, C channels, S image side.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.resampling import DoublingConv2d

Upsampling = Literal["transposed", "nearest", "bilinear"]


class BilinearConv2d(nn.Conv2d):
    """Bilinear upsampling by two, then a 3x3 convolution with zero padding.

    Maps (B, in_channels, S, S) to (B, out_channels, 2 S, 2 S). Beyond the border, upsampling repeats the outermost
    pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the upsampled features (B, in_channels, S, S)."""
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))


def doubling_convolution(
    upsampling: Upsampling, in_channels: int, out_channels: int, kernel_size: Literal[3, 4] = 4, bias: bool = True
) -> nn.Module:
    """Return a convolution that maps features (B, in_channels, S, S) to (B, out_channels, 2 S, 2 S).

    ``kernel_size`` is that of a transposed convolution; the kernels of the others are 3x3.

    >>> [tuple(doubling_convolution(name, 4, 2).weight.shape) for name in ("transposed", "nearest", "bilinear")]
    [(4, 2, 4, 4), (2, 4, 3, 3), (2, 4, 3, 3)]
    """
    if upsampling == "transposed":
        odd = kernel_size % 2  # an odd kernel leaves out the last line and column
        return nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size, stride=2, padding=1, output_padding=odd, bias=bias
        )
    if upsampling == "nearest":
        return DoublingConv2d(in_channels, out_channels, bias=bias)
    if upsampling == "bilinear":
        return BilinearConv2d(in_channels, out_channels, bias=bias)
    raise UserError(key="upsampling", found=upsampling, expected="'transposed', 'nearest' or 'bilinear'")
