"""Convolutions that change the resolution, with less work than a convolution and a resampling in sequence.

A 3x3 convolution and the mean over 2x2 are both linear, so they commute: first the mean over the 2x2 pixels around each
corner, then a convolution with stride 2. This takes 9 multiplications for an output instead of 36. In the same way,
nearest upsampling and a 3x3 convolution equal a transposed convolution with stride 2, then sums over 2x2. The results
are equal but for rounding, also with zero padding. The parameters are those of the 3x3 convolution.

On a CPU the means and sums are additions of slices, up to ten times as fast as torch's pooling. The gradients are
written out, so nothing is stored for the backward pass. Torch's pooling stores its input. Where a compiler derives
gradients of gradients, these are not used: it would lose them, see `translate.acceleration.compiled_penalties`.

Letters: B batch, C channels, H and W sides, S image side.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.layers.device import derives_gradients, on_cpu, without_autocast


class HalvingConv2d(nn.Conv2d):
    """A 3x3 convolution with zero padding, then the mean over 2x2.

    Maps (B, in_channels, S, S) to (B, out_channels, S / 2, S / 2), rounded down.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over 2x2 of the convolved features (B, in_channels, S, S)."""
        return F.conv2d(means_at_corners(x), self.weight, self.bias, stride=2)


class DoublingConv2d(nn.Conv2d):
    """Nearest upsampling by two, then a 3x3 convolution with zero padding.

    Maps (B, in_channels, S, S) to (B, out_channels, 2 S, 2 S).
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the upsampled features (B, in_channels, S, S)."""
        # a transposed convolution writes at the pixels that a convolution reads, so the kernel is flipped
        flipped = self.weight.flip(2, 3).transpose(0, 1)
        y = sums_of_four(F.conv_transpose2d(x, flipped, stride=2))
        # added here: on a CPU, torch takes as long for the gradient of this bias as for that of the weights
        return y if self.bias is None else y.add_(self.bias.to(y.dtype)[:, None, None])


class BlurredHalving(nn.Module):
    """Reflection padding by one, convolution of each channel with [1, 2, 1] x [1, 2, 1] / 16, every second pixel.

    Maps (B, C, S, S) to (B, C, S / 2, S / 2), rounded up (Zhang, "Making convolutional networks shift-invariant again",
    ICML 2019). The kernel is no parameter and is in no file.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (line[:, None] * line / 16)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the blurred and halved features, in the precision of the features (B, C, S, S)."""
        with without_autocast(x):
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            if on_cpu(x) and x.is_contiguous():  # there, torch's depthwise gradient takes seven times as long
                sums = sums_of_four(x)
                return halve(sums[..., : sums.shape[2] // 2 * 2, : sums.shape[3] // 2 * 2]) * 0.25
            return F.conv2d(x, self.kernel.to(x.dtype).expand(x.shape[1], 1, 3, 3), stride=2, groups=x.shape[1])


class BilinearDoubling(nn.Module):
    """Bilinear upsampling by two, without aligned corners: (B, C, S, S) to (B, C, 2 S, 2 S).

    It equals replication padding by one and a transposed convolution with [1, 3, 3, 1] x [1, 3, 3, 1] / 16 (CUT).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the upsampled features, in the precision of the features (B, C, S, S)."""
        with without_autocast(x):
            return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def means_at_corners(x: Tensor) -> Tensor:
    """Return the means (B, C, H + 1, W + 1) of the four pixels around each corner of features (B, C, H, W).

    Pixels outside the features are zero.

    >>> means_at_corners(torch.full((1, 1, 1, 2), 4.0))
    tensor([[[[1., 2., 1.],
              [1., 2., 1.]]]])
    """
    means: Tensor = _sums(x, True, 4) if derives_gradients() else _Sums.apply(x, True, 4)
    return means


def sums_of_four(x: Tensor) -> Tensor:
    """Return the sums (B, C, H - 1, W - 1) of the four pixels around each inner corner of features (B, C, H, W).

    >>> sums_of_four(torch.arange(6.0).view(1, 1, 2, 3))
    tensor([[[[ 8., 12.]]]])
    """
    sums: Tensor = _sums(x, False, 1) if derives_gradients() else _Sums.apply(x, False, 1)
    return sums


def halve(x: Tensor) -> Tensor:
    """Return the means (B, C, H / 2, W / 2) over 2x2 of features (B, C, H, W) with even sides.

    >>> halve(torch.arange(8.0).view(1, 1, 2, 4))
    tensor([[[[2.5000, 4.5000]]]])
    """
    halved: Tensor = _halved(x) if derives_gradients() else _Halved.apply(x)
    return halved


def double(x: Tensor) -> Tensor:
    """Return features (B, C, H, W) with each pixel repeated in 2x2 (nearest upsampling): (B, C, 2 H, 2 W).

    >>> double(torch.arange(2.0).view(1, 1, 1, 2))
    tensor([[[[0., 0., 1., 1.],
              [0., 0., 1., 1.]]]])
    """
    doubled: Tensor = _doubled(x) if derives_gradients() else _Doubled.apply(x)
    return doubled


def _sums(x: Tensor, border: bool, divisor: int) -> Tensor:
    if torch.compiler.is_exporting():  # the exporter to ONNX ignores divisor_override
        return F.avg_pool2d(x, 2, stride=1, padding=int(border)) * (4 / divisor)
    if not on_cpu(x):
        return F.avg_pool2d(x, 2, stride=1, padding=int(border), divisor_override=divisor)
    if border:
        x = F.pad(x, (1, 1, 1, 1))
    lines = x[:, :, 1:] + x[:, :, :-1]
    sums = lines[..., 1:] + lines[..., :-1]
    return sums if divisor == 1 else sums * (1 / divisor)  # in place, torch 2.11 compiles it without a gradient


def _halved(x: Tensor) -> Tensor:
    if not on_cpu(x):
        return F.avg_pool2d(x, 2)
    lines = x[:, :, ::2] + x[:, :, 1::2]
    return (lines[..., ::2] + lines[..., 1::2]) * 0.25


def _doubled(x: Tensor) -> Tensor:
    with without_autocast(x):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


class _Sums(torch.autograd.Function):
    """Sums over 2x2 with stride 1, with or without zero padding, divided by a number.

    The sums with padding are the gradient of those without, and conversely.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, border: bool, divisor: int) -> Tensor:
        ctx.border, ctx.divisor = border, divisor
        return _sums(x, border, divisor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Sums.apply(gradients[0], not ctx.border, ctx.divisor), None, None


class _Halved(torch.autograd.Function):
    """Means over 2x2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _halved(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return double(gradients[0] * 0.25)


class _Doubled(torch.autograd.Function):
    """Nearest upsampling in the precision of the features. (On a CPU, autocast would convert them to float32.)"""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _doubled(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return halve(gradients[0]) * 4
