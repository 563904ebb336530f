"""Convolutions that select the fastest algorithm on a CPU. (On a GPU, cuDNN selects.)"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.acceleration.processor import is_faster
from translate.acceleration.winograd import convolve
from translate.networks.layers.device import on_cpu

# Thresholds by measurement, see docs/benchmarks.md.
WIDE = 128  # least channels for which Winograd's algorithm is faster than the library
MANY_PLACES = 1024  # least outputs of a channel for which it is
HEAVY = 2**23  # least weights for which a matrix product is faster than the library
FEW_PLACES = 256  # most outputs of a channel for which it is
LONG = 7  # least side of a kernel for which separate rows are faster than the library
FEW_CHANNELS = 4  # most channels on one side for which they are, since the library computes at least 16
MANY_CHANNELS = 16  # least channels on the other side for which they are


def use_fast_convolutions(network: nn.Module) -> None:
    """Change the convolutions of a network to `FastConv2d` and `FastConvTranspose2d`.

    Parameters and their names do not change. Large weights become contiguous, since the matrix product reads them so.
    """
    for part in network.modules():
        # a changed class is copied with the module; a method that is set on the module would not be
        if type(part) is nn.Conv2d and _is_plain(part):
            part.__class__ = FastConv2d
            if part.weight.numel() >= HEAVY:
                part.weight.data = part.weight.data.contiguous()
        elif type(part) is nn.ConvTranspose2d:
            part.__class__ = FastConvTranspose2d


def _is_plain(conv: nn.Conv2d) -> bool:
    """Return whether a convolution is equal along both axes, without dilation or groups, with zero padding."""
    alike = all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))
    numbered = not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
    return alike and numbered and conv.dilation == (1, 1) and conv.groups == 1


class FastConv2d(nn.Conv2d):
    """A convolution by Winograd's algorithm, as a matrix product, by rows of the kernel, or by the library.

    Results are equal but for rounding. The library runs convolutions that are compiled, or not float32 on a CPU.
    Under autocast the matrix product and the rows have its precision, as convolutions do.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of features (B, C, H, W)."""
        ours = on_cpu(x) and x.ndim == 4 and self.weight.dtype == torch.float32
        if not ours or torch.compiler.is_compiling():
            return super().forward(x)
        height, length = (
            (side + 2 * int(self.padding[0]) - self.kernel_size[0]) // self.stride[0] + 1 for side in x.shape[2:]
        )
        places = len(x) * height * length
        is_heavy = self.weight.numel() >= HEAVY and places <= FEW_PLACES and self.weight.is_contiguous()
        if is_heavy and is_faster("product"):
            return self.by_matrix_product(x, height)
        if self.stride != (1, 1):
            return super().forward(x)
        if self.kernel_size[0] >= LONG and max(self.in_channels, self.out_channels) >= MANY_CHANNELS:
            if self.out_channels <= FEW_CHANNELS and is_faster("output rows"):
                return self.by_output_rows(x)
            from_few = self.in_channels <= FEW_CHANNELS and x.requires_grad and torch.is_grad_enabled()
            if from_few and is_faster("input rows"):
                return self.by_input_rows(x)
        large = min(self.weight.shape[:2]) >= WIDE and places >= MANY_PLACES
        single = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if self.kernel_size == (3, 3) and large and single and is_faster("winograd"):
            y = convolve(x, self.weight, int(self.padding[0]))
            return y if self.bias is None else y + self.bias[:, None, None]
        return super().forward(x)

    def by_matrix_product(self, x: Tensor, height: int) -> Tensor:
        """Return the convolution, of a given output height, as the product of its windows and the weights."""
        windows = F.unfold(x, self.kernel_size, padding=int(self.padding[0]), stride=self.stride).transpose(1, 2)
        y = F.linear(windows.flatten(0, 1), self.weight.flatten(1), self.bias)
        y = y.view(len(x), height, -1, len(self.weight)).permute(0, 3, 1, 2)  # a channels-last tensor
        return y.contiguous() if x.is_contiguous() else y

    def by_output_rows(self, x: Tensor) -> Tensor:
        """Return the convolution with stride 1 as the sum of convolutions by each row of the kernel.

        The rows are output channels of one convolution. Their number is nearer to a multiple of 16, the library's unit.
        """
        lines, border = self.kernel_size[0], int(self.padding[0])
        strips = self.weight.permute(2, 0, 3, 1).flatten(0, 1).unsqueeze(1).permute(0, 3, 1, 2)
        y = F.conv2d(x, strips, padding=(0, border))
        sums = torch.eye(len(strips)).view(lines, self.out_channels, -1).permute(1, 2, 0).unsqueeze(3)
        return F.conv2d(y, sums, self.bias, padding=(border, 0))

    def by_input_rows(self, x: Tensor) -> Tensor:
        """Return the convolution with stride 1 as a convolution by one row, with the rows of ``x`` as input channels.

        Then the gradient with respect to ``x`` is as fast as `by_output_rows`.
        """
        lines, border = self.kernel_size[0], int(self.padding[0])
        apart = torch.eye(lines * self.in_channels).view(-1, lines, self.in_channels).transpose(1, 2).unsqueeze(3)
        y = F.conv2d(x, apart, padding=(border, 0))
        strips = self.weight.permute(0, 3, 2, 1).flatten(2).unsqueeze(1).permute(0, 3, 1, 2)
        return F.conv2d(y, strips, self.bias, padding=(0, border))


class FastConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that adds its bias separately, if it is float32 on a CPU and not compiled.

    The library takes as long for the gradient of the bias as for that of the weights, in bfloat16 twice as long.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution of features (B, C, H, W)."""
        bias = self.bias
        if bias is None or output_size or not on_cpu(x) or bias.dtype != torch.float32 or torch.compiler.is_compiling():
            return super().forward(x, output_size)
        # padding is a string only in convolutions that are not transposed
        padding = cast(tuple[int, ...], self.padding)
        sides = (self.stride, padding, self.output_padding)
        y = F.conv_transpose2d(x, self.weight, None, *sides, self.groups, self.dilation)
        return y.add_(bias.to(y.dtype)[:, None, None])  # an addition of mixed types makes copies
