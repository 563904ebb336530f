"""Discriminators of patches: PatchGAN and its smallest case, PixelGAN (Isola et al., CVPR 2017, section 3.2).

Letters: B batch, C channels, S image side. Parameter names are those of the published weights.
"""

from typing import Literal

from torch import Tensor, nn

from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.normalization import normalization
from translate.registry.registry import NETWORKS

SLOPE = 0.2  # of every leaky ReLU
MAX_WIDENING = 8  # the widest layer has so many times the base width


@NETWORKS.register("patch_discriminator", image_size={"minimum": 24})
class PatchDiscriminator(nn.Module):
    """Tell real from fake, a logit for every patch of 70 x 70 pixels (CycleGAN and pix2pix, appendix).

    ``in_channels`` is 3 for images, 6 for pairs side by side in the channels. ``num_layers`` convolutions halve the
    side; two more widen what a logit sees: 16, 34, 70, 142 pixels for 1 to 4 layers. The image must be 3 * 2^num_layers
    pixels wide at least, 24 for the published three.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_width: int = 64,
        num_layers: int = 3,
        norm: Literal["instance", "batch"] = "instance",
    ) -> None:
        super().__init__()
        self.batch_independent = norm == "instance"
        layers: list[nn.Module] = [nn.Conv2d(in_channels, base_width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        width = base_width
        for number in range(1, num_layers + 1):
            before, width = width, base_width * min(2**number, MAX_WIDENING)
            stride = 2 if number < num_layers else 1
            layers += [nn.Conv2d(before, width, 4, stride=stride, padding=1, bias=norm == "instance")]
            layers += [normalization(norm, width), nn.LeakyReLU(SLOPE)]
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, s, s) that patches of images (B, C, S, S) are real; s = 30 for S = 256."""
        return self.model(x)


@NETWORKS.register("pixel_discriminator")
class PixelDiscriminator(nn.Module):
    """Tell real from fake, a logit for every pixel by itself, which judges colours alone (pix2pix, section 4.4)."""

    def __init__(
        self, in_channels: int = 3, base_width: int = 64, norm: Literal["instance", "batch"] = "instance"
    ) -> None:
        super().__init__()
        self.batch_independent = norm == "instance"
        bias = norm == "instance"
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, base_width, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(base_width, 2 * base_width, 1, bias=bias),
            normalization(norm, 2 * base_width),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * base_width, 1, 1, bias=bias),
        )
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, S, S) that the pixels of images (B, C, S, S) are real."""
        return self.net(x)
