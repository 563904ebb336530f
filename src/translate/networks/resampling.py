"""Convolutions that change the resolution, with less work than a convolution and a resampling after each other.

A 3x3 convolution and the mean over 2x2 are both linear, so the two are one convolution with 4x4 weights, each a mean of
the 3x3 weights that reach its place: 16 products for an output where there were 36. Nearest upsampling and a 3x3
convolution are likewise one transposed convolution. The numbers are the same but for rounding, borders of zeros
included, and the features at the high resolution between the two are never made. Parameters are those of the 3x3
convolution. (As in progressive growing, Karras et al., ICLR 2018, whose code calls it fused scaling.)

Letters: B batch, S image side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def spread() -> Tensor:
    """Return (3, 3, 4, 4): by how much a weight of 3x3 counts at each place of 4x4, summed over four shifts.

    >>> spread()[0, 0]
    tensor([[1., 1., 0., 0.],
            [1., 1., 0., 0.],
            [0., 0., 0., 0.],
            [0., 0., 0., 0.]])
    """
    line = torch.eye(3, 4) + torch.eye(4)[1:]
    return line[:, None, :, None] * line[None, :, None, :]


class HalvingConv2d(nn.Conv2d):
    """A 3x3 convolution with a border of zeros, then the mean over 2x2, as one convolution.

    Maps (B, in_channels, S, S) to (B, out_channels, S / 2, S / 2), rounded down.
    """

    spread: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.register_buffer("spread", spread() / 4, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over 2x2 of the convolved features (B, in_channels, S, S)."""
        weight = torch.einsum("ocij,ijkl->ockl", self.weight, self.spread)
        return F.conv2d(x, weight, self.bias, stride=2, padding=1)


class DoublingConv2d(nn.Conv2d):
    """Nearest upsampling by two, then a 3x3 convolution with a border of zeros, as one transposed convolution.

    Maps (B, in_channels, S, S) to (B, out_channels, 2 S, 2 S).
    """

    spread: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        # A transposed convolution writes where a convolution reads, so the weights are turned about.
        self.register_buffer("spread", spread().flip(0, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the upsampled features (B, in_channels, S, S)."""
        weight = torch.einsum("ocij,ijkl->cokl", self.weight, self.spread)
        return F.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)
