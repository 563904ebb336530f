"""Convolutions that choose the quickest way on a CPU. (A GPU's library chooses on its own.)"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.acceleration.winograd import convolve
from translate.networks.layers.device import on_cpu

# By measurement, docs/benchmarks.md.
WIDE = 128  # channels from which the fewer products of Winograd's algorithm pay for its transforms
MANY_PLACES = 1024  # outputs a channel from which they pay for the transform of the weights
HEAVY = 2**23  # weights from which a product of matrices, which reads them as they lie, beats the library
FEW_PLACES = 256  # outputs a channel up to which it does
LONG = 7  # side of kernels from which their lines pay for being taken apart
FEW_CHANNELS = 4  # channels on one side up to which they do, as the library computes 16 at least
MANY_CHANNELS = 16  # channels on the other from which they do


def use_fast_convolutions(network: nn.Module) -> None:
    """Let the convolutions of a network run as `FastConv2d` and `FastConvTranspose2d`.

    Parameters and their names stay. Heavy weights are laid out plane by plane, as a product of matrices reads them.
    """
    for part in network.modules():
        # unlike a method of the module alone, a class is the same for copies of it
        if type(part) is nn.Conv2d and _is_plain(part):
            part.__class__ = FastConv2d
            if part.weight.numel() >= HEAVY:
                part.weight.data = part.weight.data.contiguous()
        elif type(part) is nn.ConvTranspose2d:
            part.__class__ = FastConvTranspose2d


def winograd_pays() -> bool:
    """Return whether the processor is of those for which fewer products were measured to be quicker."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def _is_plain(conv: nn.Conv2d) -> bool:
    """Return whether a convolution is the same along both sides, has no holes or groups, and a border of zeros."""
    alike = all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))
    numbered = not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
    return alike and numbered and conv.dilation == (1, 1) and conv.groups == 1


class FastConv2d(nn.Conv2d):
    """A convolution that runs by Winograd's algorithm, as a product of matrices, in strips, or as the library does it.

    The numbers are the same but for rounding. What is not float32 on a CPU, or is compiled, is left to the library.
    Under autocast products and strips are in its precision, as convolutions are.
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
        if self.weight.numel() >= HEAVY and places <= FEW_PLACES and self.weight.is_contiguous():
            return self.as_product(x, height)
        if self.stride != (1, 1):
            return super().forward(x)
        if self.kernel_size[0] >= LONG and max(self.in_channels, self.out_channels) >= MANY_CHANNELS:
            if self.out_channels <= FEW_CHANNELS:
                return self.to_strips(x)
            if self.in_channels <= FEW_CHANNELS and x.requires_grad and torch.is_grad_enabled():
                return self.from_strips(x)
        large = min(self.weight.shape[:2]) >= WIDE and places >= MANY_PLACES
        single = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if self.kernel_size == (3, 3) and large and single and winograd_pays():
            y = convolve(x, self.weight, int(self.padding[0]))
            return y if self.bias is None else y + self.bias[:, None, None]
        return super().forward(x)

    def as_product(self, x: Tensor, height: int) -> Tensor:
        """Return the convolution, of ``height`` lines, as the product of all windows, one a row, and the weights."""
        windows = F.unfold(x, self.kernel_size, padding=int(self.padding[0]), stride=self.stride).transpose(1, 2)
        y = F.linear(windows.flatten(0, 1), self.weight.flatten(1), self.bias)
        y = y.view(len(x), height, -1, len(self.weight)).permute(0, 3, 1, 2)  # which is channels-last
        return y.contiguous() if x.is_contiguous() else y

    def to_strips(self, x: Tensor) -> Tensor:
        """Return the convolution with stride 1 as one by each line of the kernel, and the sum of what they give.

        Lines times channels out are nearer to a multiple of 16, which is what the library computes.
        """
        lines, border = self.kernel_size[0], int(self.padding[0])
        strips = self.weight.permute(2, 0, 3, 1).flatten(0, 1).unsqueeze(1).permute(0, 3, 1, 2)
        y = F.conv2d(x, strips, padding=(0, border))
        sums = torch.eye(len(strips)).view(lines, self.out_channels, -1).permute(1, 2, 0).unsqueeze(3)
        return F.conv2d(y, sums, self.bias, padding=(border, 0))

    def from_strips(self, x: Tensor) -> Tensor:
        """Return the convolution with stride 1 as one by a single line of the lines of ``x`` that a kernel covers.

        The gradient of ``x`` comes by these, which is as quick as `to_strips`.
        """
        lines, border = self.kernel_size[0], int(self.padding[0])
        apart = torch.eye(lines * self.in_channels).view(-1, lines, self.in_channels).transpose(1, 2).unsqueeze(3)
        y = F.conv2d(x, apart, padding=(border, 0))
        strips = self.weight.permute(0, 3, 2, 1).flatten(2).unsqueeze(1).permute(0, 3, 1, 2)
        return F.conv2d(y, strips, self.bias, padding=(0, border))


class FastConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that adds its bias on its own, if it is float32 on a CPU and not compiled.

    The library takes as long for the gradient of that bias as for that of the weights, in bfloat16 twice as long.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution of features (B, C, H, W)."""
        bias = self.bias
        if bias is None or output_size or not on_cpu(x) or bias.dtype != torch.float32 or torch.compiler.is_compiling():
            return super().forward(x, output_size)
        # a padding by name is for convolutions that are not transposed
        padding = cast(tuple[int, ...], self.padding)
        sides = (self.stride, padding, self.output_padding)
        y = F.conv_transpose2d(x, self.weight, None, *sides, self.groups, self.dilation)
        return y.add_(bias.to(y.dtype)[:, None, None])  # mixed types would be added in copies
