"""The networks of ComboGAN (Anoosheh et al., CVPR workshops 2018, arXiv 1712.06909).

The generator is CycleGAN's, cut in the middle: an encoder and a decoder for each domain. Of its residual blocks some
can be shared by all domains, in two networks of their own. Letters: B batch, S image side, n domains, C = 4 base_width
channels of a code, s = S / 4 its side. Parameter names are those of the released weights, behind the number of the
domain. A slope of a PReLU is one number a layer, 0.25 at the start.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.normalization import PlainInstanceNorm
from translate.networks.layers.padding import ReflectionPad2d
from translate.networks.layers.per_domain import PerDomain
from translate.registry.registry import NETWORKS

NUM_DOWNSAMPLINGS = 2
LUMINANCE = (0.299, 0.587, 0.114)
BLUR_SIDE, BLUR_SIGMA = 5, 3.0


class ResidualBlock(nn.Module):
    """Two convolutions with reflection padding, added to their input; maps (B, width, s, s) to the same shape.

    With ``num_domains``, each convolution also reads that many maps, which say what the domain is.
    """

    def __init__(self, width: int, num_domains: int = 0) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            ReflectionPad2d(1),
            nn.Conv2d(width + num_domains, width, 3),
            PlainInstanceNorm(),
            nn.PReLU(),
            ReflectionPad2d(1),
            nn.Conv2d(width + num_domains, width, 3),
            PlainInstanceNorm(),
        )

    def forward(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Return the block's output for features (B, width, s, s) and maps of the domain (B, num_domains, s, s)."""
        h = x
        for layer in self.conv_block:
            if maps is not None and isinstance(layer, ReflectionPad2d):
                h = torch.cat([h, maps], dim=1)
            h = layer(h)
        return x + h


class Encoder(nn.Module):
    """Map images to codes by strided convolutions and residual blocks."""

    def __init__(self, base_width: int, num_blocks: int) -> None:
        super().__init__()
        self.batch_independent = True
        width = base_width
        layers: list[nn.Module] = [ReflectionPad2d(3), nn.Conv2d(3, width, 7), PlainInstanceNorm(), nn.PReLU()]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), PlainInstanceNorm(), nn.PReLU()]
            width *= 2
        self.model = nn.Sequential(*layers, *(ResidualBlock(width) for _ in range(num_blocks)))
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return codes (B, C, s, s) of images (B, 3, S, S) in [-1, 1]."""
        return self.model(x)


class Decoder(nn.Module):
    """Map codes to images by residual blocks and transposed convolutions."""

    def __init__(self, base_width: int, num_blocks: int) -> None:
        super().__init__()
        self.batch_independent = True
        width = base_width * 2**NUM_DOWNSAMPLINGS
        layers: list[nn.Module] = [ResidualBlock(width) for _ in range(num_blocks)]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1), PlainInstanceNorm(), nn.PReLU()]
            width //= 2
        self.model = nn.Sequential(*layers, ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        self.apply(dcgan_normal)

    def forward(self, code: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in [-1, 1] of codes (B, C, s, s)."""
        return self.model(code)


class SplittingTower(nn.Sequential):
    """Strided convolutions of which each stage but the first splits one channel off as a prediction.

    A stage is a convolution, an instance norm (not in the first) and a PReLU. The prediction is the last channel of
    its output, the others are the input of the next stage. The last stage has stride 1 and no channel split off; a
    convolution to one channel is its prediction.
    """

    def __init__(self, in_channels: int, base_width: int, num_layers: int) -> None:
        width, wider = base_width, base_width * 2
        stages = [nn.Sequential(nn.Conv2d(in_channels, width, 4, 2, 2), nn.PReLU())]
        for number in range(1, num_layers):
            wider = base_width * min(2**number, 8)
            convolution = nn.Conv2d(width, wider + 1, 4, 2, 2)
            stages += [nn.Sequential(convolution, PlainInstanceNorm(), nn.PReLU())]
            width = wider
        wider = base_width * min(2**num_layers, 8)
        last = [nn.Conv2d(width, wider, 4, 1, 2), PlainInstanceNorm(), nn.PReLU(), nn.Conv2d(wider, 1, 4, 1, 2)]
        super().__init__(*stages, nn.Sequential(*last))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the predictions (B, 1, s_k, s_k) for images (B, in_channels, S, S), finest first."""
        first, *stages, last = self
        x, predictions = first(x), []
        for stage in stages:
            x = stage(x)
            predictions.append(x[:, -1:])
            x = x[:, :-1]
        return [*predictions, last(x)]


class Discriminator(nn.Module):
    """Separate real from fake by patches at several stages of two towers.

    One tower reads the luminance of an image, the other its colours, blurred.
    """

    blur: Tensor
    luminance: Tensor

    def __init__(self, base_width: int, num_layers: int) -> None:
        super().__init__()
        self.batch_independent = True
        self.model_gray = SplittingTower(1, base_width, num_layers)
        self.model_rgb = SplittingTower(3, base_width, num_layers)
        self.register_buffer("blur", blur_kernel().float().expand(3, 1, -1, -1).clone(), persistent=False)
        self.register_buffer("luminance", torch.tensor(LUMINANCE).view(1, 3, 1, 1), persistent=False)
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return a map of logits (B, 2, s_k, s_k) for each prediction, one channel a tower, of images (B, 3, S, S)."""
        gray = F.conv2d(x, self.luminance)
        blurred = F.conv2d(x, self.blur, padding=BLUR_SIDE // 2, groups=3)
        towers = self.model_gray(gray), self.model_rgb(blurred)
        return tuple(torch.cat(maps, dim=1) for maps in zip(*towers, strict=True))


def blur_kernel() -> Tensor:
    """Return the blur of the discriminator's colours (5, 5) float64: a Gaussian, nearly flat by its mirrored border.

    The kernel is the response of a Gaussian filter (sigma 3, cut at 12 pixels) to a unit impulse in the middle of a
    field of 5 x 5 pixels that is mirrored at its border, the border pixels repeated.

    >>> round(blur_kernel().sum().item(), 5)
    1.0
    """
    radius = int(4 * BLUR_SIGMA + 0.5)
    gaussian = [math.exp(-0.5 * (k / BLUR_SIGMA) ** 2) for k in range(-radius, radius + 1)]
    middle, period = BLUR_SIDE // 2, 2 * BLUR_SIDE
    line = [0.0] * BLUR_SIDE
    for place in range(BLUR_SIDE):
        for offset, weight in zip(range(-radius, radius + 1), gaussian, strict=True):
            mirrored = (place + offset) % period
            if min(mirrored, period - 1 - mirrored) == middle:
                line[place] += weight / sum(gaussian)
    row = torch.tensor(line, dtype=torch.float64)
    return torch.outer(row, row)


# --- a network for each domain --------------------------------------------------------------------------------


@NETWORKS.register("combogan_encoders", image_size={"minimum": 8, "multiple_of": 4})
class Encoders(PerDomain):
    """An `Encoder` for each domain: images (B, 3, S, S) to codes (B, 4 base_width, S / 4, S / 4)."""

    def __init__(self, num_domains: int, base_width: int = 64, num_blocks: int = 4) -> None:
        super().__init__(Encoder(base_width, num_blocks) for _ in range(num_domains))


@NETWORKS.register("combogan_decoders", image_size={"minimum": 8, "multiple_of": 4})
class Decoders(PerDomain):
    """A `Decoder` for each domain: codes (B, 4 base_width, S / 4, S / 4) to images (B, 3, S, S)."""

    def __init__(self, num_domains: int, base_width: int = 64, num_blocks: int = 5) -> None:
        super().__init__(Decoder(base_width, num_blocks) for _ in range(num_domains))


@NETWORKS.register("combogan_discriminators", image_size={"minimum": 16})
class Discriminators(PerDomain):
    """A `Discriminator` for each domain, with ``num_layers`` predictions."""

    def __init__(self, num_domains: int, base_width: int = 64, num_layers: int = 4) -> None:
        super().__init__(Discriminator(base_width, num_layers) for _ in range(num_domains))


@NETWORKS.register("combogan_shared_blocks")
class SharedBlocks(nn.Module):
    """Residual blocks that all domains share: the last ones of the encoders, or the first ones of the decoders.

    Every convolution reads the domain as ``num_domains`` maps, 1 for the domain and -1 for the others. ``width`` is the
    number of channels of a code, 4 base_width.
    """

    signs: Tensor

    def __init__(self, num_domains: int, width: int = 256, num_blocks: int = 1) -> None:
        super().__init__()
        self.batch_independent = True
        self.register_buffer("signs", 2 * torch.eye(num_domains) - 1, persistent=False)
        self.model = nn.ModuleList(ResidualBlock(width, num_domains) for _ in range(num_blocks))
        self.apply(dcgan_normal)

    def forward(self, features: Tensor, domain: int) -> Tensor:
        """Return features (B, width, s, s) of features of the same shape, of images of a domain."""
        batch, _, height, width = features.shape  # len() would fix the batch size of an exported graph
        maps = self.signs[domain][None, :, None, None].expand(batch, -1, height, width)
        for block in self.model:
            features = block(features, maps)
        return features
