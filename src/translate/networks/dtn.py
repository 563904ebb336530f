"""The networks of DTN (Taigman, Polyak, Wolf, ICLR 2017, arXiv 1611.02200), in the form of a port for digits.

No code of the authors was released. Layers and parameter names are those of davrempe/domain-transfer-net, whose number
of layers follows here from the image size. Letters: B batch, S image side, L length of a code. The function f of digits
is the encoder of a classifier, `networks/classifier.py`.

Images have three channels. A generator of grey images (``image_channels`` 1) repeats its channel, and a discriminator
of grey images reads the mean of the channels, which is each channel of a grey image.
"""

from itertools import pairwise

from torch import Tensor, nn

from translate.errors import UserError
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.2  # of every leaky ReLU
FIRST_SIDE = 4  # of the smallest feature maps
MAX_WIDTH = 512


@NETWORKS.register("dtn_generator", image_size={"minimum": 8, "power_of_two": True})
class Generator(nn.Module):
    """The function g: from a code to an image by transposed convolutions, with batch norm after all but the first.

    Widths fall by halves to ``base_width``, and are 512 at most. ``pointwise`` adds a 1x1 convolution with batch norm
    and ReLU to every block, as the paper has for faces.
    """

    def __init__(
        self,
        image_size: SizeLike = 32,
        code_size: int = 128,
        base_width: int = 64,
        image_channels: int = 3,
        pointwise: bool = False,
    ) -> None:
        super().__init__()
        check_channels(image_channels)
        widths = widths_of(image_size, base_width)[::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(code_size, widths[0], smallest(image_size)),
            nn.ReLU(inplace=True),
        ]
        for before, width in pairwise(widths):
            layers += [nn.ConvTranspose2d(before, width, 4, stride=2, padding=1), *self._norm(width)]
            if pointwise:
                layers += [nn.Conv2d(width, width, 1), *self._norm(width)]
        layers += [nn.ConvTranspose2d(widths[-1], image_channels, 4, stride=2, padding=1), nn.Tanh()]
        self.block = nn.Sequential(*layers)

    def _norm(self, width: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]

    def forward(self, code: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in [-1, 1] of codes (B, L)."""
        images: Tensor = self.block(code[:, :, None, None])
        return images.expand(-1, 3, -1, -1)


@NETWORKS.register("dtn_discriminator", image_size={"minimum": 8, "power_of_two": True})
class Discriminator(nn.Module):
    """The discriminator D of three classes: halving convolutions, with batch norm in all but the first.

    Widths double from ``base_width``, and are 512 at most. The class of an image is 0 for a translation of the source
    domain, 1 for a translation of the target domain, 2 for a real image of the target domain. ``num_logits`` is 3 for
    these classes, or 1 for a loss that separates real from fake alone.
    """

    def __init__(
        self,
        image_size: SizeLike = 32,
        base_width: int = 64,
        image_channels: int = 3,
        hidden_width: int = 128,
        num_logits: int = 3,
    ) -> None:
        super().__init__()
        check_channels(image_channels)
        if num_logits not in (1, 3):
            raise UserError(key="num_logits", found=num_logits, expected="3 for three classes, or 1")
        self.image_channels = image_channels
        widths = widths_of(image_size, base_width)
        layers: list[nn.Module] = [nn.Conv2d(image_channels, widths[0], 4, stride=2, padding=1)]
        for before, width in pairwise(widths):
            convolution = nn.Conv2d(before, width, 4, stride=2, padding=1)
            layers += [nn.LeakyReLU(SLOPE, inplace=True), convolution, nn.BatchNorm2d(width)]
        self.upblock = nn.Sequential(*layers)
        self.downblock = nn.Sequential(
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(widths[-1], hidden_width, smallest(image_size)),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(hidden_width, num_logits, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_logits) of the classes of images (B, 3, S, S)."""
        if self.image_channels == 1:
            x = x.mean(1, keepdim=True)
        logits: Tensor = self.downblock(self.upblock(x)).flatten(1)
        return logits


def widths_of(image_size: SizeLike, base_width: int) -> list[int]:
    """Return the widths of the feature maps from side S / 2 down to 4, the shorter side of the smallest one.

    >>> widths_of(32, 64)
    [64, 128, 256]
    """
    num_halvings = (min(ImageSize.of(image_size)) // FIRST_SIDE).bit_length() - 1
    return [min(base_width * 2**number, MAX_WIDTH) for number in range(num_halvings)]


def smallest(image_size: SizeLike) -> ImageSize:
    """Return the size of the smallest feature maps.

    >>> tuple(smallest([64, 32]))
    (8, 4)
    """
    factor = min(ImageSize.of(image_size)) // FIRST_SIDE
    return ImageSize.of(image_size).each(lambda side: side // factor)


def check_channels(image_channels: int) -> None:
    """Raise UserError unless images are grey (1) or coloured (3)."""
    if image_channels not in (1, 3):
        raise UserError(key="image_channels", found=image_channels, expected="1 for grey images, or 3")
