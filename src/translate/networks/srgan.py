"""The networks of SRGAN (Ledig et al., CVPR 2017, arXiv 1609.04802): SRResNet generator and discriminator.

Letters: B batch, C channels, H and W sides of a low-resolution image, s the scale, S side of a high-resolution image.
Parameter names are those of Lornatang/SRGAN-PyTorch. Inside, images have values in [0, 1], as in both ports.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.2  # of every leaky ReLU
SCALES = (2, 4, 8)
HALVING = 16  # the discriminator's four convolutions of stride 2


class ResidualBlock(nn.Module):
    """``x + norm(conv(PReLU(norm(conv(x)))))``, 3x3 convolutions (figure 4)."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.rcb = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape (B, C, H, W) of the input."""
        features: Tensor = x + self.rcb(x)
        return features


class Doubling(nn.Module):
    """A convolution to four times the channels, which a pixel shuffle arranges as twice the side, then PReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.upsample_block = nn.Sequential(convolution, nn.PixelShuffle(2), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, 2 H, 2 W) of features (B, C, H, W)."""
        features: Tensor = self.upsample_block(x)
        return features


@NETWORKS.register("srresnet", image_size={"multiple_of": 1}, batch_norm={"divisor": "scale"})
class SRResNet(nn.Module):
    """Enlarge an image ``scale`` times (2, 4 or 8) by residual blocks and pixel shuffles (figure 4).

    ``output`` is how the last convolution becomes an image: "plain" takes it as values in [-1, 1] (the paper), "clamp"
    as values in [0, 1] that are clipped (Lornatang; clipped pixels have no gradient), "tanh" squashes it (leftthomas).
    ``bias`` gives the convolutions before a batch norm one, which the norm takes away (leftthomas). ``scale`` is a
    property of the built network, which a translation reads.
    """

    def __init__(
        self,
        scale: int = 4,
        num_blocks: int = 16,
        base_width: int = 64,
        output: Literal["plain", "clamp", "tanh"] = "plain",
        bias: bool = False,
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            raise UserError(key="scale", found=scale, expected=f"one of {', '.join(map(str, SCALES))}")
        if output not in ("plain", "clamp", "tanh"):
            raise UserError(key="output", found=output, expected="'plain', 'clamp' or 'tanh'")
        self.scale = scale
        self.output = output
        width = base_width
        self.conv1 = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(*(ResidualBlock(width, bias) for _ in range(num_blocks)))
        self.conv2 = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=bias), nn.BatchNorm2d(width))
        self.upsampling = nn.Sequential(*(Doubling(width) for _ in range(SCALES.index(scale) + 1)))
        self.conv3 = nn.Conv2d(width, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        """Return images (B, 3, s H, s W) in about [-1, 1] of low-resolution images (B, 3, H, W) in [-1, 1]."""
        features = self.conv1((x + 1) * 0.5)
        features = features + self.conv2(self.trunk(features))
        y: Tensor = self.conv3(self.upsampling(features))
        if self.output == "clamp":
            return y.clamp(0, 1) * 2 - 1
        return y.tanh() if self.output == "tanh" else y


@NETWORKS.register("srgan_discriminator", image_size={"multiple_of": 16}, batch_norm={"divisor": 16})
class SRGANDiscriminator(nn.Module):
    """Separate high-resolution images from enlarged ones by one logit an image (figure 4).

    ``head`` "dense" has a layer on all features of an image of ``image_size`` pixels, as in the paper; "pooled" has it
    on their mean, so it takes any size (leftthomas). ``bias`` is that of convolutions before a batch norm.
    """

    def __init__(
        self,
        image_size: SizeLike = 96,
        base_width: int = 64,
        hidden_width: int = 1024,
        head: Literal["dense", "pooled"] = "dense",
        bias: bool = False,
    ) -> None:
        super().__init__()
        if head not in ("dense", "pooled"):
            raise UserError(key="head", found=head, expected="'dense' or 'pooled'")
        size = ImageSize.of(image_size)
        if head == "dense" and any(side % HALVING for side in size):
            raise UserError(key="image_size", found=size.plain, expected=f"multiples of {HALVING}")
        self.head = head
        layers: list[nn.Module] = [nn.Conv2d(3, base_width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        before = base_width
        for number in range(1, 8):
            width = base_width * 2 ** (number // 2)
            layers.append(nn.Conv2d(before, width, 3, stride=1 + number % 2, padding=1, bias=bias))
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
            before = width
        self.features = nn.Sequential(*layers)
        num_features = before * size.each(lambda side: side // HALVING).area if head == "dense" else before
        self.classifier = nn.Sequential(
            nn.Linear(num_features, hidden_width), nn.LeakyReLU(SLOPE), nn.Linear(hidden_width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1) that images (B, 3, S, S) in [-1, 1] are real."""
        features = self.features((x + 1) * 0.5)
        features = features.mean((2, 3)) if self.head == "pooled" else torch.flatten(features, 1)
        logits: Tensor = self.classifier(features)
        return logits
