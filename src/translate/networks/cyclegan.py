"""The residual generator of CycleGAN (Zhu et al., ICCV 2017, appendix 7.2), after Johnson et al., ECCV 2016.

Letters: B batch, S image side. Parameter names are those of the released weights. CycleGAN's discriminator is
`patch_discriminator` of `networks/pix2pix.py`.
"""

from typing import Literal

from torch import Tensor, nn

from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.normalization import normalization
from translate.networks.layers.padding import ReflectionPad2d
from translate.networks.layers.upsampling import Upsampling, doubling_convolution
from translate.registry.registry import NETWORKS

NUM_DOWNSAMPLINGS = 2
DROPOUT = 0.5


class ResidualBlock(nn.Module):
    """Two convolutions with reflection padding, added to their input; maps (B, width, S, S) to the same shape."""

    def __init__(self, width: int, norm: Literal["instance", "batch"], dropout: bool) -> None:
        super().__init__()
        bias = norm == "instance"
        self.conv_block = nn.Sequential(
            ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            normalization(norm, width),
            nn.ReLU(inplace=True),
            *([nn.Dropout(DROPOUT)] if dropout else []),
            ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            normalization(norm, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for features (B, width, S, S)."""
        return x + self.conv_block(x)


@NETWORKS.register("resnet_generator", image_size={"minimum": 8, "multiple_of": 4})
class ResnetGenerator(nn.Module):
    """Translate an image by an encoder, residual blocks at a quarter of the side, and a decoder.

    The paper has 6 blocks at 128 px and 9 from 256 px on. With ``dropout``, every block drops half of its features.
    ``upsampling`` is that of the decoder; the official one is transposed.
    """

    def __init__(
        self,
        base_width: int = 64,
        num_blocks: int = 9,
        norm: Literal["instance", "batch"] = "instance",
        dropout: bool = False,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        self.batch_independent = norm == "instance" and not dropout
        bias, width = norm == "instance", base_width
        layers: list[nn.Module] = [ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias)]
        layers += [normalization(norm, width), nn.ReLU(inplace=True)]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias)]
            layers += [normalization(norm, 2 * width), nn.ReLU(inplace=True)]
            width *= 2
        layers += [ResidualBlock(width, norm, dropout) for _ in range(num_blocks)]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [doubling_convolution(upsampling, width, width // 2, kernel_size=3, bias=bias)]
            layers += [normalization(norm, width // 2), nn.ReLU(inplace=True)]
            width //= 2
        self.model = nn.Sequential(*layers, ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the translations of images (B, 3, S, S) in [-1, 1], of the same shape and range."""
        return self.model(x)
