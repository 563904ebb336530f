"""The networks of pix2pix (Isola et al., CVPR 2017): U-Net generator, PatchGAN and PixelGAN discriminators.

CycleGAN uses the PatchGAN discriminator too. Letters: B batch, C channels, S side of an image or of its features.
Parameter names are those of the released weights. In the U-Net their nesting is that of the blocks, each of which
contains the next smaller one.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.normalization import normalization
from translate.networks.layers.scales import at_scales, check_scales_fit
from translate.networks.layers.spectral import normalize_spectrally
from translate.networks.layers.upsampling import Upsampling, doubling_convolution
from translate.registry.registry import NETWORKS

SLOPE = 0.2  # of every leaky ReLU
DROPOUT = 0.5
MAX_WIDENING = 8  # the largest width as a multiple of the base width


class SkipBlock(nn.Module):
    """One level of a U-Net: halve the side, apply the next smaller level, double the side, concatenate with the input.

    Maps (B, width, S, S) to (B, 2 * width, S, S); the concatenation is the skip connection. ``inner`` is None in the
    innermost block.
    """

    def __init__(
        self,
        width: int,
        wider: int,
        inner: "SkipBlock | None",
        norm: Literal["instance", "batch"],
        dropout: bool,
        upsampling: Upsampling,
    ) -> None:
        super().__init__()
        bias = norm == "instance"
        down: list[nn.Module] = [nn.LeakyReLU(SLOPE), nn.Conv2d(width, wider, 4, stride=2, padding=1, bias=bias)]
        if inner is not None:
            down += [normalization(norm, wider), inner]
        inner_width = wider if inner is None else 2 * wider
        up: list[nn.Module] = [nn.ReLU(), doubling_convolution(upsampling, inner_width, width, bias=bias)]
        up += [normalization(norm, width), *([nn.Dropout(DROPOUT)] if dropout else [])]
        self.model = nn.Sequential(*down, *up)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 2 * width, S, S) for features (B, width, S, S)."""
        return torch.cat([x, self.model(x)], dim=1)


class OutermostBlock(nn.Module):
    """The outermost level of a U-Net, from image to image, without skip connection."""

    def __init__(
        self, width: int, inner: SkipBlock, norm: Literal["instance", "batch"], upsampling: Upsampling
    ) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1, bias=norm == "instance"),
            inner,
            nn.ReLU(),
            doubling_convolution(upsampling, 2 * width, 3),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return images (B, 3, S, S) for images (B, 3, S, S)."""
        return self.model(x)


class FineOutermostBlock(nn.Module):
    """The outermost level of a U-Net with a skip connection at the side of the image, which pix2pix has not.

    ``fine_width`` features of each pixel go past all halvings, so that fine lines are not lost.
    """

    def __init__(
        self,
        fine_width: int,
        width: int,
        inner: SkipBlock,
        norm: Literal["instance", "batch"],
        upsampling: Upsampling,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, fine_width, 3, padding=1)
        self.level = SkipBlock(fine_width, width, inner, norm, False, upsampling)
        self.last = nn.Conv2d(2 * fine_width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return images (B, 3, S, S) for images (B, 3, S, S)."""
        return self.last(self.level(self.first(x)).relu()).tanh()


@NETWORKS.register("unet_generator", image_size={"halvings": "num_downsamplings"})
class UnetGenerator(nn.Module):
    """Translate an image by an encoder and a decoder with skip connections (appendix 6.1.1).

    The official code has 8 downsamplings at 256 px and 7 at 128 px, so that the innermost features have one pixel.
    Widths double up to 8 times ``base_width``. With ``dropout``, the decoder's widest levels drop half of their
    features, which is the only noise of pix2pix. With 5 downsamplings or fewer there are no such levels.
    ``upsampling`` is that of the decoder; the official one is transposed. The official network has skip connections
    from half of the side on; a ``fine_width`` above 0 adds one of so many features at the side of the image.
    """

    def __init__(
        self,
        num_downsamplings: int = 8,
        base_width: int = 64,
        norm: Literal["instance", "batch"] = "batch",
        dropout: bool = True,
        upsampling: Upsampling = "transposed",
        fine_width: int = 0,
    ) -> None:
        super().__init__()
        if num_downsamplings < 2:
            raise UserError(key="num_downsamplings", found=num_downsamplings, expected="at least 2")
        self.batch_independent = norm == "instance" and not dropout
        widths = [base_width * min(2**number, MAX_WIDENING) for number in range(num_downsamplings)]
        block: SkipBlock | None = None
        for number in reversed(range(1, num_downsamplings)):
            width, wider = widths[number - 1], widths[number]
            widest = number > 1 and width == wider
            drops = dropout and widest and block is not None
            block = SkipBlock(width, wider, block, norm, drops, upsampling)
        assert block is not None
        if fine_width:
            self.model: nn.Module = FineOutermostBlock(fine_width, base_width, block, norm, upsampling)
        else:
            self.model = OutermostBlock(base_width, block, norm, upsampling)
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the translations of images (B, 3, S, S) in [-1, 1], of the same shape and range."""
        return self.model(x)


@NETWORKS.register("patch_discriminator", image_size={"minimum": 24})
class PatchDiscriminator(nn.Module):
    """PatchGAN: separate real from fake by a logit for each patch of 70 x 70 pixels (section 3.2, appendix 6.1.2).

    ``in_channels`` is 3 for images, 6 for pairs of images concatenated along the channels. ``num_layers`` convolutions
    halve the side; two more enlarge the receptive field of a logit: 16, 34, 70, 142 pixels for 1 to 4 layers. An image
    must have at least 3 * 2^num_layers pixels a side, 24 with the official three layers. ``spectral_norm``: see
    `layers.spectral`; the official code has none. It is common with ``norm`` "none".
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_width: int = 64,
        num_layers: int = 3,
        norm: Literal["instance", "batch", "none"] = "instance",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.batch_independent = norm != "batch"
        layers: list[nn.Module] = [nn.Conv2d(in_channels, base_width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        width = base_width
        for number in range(1, num_layers + 1):
            before, width = width, base_width * min(2**number, MAX_WIDENING)
            stride = 2 if number < num_layers else 1
            layers += [nn.Conv2d(before, width, 4, stride=stride, padding=1, bias=norm != "batch")]
            layers += [normalization(norm, width), nn.LeakyReLU(SLOPE)]
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))
        self.apply(dcgan_normal)
        if spectral_norm:
            normalize_spectrally(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, s, s) that patches of images (B, C, S, S) are real; s = 30 for S = 256."""
        return self.model(x)


@NETWORKS.register("multiscale_patch_discriminator", image_size={"minimum": 24})
class MultiscalePatchDiscriminator(nn.Module):
    """Several PatchGANs, each for images of half the side of the one before (pix2pixHD, Wang et al. 2018, section 3.2).

    It needs the loss `multiscale`, which adds up a loss of each map. An image must have at least
    ``3 * 2^(num_layers + num_scales - 1)`` pixels a side. The other arguments are those of `PatchDiscriminator`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_width: int = 64,
        num_layers: int = 3,
        num_scales: int = 3,
        norm: Literal["instance", "batch", "none"] = "instance",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        if num_scales < 1:
            raise UserError(key="num_scales", found=num_scales, expected="at least 1")
        self.batch_independent = norm != "batch"
        self.minimum_size = 3 * 2 ** (num_layers + num_scales - 1)
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, base_width, num_layers, norm, spectral_norm) for _ in range(num_scales)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the logits (B, 1, s, s) of each scale that patches of images (B, C, S, S) are real, finest first.

        UserError for images that are too small for the layers and scales.
        """
        check_scales_fit(x, self.minimum_size)
        return at_scales(self.scales, x)


@NETWORKS.register("pixel_discriminator")
class PixelDiscriminator(nn.Module):
    """PixelGAN: separate real from fake by a logit for each pixel, from its colour alone (section 4.4)."""

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
