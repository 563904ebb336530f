"""The networks of CUT (Park, Efros, Zhang, Zhu, ECCV 2020): anti-aliased generator and PatchGAN, projection heads.

Letters: B batch, S side of an image or of its features, P places in a map of features. Parameter names are those of the
official code. Its generator and discriminator are CycleGAN's, with convolutions of stride 1 and a blur in place of
strided ones, bilinear upsampling in place of transposed convolutions, and a bias in every convolution.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.networks.cyclegan import NUM_DOWNSAMPLINGS, ResidualBlock
from translate.networks.layers.initialization import xavier_normal
from translate.networks.layers.normalization import PlainInstanceNorm
from translate.networks.layers.padding import ReflectionPad2d
from translate.networks.layers.resampling import BilinearDoubling, BlurredHalving
from translate.networks.layers.spectral import normalize_spectrally
from translate.networks.layers.taps import check_taps, run_to_taps
from translate.networks.pix2pix import MAX_WIDENING, SLOPE
from translate.registry.registry import NETWORKS

TAPS = (0, 4, 8, 12, 16)
LENGTH_EPSILON = 1e-7  # added to the length of a projected feature


@NETWORKS.register("cut_generator", image_size={"minimum": 8, "multiple_of": 4})
class CUTGenerator(nn.Module):
    """Translate an image by an encoder with blurs, residual blocks at a quarter of the side, and a decoder.

    Layers are numbered as in the official code: 0 the reflection padding, 4 and 8 the convolutions that double the
    width, 12 the first residual block. `encode` returns the outputs of some of them.
    """

    batch_independent = True
    compiled_methods = ("forward", "encode", "forward_with_features")

    def __init__(self, base_width: int = 64, num_blocks: int = 9) -> None:
        super().__init__()
        self.base_width = width = base_width
        layers: list[nn.Module] = [ReflectionPad2d(3), nn.Conv2d(3, width, 7)]
        layers += [PlainInstanceNorm(), nn.ReLU(inplace=True)]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [nn.Conv2d(width, 2 * width, 3, padding=1), PlainInstanceNorm(), nn.ReLU(inplace=True)]
            layers += [BlurredHalving()]
            width *= 2
        layers += [ResidualBlock(width, "instance", dropout=False) for _ in range(num_blocks)]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [BilinearDoubling(), nn.Conv2d(width, width // 2, 3, padding=1)]
            layers += [PlainInstanceNorm(), nn.ReLU(inplace=True)]
            width //= 2
        self.model = nn.Sequential(*layers, ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        self.num_encoder_layers = len(layers) - 4 * NUM_DOWNSAMPLINGS  # up to the last residual block
        self.apply(xavier_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the translations of images (B, 3, S, S) in [-1, 1], of the same shape and range."""
        return self.model(x)

    def encode(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Return the features (B, C, s, s) of images (B, 3, S, S) after the layers with the numbers ``taps``."""
        return run_to_taps(self.model, x, taps)

    def forward_with_features(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Return the translations of images (B, 3, S, S) and then the features that `encode` returns, in one pass."""
        *features, y = run_to_taps(self.model, x, (*taps, len(self.model) - 1))
        return [y, *features]

    def feature_widths(self, taps: Sequence[int]) -> list[int]:
        """Return the widths of the features of `encode`; UserError for layers of the decoder."""
        if taps[-1] >= self.num_encoder_layers:
            raise UserError(
                "a tap behind the residual blocks",
                key="taps",
                found=taps[-1],
                expected=f"at most {self.num_encoder_layers - 1}",
            )
        return [layer_width(tap, self.base_width) for tap in taps]


@NETWORKS.register("cut_discriminator", image_size={"minimum": 24})
class CUTDiscriminator(nn.Module):
    """PatchGAN with blurs: a logit for each patch of an image.

    ``num_layers`` blurs halve the side, as the strided convolutions of `patch_discriminator` do. A patch has 18, 40, 84
    pixels a side for 1 to 3 layers. An image must have at least ``3 * 2^num_layers`` pixels a side. ``spectral_norm``:
    see `layers.spectral`; the official code has none.
    """

    batch_independent = True

    def __init__(
        self, in_channels: int = 3, base_width: int = 64, num_layers: int = 3, spectral_norm: bool = False
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise UserError(key="num_layers", found=num_layers, expected="at least 1")
        layers: list[nn.Module] = [nn.Conv2d(in_channels, base_width, 4, padding=1), nn.LeakyReLU(SLOPE)]
        layers += [BlurredHalving()]
        width = base_width
        for number in range(1, num_layers + 1):
            before, width = width, base_width * min(2**number, MAX_WIDENING)
            layers += [nn.Conv2d(before, width, 4, padding=1), PlainInstanceNorm(), nn.LeakyReLU(SLOPE)]
            layers += [BlurredHalving()] if number < num_layers else []
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))
        self.apply(xavier_normal)
        if spectral_norm:
            normalize_spectrally(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, s, s) that patches of images (B, C, S, S) are real; s = 30 for S = 256."""
        return self.model(x)


@NETWORKS.register("cut_projection")
class CUTProjection(nn.Module):
    """A head of two linear layers for each tapped layer of a generator, onto the unit sphere (section 3.2).

    ``taps`` are the numbers of the tapped layers of a `cut_generator` with ``base_width``. ``in_channels`` are the
    widths of the tapped features (null: those of a `cut_generator`). The official code builds the heads in a first
    pass, when it sees the features; here they are built at once.
    """

    def __init__(
        self,
        base_width: int = 64,
        taps: Sequence[int] = TAPS,
        num_features: int = 256,
        in_channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.taps = check_taps(taps)
        widths = [layer_width(tap, base_width) for tap in taps] if in_channels is None else list(in_channels)
        if len(widths) != len(self.taps):
            raise UserError(
                "a width for each tap",
                key="in_channels",
                found=Phrase(f"{len(widths)} widths"),
                expected=f"{len(self.taps)}",
            )
        self.in_channels = widths
        for number, width in enumerate(widths):
            head = nn.Sequential(nn.Linear(width, num_features), nn.ReLU(), nn.Linear(num_features, num_features))
            self.add_module(f"mlp_{number}", head)
        self.apply(xavier_normal)

    def forward(self, *features: Tensor) -> list[Tensor]:
        """Return unit vectors (B, P, num_features) for the features (B, P, C) of each tap at P places."""
        heads = self.children()
        projected = [head(x) for head, x in zip(heads, features, strict=True)]
        return [x / (x.norm(dim=-1, keepdim=True) + LENGTH_EPSILON) for x in projected]


def layer_width(number: int, base_width: int) -> int:
    """Return the width of the output of a layer of the encoder or the blocks of a `cut_generator`.

    >>> [layer_width(tap, 64) for tap in TAPS]
    [3, 128, 256, 256, 256]
    """
    return 3 if number == 0 else base_width * 2 ** min(number // 4, NUM_DOWNSAMPLINGS)
