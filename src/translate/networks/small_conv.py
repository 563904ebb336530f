"""Small convolutional networks for images of about 64 pixels, after DCGAN (Radford et al., ICLR 2016).

Letters: B batch, S image side; sides may differ.
"""

from torch import Tensor, nn

from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.upsampling import Upsampling, doubling_convolution
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.2  # of every leaky ReLU
GENERATOR_DOWNSAMPLINGS = 3
DISCRIMINATOR_DOWNSAMPLINGS = 4


@NETWORKS.register("small_conv_generator", image_size={"minimum": 16, "multiple_of": 8})
class SmallConvGenerator(nn.Module):
    """Translate an image by three downsamplings and three upsamplings with batch norm.

    Widths are 1, 2 and 4 times ``base_width``: 64, 128 and 256. ``upsampling`` is that of the decoder.
    """

    def __init__(self, base_width: int = 64, upsampling: Upsampling = "transposed") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, base_width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        width = base_width
        for _ in range(GENERATOR_DOWNSAMPLINGS - 1):
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(2 * width), nn.LeakyReLU(SLOPE)]
            width *= 2
        for _ in range(GENERATOR_DOWNSAMPLINGS - 1):
            layers += [doubling_convolution(upsampling, width, width // 2, bias=False)]
            layers += [nn.BatchNorm2d(width // 2), nn.ReLU(inplace=True)]
            width //= 2
        self.model = nn.Sequential(*layers, doubling_convolution(upsampling, width, 3), nn.Tanh())
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the translations of images (B, 3, S, S) in [-1, 1], of the same shape and range."""
        return self.model(x)


@NETWORKS.register("small_conv_discriminator", image_size={"multiple_of": 16}, batch_norm={"divisor": 16})
class SmallConvDiscriminator(nn.Module):
    """Separate real from fake by one logit for the whole image, with batch norm.

    Four downsamplings, with 1, 2, 4 and 8 times ``base_width`` channels (32, 64, 128 and 256), leave a sixteenth of
    ``image_size``. The kernel of the last convolution covers it.
    """

    def __init__(self, image_size: SizeLike = 64, base_width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, base_width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        width = base_width
        for _ in range(DISCRIMINATOR_DOWNSAMPLINGS - 1):
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(2 * width), nn.LeakyReLU(SLOPE)]
            width *= 2
        kernel = ImageSize.of(image_size).each(lambda side: side // 2**DISCRIMINATOR_DOWNSAMPLINGS)
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, kernel))
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B,) that images (B, 3, S, S) are real."""
        return self.model(x).flatten()
