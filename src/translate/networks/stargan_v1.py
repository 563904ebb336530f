"""The two networks of StarGAN v1 (Choi et al., CVPR 2018, tables 4 and 5), and a generator with AdaIN.

Letters: B batch, S image side (height and width may differ), K labels of all data sets together, N data sets, M length
of the mask: N if there are several data sets, else 0. Parameter names are those of the released weights. Initialisation
is PyTorch's default, as in the official code.

Differences from the official code: instance normalisation keeps no running statistics. The official networks collect
them but do not use them, since they translate in training mode. Translations that use them are spoiled.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.normalization import AdaIN, InstanceNorm
from translate.networks.layers.spectral import normalize_spectrally
from translate.networks.layers.upsampling import Upsampling, doubling_convolution
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.01  # of every leaky ReLU
NUM_DOWNSAMPLINGS = 2  # of the generator
KEPT_AT_FIRST = 2.0  # the bias of the mask of `MaskedGenerator`: sigmoid(2) = 0.88


class ResidualBlock(nn.Module):
    """Two convolutions with instance normalisation, added to their input; maps (B, width, S, S) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            InstanceNorm(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            InstanceNorm(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for features (B, width, S, S)."""
        return x + self.main(x)


def _encoder_and_decoder(
    in_channels: int,
    base_width: int,
    num_blocks: int,
    upsampling: Upsampling,
    layer: Callable[[nn.Module, int], list[nn.Module]],
    block: Callable[[int], nn.Module],
) -> list[nn.Module]:
    """Return all layers but the last of a generator (table 4): a convolution, halvings, blocks, doublings.

    ``layer`` returns what a convolution with so many output channels becomes, ``block`` a residual block of a width.
    """
    width = base_width
    layers = layer(nn.Conv2d(in_channels, width, 7, padding=3, bias=False), width)
    for _ in range(NUM_DOWNSAMPLINGS):
        layers += layer(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), 2 * width)
        width *= 2
    layers += [block(width) for _ in range(num_blocks)]
    for _ in range(NUM_DOWNSAMPLINGS):
        layers += layer(doubling_convolution(upsampling, width, width // 2, bias=False), width // 2)
        width //= 2
    return layers


@NETWORKS.register("stargan_v1_generator", image_size={"minimum": 16, "multiple_of": 4})
class Generator(nn.Module):
    """Translate an image to labels, which are concatenated with it as constant planes (StarGAN v1, table 4).

    ``num_labels`` counts the labels of all ``num_sets`` data sets; with several, the condition also has the mask of
    known labels. Padding is with zeros. With reflection padding a constant plane would stay constant in every
    convolution, and the normalisation would subtract it. ``upsampling`` is that of the decoder; the official one is
    transposed.
    """

    def __init__(
        self,
        num_labels: int,
        num_sets: int = 1,
        base_width: int = 64,
        num_blocks: int = 6,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()

        def layer(convolution: nn.Module, width: int) -> list[nn.Module]:
            return [convolution, InstanceNorm(width), nn.ReLU(inplace=True)]

        in_channels = 3 + condition_size(num_labels, num_sets)
        layers = _encoder_and_decoder(in_channels, base_width, num_blocks, upsampling, layer, ResidualBlock)
        self.main = nn.Sequential(*layers, nn.Conv2d(base_width, 3, 7, padding=3, bias=False), nn.Tanh())

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) in [-1, 1] to labels (B, K + M); returns (B, 3, S, S) in [-1, 1]."""
        planes = label[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return self.main(torch.cat([x, planes], dim=1))


class ConditionalBlock(nn.Module):
    """Two convolutions with AdaIN, added to their input; maps (B, width, S, S) to the same shape."""

    def __init__(self, width: int, norm: Callable[[int], AdaIN]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = norm(width)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return the block's output for features (B, width, S, S) and labels (B, K + M)."""
        residual = self.norm1(self.conv1(x), label).relu()
        return x + self.norm2(self.conv2(residual), label)


class ConditionalConv(nn.Module):
    """A convolution, AdaIN and ReLU."""

    def __init__(self, convolution: nn.Module, norm: AdaIN) -> None:
        super().__init__()
        self.conv = convolution
        self.norm = norm

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return features (B, C, S', S') for features of the convolution's input shape and labels (B, K + M)."""
        return self.norm(self.conv(x), label).relu()


@NETWORKS.register("stargan_v1_adain_generator", image_size={"minimum": 16, "multiple_of": 4})
class AdaINGenerator(nn.Module):
    """StarGAN v1's generator with AdaIN by the labels in place of constant planes beside the image.

    Instance norm subtracts a constant plane from the features of the first convolution, apart from the pixels within
    reach of the zero padding. So in the official generator labels enter by the border of the image. Concatenation in
    front of every convolution would have the same effect. Here every normalisation has a scale and a shift for each
    channel that are linear in the labels, as in row C of StarGAN v2's table 1.

    Arguments, condition and layers are those of `stargan_v1_generator`, its sizes too. It does not read the released
    weights.
    """

    def __init__(
        self,
        num_labels: int,
        num_sets: int = 1,
        base_width: int = 64,
        num_blocks: int = 6,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        size = condition_size(num_labels, num_sets)

        def norm(width: int) -> AdaIN:
            return AdaIN(size, width)

        def layer(convolution: nn.Module, width: int) -> list[nn.Module]:
            return [ConditionalConv(convolution, norm(width))]

        block = partial(ConditionalBlock, norm=norm)
        self.main = nn.ModuleList(_encoder_and_decoder(3, base_width, num_blocks, upsampling, layer, block))
        self.to_rgb = nn.Conv2d(base_width, 3, 7, padding=3, bias=False)

    def features(self, x: Tensor, label: Tensor) -> Tensor:
        """Return the features (B, base_width, S, S) of which the last layer makes a translation."""
        for layer in self.main:
            x = layer(x, label)
        return x

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) in [-1, 1] to labels (B, K + M); returns (B, 3, S, S) in [-1, 1]."""
        return self.to_rgb(self.features(x, label)).tanh()


@NETWORKS.register("stargan_v1_masked_generator", image_size={"minimum": 16, "multiple_of": 4})
class MaskedGenerator(AdaINGenerator):
    """The generator with AdaIN, which paints new colours where a mask of its own lets it.

    ``G(x, c) = A x + (1 - A) C`` with colours C in [-1, 1] and a mask A in [0, 1] of one channel (GANimation,
    Pumarola et al., ECCV 2018, eq. 1). A generator must learn to return what a label does not concern; this one does
    so where A is 1. The mask begins at 0.88, so that a translation begins near its source. Mask and colours also read
    the features in front of the halvings, so that they can follow the contours of the source.
    """

    def __init__(
        self,
        num_labels: int,
        num_sets: int = 1,
        base_width: int = 64,
        num_blocks: int = 6,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__(num_labels, num_sets, base_width, num_blocks, upsampling)
        self.to_rgb = nn.Conv2d(2 * base_width, 3, 7, padding=3, bias=False)
        self.to_mask = nn.Conv2d(2 * base_width, 1, 7, padding=3)
        assert self.to_mask.bias is not None
        nn.init.constant_(self.to_mask.bias, KEPT_AT_FIRST)

    def features(self, x: Tensor, label: Tensor) -> Tensor:
        """Return the features (B, 2 * base_width, S, S) in front of the halvings and behind the doublings."""
        first, *others = self.main
        fine = x = first(x, label)
        for layer in others:
            x = layer(x, label)
        return torch.cat([fine, x], dim=1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) in [-1, 1] to labels (B, K + M); returns (B, 3, S, S) in [-1, 1]."""
        features = self.features(x, label)
        return torch.lerp(self.to_rgb(features).tanh(), x, self.to_mask(features).sigmoid())


def condition_size(num_labels: int, num_sets: int) -> int:
    """Return K + M, the length of a condition: the labels of all data sets and, with several, the mask (eq. 7)."""
    return num_labels + (num_sets if num_sets > 1 else 0)


@NETWORKS.register("stargan_v1_discriminator", image_size={"halvings": "num_layers"})
class Discriminator(nn.Module):
    """Separate real from fake by a logit for each patch, and predict the labels (StarGAN v1, table 5).

    Each of ``num_layers`` layers halves height and width, and doubles the number of channels. The kernel of the labels
    covers what is left: 2 x 2 for 128 pixels a side, 4 x 2 for 256 x 128. UserError if ``image_size`` cannot be halved
    so often. ``spectral_norm``: see `layers.spectral`; the official code has none.
    """

    batch_independent = True

    def __init__(
        self,
        image_size: SizeLike,
        num_labels: int,
        base_width: int = 64,
        num_layers: int = 6,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        size = ImageSize.of(image_size)
        if any(side < 2**num_layers or side % 2**num_layers for side in size):
            raise UserError(
                key="image_size",
                found=size.plain,
                expected=f"a multiple of {2**num_layers}, for {num_layers} layers that halve the side",
                fix="another image_size, or a smaller num_layers",
            )
        layers: list[nn.Module] = []
        before, width = 3, base_width
        for _ in range(num_layers):
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            before, width = width, 2 * width
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(before, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(before, num_labels, size.each(lambda side: side // 2**num_layers), bias=False)
        if spectral_norm:
            normalize_spectrally(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, s, s) that patches are real, s = S / 2^num_layers, and logits of the labels (B, K)."""
        h = self.main(x)
        return self.conv1(h), self.conv2(h).flatten(1)
