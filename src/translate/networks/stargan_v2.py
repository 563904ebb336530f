"""The four networks of StarGAN v2 (Choi et al., CVPR 2020, appendix A).

Letters: B batch, C channels, S image side, K domains, L size of a latent code, Z size of a style code. Height and
width may differ; then the shorter side decides how often an image is halved.
Parameter names are those of the released weights, so a released state dict loads unchanged.

Differences from the official code: with ``w_hpf > 0`` the 1x1 shortcut convolutions of the decoder are not created,
since nothing reads their output. A 3x3 convolution and the resampling beside it are merged
(`networks/layers/resampling.py`): the results are equal but for rounding.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.initialization import he_normal
from translate.networks.layers.normalization import AdaIN, InstanceNorm, instance_norm
from translate.networks.layers.resampling import DoublingConv2d, HalvingConv2d, double, halve
from translate.networks.layers.spectral import normalize_spectrally
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.2  # of every leaky ReLU
ACTIVATED = math.sqrt(2 / (1 + SLOPE**2))
"""What gives a leaky ReLU of standard normal features a mean square of 1."""
EPSILON = 1e-8  # added to the power of a channel
MASKED_SIDES = (32, 64, 128)  # feature sizes at which the generator has high-pass skip connections


def first_width(image_size: SizeLike) -> int:
    """Return the official number of channels at full resolution: 64 at 256 px, halved when the side doubles.

    Of an image that is not square, the longer side counts.
    """
    return max(1, 2**14 // max(ImageSize.of(image_size)))


class ResidualBlock(nn.Module):
    """Pre-activation residual block, optionally instance-normalised and halving the resolution.

    Maps (B, in_width, S, S) to (B, out_width, S, S), or S / 2 with ``downsample``; the sum of both branches is
    divided by sqrt(2) to keep the variance.
    """

    def __init__(self, in_width: int, out_width: int, normalize: bool = False, downsample: bool = False) -> None:
        super().__init__()
        self.downsample = downsample
        self.conv1 = HalvingConv2d(in_width, in_width) if downsample else nn.Conv2d(in_width, in_width, 3, padding=1)
        self.conv2 = nn.Conv2d(in_width, out_width, 3, padding=1)
        self.norm1 = InstanceNorm(in_width, SLOPE) if normalize else nn.LeakyReLU(SLOPE)
        self.norm2 = InstanceNorm(in_width, SLOPE) if normalize else nn.LeakyReLU(SLOPE)
        self.conv1x1 = nn.Conv2d(in_width, out_width, 1, bias=False) if in_width != out_width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for features (B, in_width, S, S)."""
        shortcut = x
        if self.downsample:  # pooling and a 1x1 convolution commute; pooling first is four times cheaper
            shortcut = halve(shortcut)
        shortcut = self.conv1x1(shortcut)
        x = self.conv2(self.norm2(self.conv1(self.norm1(x))))
        return (shortcut + x) / math.sqrt(2)


class DecoderBlock(nn.Module):
    """The sum of a residual branch, which reads a style, and a shortcut; ``upsample`` doubles the resolution of both.

    Without ``shortcut`` the output is the residual branch alone, as in the official code for ``w_hpf > 0``, where
    high-pass skip connections replace the shortcut.
    """

    upsample: bool
    shortcut: bool
    conv1x1: nn.Module

    def residual(self, x: Tensor, style: Tensor) -> Tensor:
        """Return the residual branch of features (B, in_width, S, S) and styles (B, Z)."""
        raise NotImplementedError

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Return the block's output for features (B, in_width, S, S) and styles (B, Z)."""
        residual = self.residual(x, style)
        if not self.shortcut:
            return residual
        shortcut = self.conv1x1(x)  # nearest upsampling and a 1x1 convolution commute
        if self.upsample:
            shortcut = double(shortcut)
        return (shortcut + residual) / math.sqrt(2)


class StyledBlock(DecoderBlock):
    """Residual block with AdaIN, optionally doubling the resolution."""

    def __init__(
        self, in_width: int, out_width: int, style_size: int, upsample: bool = False, shortcut: bool = True
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.shortcut = shortcut
        self.conv1 = DoublingConv2d(in_width, out_width) if upsample else nn.Conv2d(in_width, out_width, 3, padding=1)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1)
        self.norm1 = AdaIN(style_size, in_width, SLOPE)
        self.norm2 = AdaIN(style_size, out_width, SLOPE)
        project = shortcut and in_width != out_width
        self.conv1x1 = nn.Conv2d(in_width, out_width, 1, bias=False) if project else nn.Identity()

    def residual(self, x: Tensor, style: Tensor) -> Tensor:
        """Return the residual branch."""
        features: Tensor = self.conv2(self.norm2(self.conv1(self.norm1(x, style)), style))
        return features


class ModulatedBlock(DecoderBlock):
    """Residual block whose style scales the channels before each convolution, optionally doubling the resolution.

    After a convolution each channel is divided by the deviation that it has for inputs of deviation 1, which the
    weights and the style give (StyleGAN2, Karras et al., CVPR 2020, eq. 3). No statistics of the features are read.
    """

    def __init__(
        self, in_width: int, out_width: int, style_size: int, upsample: bool = False, shortcut: bool = True
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.shortcut = shortcut
        self.conv1 = (
            DoublingConv2d(in_width, out_width, bias=False)
            if upsample
            else nn.Conv2d(in_width, out_width, 3, padding=1, bias=False)
        )
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1, bias=False)
        self.scale1 = nn.Linear(style_size, in_width)
        self.scale2 = nn.Linear(style_size, out_width)
        self.bias1 = nn.Parameter(torch.zeros(out_width, 1, 1))
        self.bias2 = nn.Parameter(torch.zeros(out_width, 1, 1))
        project = shortcut and in_width != out_width
        self.conv1x1 = nn.Conv2d(in_width, out_width, 1, bias=False) if project else nn.Identity()

    def residual(self, x: Tensor, style: Tensor) -> Tensor:
        """Return the residual branch."""
        x = modulated(self.conv1, x, 1 + self.scale1(style)) + self.bias1
        return modulated(self.conv2, x, 1 + self.scale2(style)) + self.bias2


def modulated(convolution: nn.Conv2d, x: Tensor, scale: Tensor) -> Tensor:
    """Return the convolution of activated features (B, C, S, S) scaled by (B, C), each channel of deviation near 1."""
    powers = scale.square() @ convolution.weight.square().sum((2, 3)).T
    x = F.leaky_relu(x, SLOPE) * (scale * ACTIVATED)[:, :, None, None]
    return convolution(x) * torch.rsqrt(powers + EPSILON)[:, :, None, None]


class HighPass(nn.Module):
    """Depthwise 3x3 high-pass filter: centre 8, neighbours -1, all divided by ``w_hpf``."""

    filter: Tensor

    def __init__(self, w_hpf: float) -> None:
        super().__init__()
        kernel = torch.full((3, 3), -1.0)
        kernel[1, 1] = 8.0
        self.register_buffer("filter", kernel / w_hpf)

    def forward(self, x: Tensor) -> Tensor:
        """Return the filtered features, shape (B, C, S, S) as given."""
        width = x.shape[1]
        return F.conv2d(x, self.filter.expand(width, 1, 3, 3), padding=1, groups=width)


class Encoded(NamedTuple):
    """The generator's features of a source image, which do not depend on the style."""

    features: Tensor  # (B, C, s, s) at the bottleneck
    skips: dict[int, Tensor]  # side -> (B, C, side, side), inputs of the high-pass skips


@NETWORKS.register("stargan_v2_generator", image_size={"minimum": 32, "power_of_two": True})
class Generator(nn.Module):
    """Translate an image into the style of a code (StarGAN v2, table 5).

    ``base_width`` is the number of channels at full resolution (None: the official 16384 / image_size). It doubles at
    each of log2(image_size) - 4 downsamplings (one more with ``w_hpf > 0``) up to ``max_width``. With ``w_hpf > 0`` the
    encoder's features are added to the decoder's, through masks and a high-pass filter.
    """

    compiled_methods = ("encode_image", "decode_features")  # `forward` calls them too
    decoder_block: type[StyledBlock] | type[ModulatedBlock] = StyledBlock

    def __init__(
        self,
        image_size: SizeLike = 256,
        style_size: int = 64,
        base_width: int | None = None,
        max_width: int = 512,
        w_hpf: float = 0.0,
        num_bottleneck: int = 2,
    ) -> None:
        super().__init__()
        num_downsamplings = int(math.log2(min(ImageSize.of(image_size)))) - 4 + (w_hpf > 0)
        width = base_width or first_width(image_size)
        self.from_rgb = nn.Conv2d(3, width, 3, padding=1)
        self.to_rgb = self.output(width)
        encode: list[nn.Module] = []
        decode: list[nn.Module] = []
        shortcut = w_hpf == 0
        for _ in range(num_downsamplings):
            wider = min(width * 2, max_width)
            encode.append(ResidualBlock(width, wider, normalize=True, downsample=True))
            decode.append(self.decoder_block(wider, width, style_size, upsample=True, shortcut=shortcut))
            width = wider
        for _ in range(num_bottleneck):
            encode.append(ResidualBlock(width, width, normalize=True))
            decode.append(self.decoder_block(width, width, style_size, shortcut=shortcut))
        self.encode = nn.ModuleList(encode)
        self.decode = nn.ModuleList(reversed(decode))
        self.hpf = HighPass(w_hpf) if w_hpf > 0 else None
        self.apply(he_normal)

    def output(self, width: int) -> nn.Sequential:
        """Return what makes images of the decoder's features (B, width, S, S)."""
        return nn.Sequential(InstanceNorm(width), nn.LeakyReLU(SLOPE), nn.Conv2d(width, 3, 1))

    def encode_image(self, x: Tensor) -> Encoded:
        """Return the style-independent half of a translation for images (B, 3, S, S) in [-1, 1].

        One result serves any number of styles: ``decode_features(encode_image(x), style)``.
        """
        skips: dict[int, Tensor] = {}
        x = self.from_rgb(x)
        for block in self.encode:
            if self.hpf is not None and x.shape[2] in MASKED_SIDES:
                skips[x.shape[2]] = x
            x = block(x)
        return Encoded(x, skips)

    def decode_features(self, encoded: Encoded, style: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Return images (B, 3, S, S) in the styles (B, Z).

        ``masks`` are two maps (B, 1, S, S) in [0, 1], the weights of the source's features: the first at side 32, the
        second at 64 and 128. They are required with ``w_hpf > 0`` (UserError) and not read otherwise.
        """
        x = encoded.features
        if self.hpf is not None and masks is None:
            raise UserError(
                "the high-pass skips of a generator with w_hpf > 0 need two masks", fix="pass masks=(m1, m2)"
            )
        for block in self.decode:
            x = block(x, style)
            side = x.shape[2]
            if self.hpf is not None and masks is not None and side in encoded.skips:
                mask = F.interpolate(masks[0 if side == 32 else 1], size=side, mode="bilinear")
                x = x + self.hpf(mask * encoded.skips[side])
        return self.to_rgb(x)

    def forward(self, x: Tensor, style: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Translate images (B, 3, S, S) in [-1, 1] into the styles (B, Z); returns (B, 3, S, S), unclamped."""
        return self.decode_features(self.encode_image(x), style, masks)


@NETWORKS.register("stargan_v2_modulated_generator", image_size={"minimum": 32, "power_of_two": True})
class ModulatedGenerator(Generator):
    """StarGAN v2's generator with a decoder without instance norm: a style modulates the convolutions.

    AdaIN divides by the deviation of a channel, so a decoder learns bright spots that decide how large all else is:
    droplets (StyleGAN2, section 2). It also takes the mean of a channel, and so the colours of the source. Here a style
    adds to them; with ``normalized`` one instance norm at the bottleneck takes them. The other arguments are those of
    `Generator`.
    """

    decoder_block = ModulatedBlock

    def __init__(
        self,
        image_size: SizeLike = 256,
        style_size: int = 64,
        base_width: int | None = None,
        max_width: int = 512,
        w_hpf: float = 0.0,
        num_bottleneck: int = 2,
        normalized: bool = False,
    ) -> None:
        super().__init__(image_size, style_size, base_width, max_width, w_hpf, num_bottleneck)
        self.normalized = normalized

    def encode_image(self, x: Tensor) -> Encoded:
        """Return the style-independent half of a translation, see `Generator.encode_image`."""
        encoded = super().encode_image(x)
        return encoded._replace(features=instance_norm(encoded.features)) if self.normalized else encoded

    def output(self, width: int) -> nn.Sequential:
        """Return what makes images of the decoder's features (B, width, S, S)."""
        return nn.Sequential(nn.Identity(), nn.LeakyReLU(SLOPE), nn.Conv2d(width, 3, 1))


def pick_domain(per_domain: Tensor, domain: Tensor) -> Tensor:
    """Return the entry (B, ...) of each row's domain (B,) from entries of all domains (B, K, ...)."""
    return per_domain[torch.arange(domain.shape[0], device=domain.device), domain]


@NETWORKS.register("stargan_v2_mapping")
class MappingNetwork(nn.Module):
    """Map a latent code to a style code of a domain: a shared trunk, then one head a domain (table 6)."""

    def __init__(
        self,
        num_domains: int,
        latent_size: int = 16,
        style_size: int = 64,
        hidden_width: int = 512,
        num_shared: int = 4,
        num_unshared: int = 4,
    ) -> None:
        super().__init__()
        trunk: list[nn.Module] = []
        for i in range(num_shared):
            trunk += [nn.Linear(hidden_width if i else latent_size, hidden_width), nn.ReLU()]
        self.shared = nn.Sequential(*trunk)

        def head() -> nn.Sequential:
            layers: list[nn.Module] = []
            for _ in range(num_unshared - 1):
                layers += [nn.Linear(hidden_width, hidden_width), nn.ReLU()]
            return nn.Sequential(*layers, nn.Linear(hidden_width, style_size))

        self.unshared = nn.ModuleList(head() for _ in range(num_domains))
        self.apply(he_normal)

    def forward(self, code: Tensor, domain: Tensor) -> Tensor:
        """Return style codes (B, Z) for latent codes (B, L) and domains (B,) of integers."""
        h = self.shared(code)
        return pick_domain(torch.stack([head(h) for head in self.unshared], dim=1), domain)


def downsampling_trunk(
    image_size: SizeLike, base_width: int | None, max_width: int, final_side: int = 4
) -> tuple[list[nn.Module], int]:
    """Return the layers that the style encoder and the discriminator share in shape, and their output width.

    They map (B, 3, S, S) to (B, width, 1, 1): a convolution, residual blocks that halve the image until its shorter
    side is ``final_side``, and a convolution whose kernel covers what is left.
    """
    size = ImageSize.of(image_size)
    num_downsamplings = int(math.log2(min(size) // final_side))
    width = base_width or first_width(image_size)
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
    for _ in range(num_downsamplings):
        wider = min(width * 2, max_width)
        layers.append(ResidualBlock(width, wider, downsample=True))
        width = wider
    kernel = size.each(lambda side: side >> num_downsamplings)
    layers += [nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, kernel), nn.LeakyReLU(SLOPE)]
    return layers, width


@NETWORKS.register("stargan_v2_style_encoder", image_size={"minimum": 32, "power_of_two": True})
class StyleEncoder(nn.Module):
    """Read the style code of an image, by one linear head a domain (table 7)."""

    def __init__(
        self,
        num_domains: int,
        image_size: SizeLike = 256,
        style_size: int = 64,
        base_width: int | None = None,
        max_width: int = 512,
    ) -> None:
        super().__init__()
        layers, width = downsampling_trunk(image_size, base_width, max_width)
        self.shared = nn.Sequential(*layers)
        self.unshared = nn.ModuleList(nn.Linear(width, style_size) for _ in range(num_domains))
        self.apply(he_normal)

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """Return the style codes (B, Z) of images (B, 3, S, S) as members of domains (B,)."""
        h = self.shared(x).flatten(1)
        return pick_domain(torch.stack([head(h) for head in self.unshared], dim=1), domain)


@NETWORKS.register("stargan_v2_discriminator", image_size={"minimum": 32, "power_of_two": True})
class Discriminator(nn.Module):
    """Multi-task discriminator: one real-or-fake logit for each domain, of which one is returned (table 7).

    ``spectral_norm``: see `layers.spectral`; the official code has none.
    """

    def __init__(
        self,
        num_domains: int,
        image_size: SizeLike = 256,
        base_width: int | None = None,
        max_width: int = 512,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        layers, width = downsampling_trunk(image_size, base_width, max_width)
        self.main = nn.Sequential(*layers, nn.Conv2d(width, num_domains, 1))
        self.apply(he_normal)
        if spectral_norm:
            normalize_spectrally(self)

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """Return logits (B,) that images (B, 3, S, S) are real members of domains (B,)."""
        return pick_domain(self.main(x).flatten(1), domain)


@NETWORKS.register("face_oval", trainable=False, image_size={"square": True})
class FaceOval(nn.Module):
    """Two fixed soft masks over the middle of an aligned face, for the high-pass skip connections.

    The official code computes such masks by a landmark network, which StarGAN v2 does not train. On faces aligned as in
    CelebA-HQ the landmarks are inside these ovals. ``radius_x`` and ``radius_y`` are fractions of the image side. The
    second mask, used at 64 and 128 px, is a third smaller.
    """

    def __init__(self, radius_x: float = 0.30, radius_y: float = 0.38, softness: float = 0.15) -> None:
        super().__init__()
        self.radii = (radius_x, radius_y)
        self.softness = softness

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a coarse and a fine mask (B, 1, S, S) in [0, 1] for images (B, 3, S, S)."""
        side = x.shape[2]
        line = (torch.arange(side, device=x.device, dtype=x.dtype) + 0.5) / side - 0.5
        masks = []
        for shrink in (1.0, 2 / 3):
            radius_x, radius_y = (shrink * r for r in self.radii)
            distance = ((line[None, :] / radius_x) ** 2 + (line[:, None] / radius_y) ** 2).sqrt()
            mask = ((1 - distance) / self.softness + 0.5).clamp(0, 1)
            masks.append(mask.expand(x.shape[0], 1, side, side))
        return masks[0], masks[1]
