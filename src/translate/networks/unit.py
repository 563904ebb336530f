"""The networks of UNIT (Liu, Breuel, Kautz, NIPS 2017, arXiv 1703.00848), in both forms of the official code.

Today's form (2018) has an encoder, a decoder and a discriminator for each domain and shares no layer. The form of the
paper's time, named ``paper``, has residual blocks and discriminator layers that both domains share: these are networks
of their own. Letters: B batch, S image side, s side of a code, C channels of a code. A code is a feature map; noise is
added to it outside of the networks. Parameter names are those of the released weights, below the prefix of each role.
"""

from typing import Literal

from torch import Tensor, nn

from translate.networks.layers.initialization import dcgan_normal, he_normal
from translate.networks.layers.normalization import PlainInstanceNorm, UnbiasedLayerNorm
from translate.networks.layers.padding import ReflectionPad2d
from translate.networks.layers.resampling import double
from translate.networks.layers.scales import at_scales, check_scales_fit
from translate.networks.layers.spectral import normalize_spectrally
from translate.registry.registry import NETWORKS

SLOPE = 0.2  # of leaky ReLUs in today's discriminators
PAPER_SLOPE = 0.01  # of every leaky ReLU of the paper's form


class ConvolutionBlock(nn.Module):
    """Reflection padding, convolution, normalisation and activation; the padding keeps the side, divided by stride."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        norm: Literal["instance", "layer"] | None = None,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.pad = ReflectionPad2d((kernel_size - 1) // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride)
        self.norm = None
        if norm is not None:
            self.norm = PlainInstanceNorm() if norm == "instance" else UnbiasedLayerNorm(out_channels)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of features (B, in_channels, S, S)."""
        x = self.conv(self.pad(x))
        if self.norm is not None:
            x = self.norm(x)
        return x if self.activation is None else self.activation(x)


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm, added to their input; maps (B, width, s, s) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            ConvolutionBlock(width, width, 3, norm="instance", activation=nn.ReLU(inplace=True)),
            ConvolutionBlock(width, width, 3, norm="instance"),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for features (B, width, s, s)."""
        return x + self.model(x)


class ResidualBlocks(nn.Module):
    """A sequence of residual blocks of one width."""

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*(ResidualBlock(width) for _ in range(num_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last block for features (B, width, s, s)."""
        return self.model(x)


class Double(nn.Module):
    """Nearest upsampling by two."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, 2 S, 2 S) of features (B, C, S, S)."""
        return double(x)


@NETWORKS.register("unit_encoder", image_size={"minimum": 8, "halvings": "num_downsamplings"})
class Encoder(nn.Module):
    """Map images to codes by strided convolutions and residual blocks, with instance norm."""

    def __init__(self, base_width: int = 64, num_downsamplings: int = 2, num_blocks: int = 4) -> None:
        super().__init__()
        self.batch_independent = True
        width = base_width
        layers: list[nn.Module] = [ConvolutionBlock(3, width, 7, norm="instance", activation=nn.ReLU(inplace=True))]
        for _ in range(num_downsamplings):
            layers += [ConvolutionBlock(width, 2 * width, 4, 2, norm="instance", activation=nn.ReLU(inplace=True))]
            width *= 2
        self.model = nn.Sequential(*layers, ResidualBlocks(width, num_blocks))
        self.apply(he_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return codes (B, C, s, s) of images (B, 3, S, S): C = base_width k, s = S / k, k = 2^num_downsamplings."""
        return self.model(x)


@NETWORKS.register("unit_decoder", image_size={"minimum": 8, "halvings": "num_downsamplings"})
class Decoder(nn.Module):
    """Map codes to images by residual blocks, nearest upsampling and convolutions with layer norm."""

    def __init__(self, base_width: int = 64, num_downsamplings: int = 2, num_blocks: int = 4) -> None:
        super().__init__()
        self.batch_independent = True
        width = base_width * 2**num_downsamplings
        layers: list[nn.Module] = [ResidualBlocks(width, num_blocks)]
        for _ in range(num_downsamplings):
            block = ConvolutionBlock(width, width // 2, 5, norm="layer", activation=nn.ReLU(inplace=True))
            layers += [Double(), block]
            width //= 2
        self.model = nn.Sequential(*layers, ConvolutionBlock(width, 3, 7, activation=nn.Tanh()))
        self.apply(he_normal)

    def forward(self, features: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in [-1, 1] of codes (B, C, s, s), see `Encoder`."""
        return self.model(features)


@NETWORKS.register("unit_discriminator", image_size={"minimum": 4})
class Discriminator(nn.Module):
    """Separate real from fake by patches at several scales; each scale is half of the one before.

    An image must have at least 2^(num_layers + num_scales - 1) pixels a side, 64 with the official numbers.
    ``spectral_norm``: see `layers.spectral`; the official code has none.
    """

    def __init__(
        self, base_width: int = 64, num_layers: int = 4, num_scales: int = 3, spectral_norm: bool = False
    ) -> None:
        super().__init__()
        self.batch_independent = True
        self.minimum_size = 2 ** (num_layers + num_scales - 1)
        self.cnns = nn.ModuleList(self._scale(base_width, num_layers) for _ in range(num_scales))
        self.apply(dcgan_normal)
        if spectral_norm:
            normalize_spectrally(self)

    def _scale(self, width: int, num_layers: int) -> nn.Sequential:
        """Return the network of one scale."""
        layers: list[nn.Module] = [ConvolutionBlock(3, width, 4, 2, activation=nn.LeakyReLU(SLOPE, inplace=True))]
        for _ in range(num_layers - 1):
            layers += [ConvolutionBlock(width, 2 * width, 4, 2, activation=nn.LeakyReLU(SLOPE, inplace=True))]
            width *= 2
        return nn.Sequential(*layers, nn.Conv2d(width, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the logits (B, 1, s, s) of each scale that patches of images (B, 3, S, S) are real, finest first.

        UserError for images that are too small for the layers and scales.
        """
        check_scales_fit(x, self.minimum_size)
        return at_scales(self.cnns, x)


# --- the form of the paper's time -----------------------------------------------------------------------------


def normal_weights(module: nn.Module) -> None:
    """Initialise the weights of one convolution with standard deviation 0.02, for use with ``Module.apply``."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


class PaperResidualBlock(nn.Module):
    """Two convolutions with zero padding and instance norm, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            PlainInstanceNorm(),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            PlainInstanceNorm(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for features (B, width, s, s)."""
        return x + self.model(x)


class LeakyConvolution(nn.Module):
    """A convolution, plain or transposed, with a leaky ReLU and without a norm."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(convolution, nn.LeakyReLU(PAPER_SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated convolution of features (B, C, S, S)."""
        return self.model(x)


@NETWORKS.register("unit_paper_encoder", image_size={"minimum": 8, "halvings": "num_downsamplings"})
class PaperEncoder(nn.Module):
    """Map images to features of one domain, with leaky ReLUs and zero padding; `SharedBlocks` make a code of them."""

    def __init__(self, base_width: int = 64, num_downsamplings: int = 2, num_blocks: int = 3) -> None:
        super().__init__()
        self.batch_independent = True
        width = base_width
        layers: list[nn.Module] = [LeakyConvolution(nn.Conv2d(3, width, 7, padding=3))]
        for _ in range(num_downsamplings):
            layers += [LeakyConvolution(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1))]
            width *= 2
        self.model = nn.Sequential(*layers, *(PaperResidualBlock(width) for _ in range(num_blocks)))
        self.apply(normal_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, s, s) of images (B, 3, S, S), see `Encoder`."""
        return self.model(x)


@NETWORKS.register("unit_shared_blocks")
class SharedBlocks(nn.Module):
    """Residual blocks that both domains share: the last ones of the encoders, or the first ones of the decoders.

    ``width`` is the number of channels of a code, 4 base_width with two downsamplings.
    """

    def __init__(self, width: int = 256, num_blocks: int = 1) -> None:
        super().__init__()
        self.batch_independent = True
        self.model = nn.Sequential(*(PaperResidualBlock(width) for _ in range(num_blocks)))
        self.apply(normal_weights)

    def forward(self, features: Tensor) -> Tensor:
        """Return features (B, width, s, s) of features of the same shape."""
        return self.model(features)


@NETWORKS.register("unit_paper_decoder", image_size={"minimum": 8, "halvings": "num_downsamplings"})
class PaperDecoder(nn.Module):
    """Map features to images of one domain by residual blocks and transposed convolutions; the last one is 1 x 1."""

    def __init__(self, base_width: int = 64, num_downsamplings: int = 2, num_blocks: int = 3) -> None:
        super().__init__()
        self.batch_independent = True
        width = base_width * 2**num_downsamplings
        layers: list[nn.Module] = [PaperResidualBlock(width) for _ in range(num_blocks)]
        for _ in range(num_downsamplings):
            convolution = nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1)
            layers += [LeakyConvolution(convolution)]
            width //= 2
        self.model = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 1), nn.Tanh())
        self.apply(normal_weights)

    def forward(self, features: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in [-1, 1] of features (B, C, s, s), see `Encoder`."""
        return self.model(features)


@NETWORKS.register("unit_paper_discriminator", image_size={"halvings": "num_layers"})
class PaperDiscriminator(nn.Module):
    """The first layers of a discriminator, for images of one domain; `SharedDiscriminator` makes logits of them."""

    def __init__(self, base_width: int = 64, num_layers: int = 2) -> None:
        super().__init__()
        self.batch_independent = True
        layers: list[nn.Module] = [LeakyConvolution(nn.Conv2d(3, base_width, 7, stride=2, padding=3))]
        layers += halving_layers(base_width, num_layers - 1)
        self.model = nn.Sequential(*layers)
        self.apply(normal_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, base_width 2^(num_layers - 1), s, s) of images (B, 3, S, S)."""
        return self.model(x)


@NETWORKS.register("unit_shared_discriminator")
class SharedDiscriminator(nn.Module):
    """The last layers of both discriminators, which the domains share; also a discriminator of codes.

    ``in_channels`` is the number of channels of its input: of `PaperDiscriminator`'s features, or of a code.
    """

    def __init__(self, in_channels: int = 128, num_layers: int = 4) -> None:
        super().__init__()
        self.batch_independent = True
        self.model = nn.Sequential(
            *halving_layers(in_channels, num_layers), nn.Conv2d(in_channels * 2**num_layers, 1, 1)
        )
        self.apply(normal_weights)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, 1, s', s') of features (B, in_channels, s, s), s' = s / 2^num_layers."""
        return self.model(features)


def halving_layers(width: int, num_layers: int) -> list[nn.Module]:
    """Return 3x3 convolutions with stride 2, each of which doubles the ``width`` of its input."""
    return [
        LeakyConvolution(nn.Conv2d(width * 2**number, width * 2 ** (number + 1), 3, stride=2, padding=1))
        for number in range(num_layers)
    ]
