"""The image transformation network of Johnson, Alahi, Fei-Fei (ECCV 2016, arXiv 1603.08155), as in pytorch/examples.

Letters: B batch, H and W sides. Parameter names are those of the released weights.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.layers.normalization import InstanceNorm
from translate.networks.layers.padding import ReflectionPad2d
from translate.networks.layers.resampling import double
from translate.registry.registry import NETWORKS

HALF_RANGE = 127.5  # pixels from the middle of the range 0..255, which the weights are for, to its end


class PaddedConv2d(nn.Module):
    """A convolution with reflection padding, behind nearest upsampling by two with ``upsample``."""

    def __init__(self, in_channels: int, width: int, kernel: int, stride: int = 1, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.pad = ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(in_channels, width, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, width, H', W') of features (B, in_channels, H, W)."""
        return self.conv2d(self.pad(double(x) if self.upsample else x))


class ResidualBlock(nn.Module):
    """Two convolutions with instance norms, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.in1 = PaddedConv2d(width, width, 3), InstanceNorm(width)
        self.conv2, self.in2 = PaddedConv2d(width, width, 3), InstanceNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of x (B, width, H, W)."""
        return x + self.in2(self.conv2(F.relu(self.in1(self.conv1(x)))))


@NETWORKS.register("fast_style_transformer", image_size={"minimum": 12, "multiple_of": 4})
class TransformerNet(nn.Module):
    """Transform an image by an encoder, residual blocks at a quarter of the side, and a decoder without bounds.

    The weights are for pixels in 0..255; the images of this package, in [-1, 1], are converted inside. ``base_width``
    is the width of the first layer, 32 in the official code, ``num_blocks`` that of residual blocks, 5 there.
    """

    batch_independent = True

    def __init__(self, base_width: int = 32, num_blocks: int = 5) -> None:
        super().__init__()
        width = base_width
        self.conv1, self.in1 = PaddedConv2d(3, width, 9), InstanceNorm(width)
        self.conv2, self.in2 = PaddedConv2d(width, 2 * width, 3, stride=2), InstanceNorm(2 * width)
        self.conv3, self.in3 = PaddedConv2d(2 * width, 4 * width, 3, stride=2), InstanceNorm(4 * width)
        self.block_names = tuple(f"res{number}" for number in range(1, num_blocks + 1))
        for name in self.block_names:
            self.add_module(name, ResidualBlock(4 * width))
        self.deconv1, self.in4 = PaddedConv2d(4 * width, 2 * width, 3, upsample=True), InstanceNorm(2 * width)
        self.deconv2, self.in5 = PaddedConv2d(2 * width, width, 3, upsample=True), InstanceNorm(width)
        self.deconv3 = PaddedConv2d(width, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        """Return the transformed images (B, 3, H, W) of images in [-1, 1]: without bounds in training, else clipped."""
        y = (x + 1) * HALF_RANGE
        y = F.relu(self.in1(self.conv1(y)))
        y = F.relu(self.in2(self.conv2(y)))
        y = F.relu(self.in3(self.conv3(y)))
        for name in self.block_names:
            y = self.get_submodule(name)(y)
        y = F.relu(self.in4(self.deconv1(y)))
        y = F.relu(self.in5(self.deconv2(y)))
        y = self.deconv3(y) / HALF_RANGE - 1
        return y if self.training else y.clamp(-1, 1)
