"""Convolutions that choose the quickest way on a CPU. (A GPU's library chooses on its own.)"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.device import on_cpu
from translate.networks.winograd import TILE, convolve

# By measurement, docs/benchmarks.md.
WIDE = 256  # channels from which the fewer products of Winograd's algorithm pay for its transforms
MANY_TILES = 192  # tiles of 4x4 outputs from which they pay for the transform of the weights
HEAVY = 2**23  # weights from which a product of matrices, which reads them as they lie, beats the library
FEW_PLACES = 256  # outputs a channel up to which it does


def use_quick_convolutions(network: nn.Module) -> None:
    """Let the convolutions of a network run as `QuickConv2d`. Parameters and their names stay.

    Heavy weights are laid out plane by plane, as a product of matrices reads them.
    """
    for part in network.modules():
        if type(part) is nn.Conv2d and _is_plain(part):
            part.__class__ = QuickConv2d  # unlike a method of the module alone, it is the same for copies of it
            if part.weight.numel() >= HEAVY:
                part.weight.data = part.weight.data.contiguous()


def winograd_pays() -> bool:
    """Return whether fewer products are quicker than the library's convolutions, which depends on the processor.

    With AVX-512 the library's convolutions run more than twice as fast as its products of matrices (AMD, torch 2.15).
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def _is_plain(conv: nn.Conv2d) -> bool:
    """Return whether a convolution is the same along both sides, has no holes or groups, and a border of zeros."""
    alike = all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))
    numbered = not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
    return alike and numbered and conv.dilation == (1, 1) and conv.groups == 1


class QuickConv2d(nn.Conv2d):
    """A convolution that runs by Winograd's algorithm, as a product of matrices, or as the library does it.

    The numbers are the same but for rounding. What is not float32 on a CPU, or is compiled, is left to the library.
    Under autocast products are in its precision, as convolutions are.
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
        small = self.kernel_size == (3, 3) and self.stride == (1, 1) and int(self.padding[0]) <= 1
        large = min(self.weight.shape[:2]) >= WIDE and places >= MANY_TILES * TILE**2
        single = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if small and large and single and winograd_pays():
            y = convolve(x, self.weight, int(self.padding[0]))
            return y if self.bias is None else y + self.bias[:, None, None]
        return super().forward(x)

    def as_product(self, x: Tensor, height: int) -> Tensor:
        """Return the convolution, of ``height`` lines, as the product of all windows, one a row, and the weights."""
        windows = F.unfold(x, self.kernel_size, padding=int(self.padding[0]), stride=self.stride).transpose(1, 2)
        y = F.linear(windows.flatten(0, 1), self.weight.flatten(1), self.bias)
        y = y.view(len(x), height, -1, len(self.weight)).permute(0, 3, 1, 2)  # which is channels-last
        return y.contiguous() if x.is_contiguous() else y
