"""Networks of IcGAN (Perarnau et al., NIPS 2016 workshop, arXiv 1611.06355): a conditional GAN and its encoders.

Letters: B batch, S image side (sides may differ), z code of length Z, y labels of length K, -1 or +1. The widths are
those of DCGAN (Radford et al., ICLR 2016): 512, 256, 128, 64 and 3 at 64 px.
"""

from math import log2

import torch
from torch import Tensor, nn

from translate.networks.layers.initialization import dcgan_normal
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.2  # of every leaky ReLU
SMALLEST = 4  # the shorter side of the first maps of the generator, and of the last ones of the discriminator


def _halvings(size: ImageSize) -> int:
    """Return how often an image is halved until its shorter side is that of the smallest maps."""
    return round(log2(min(size) // SMALLEST))


@NETWORKS.register("icgan_generator", image_size={"power_of_two": True, "minimum": 16})
class Generator(nn.Module):
    """Paint an image of a code and labels: transposed convolutions from 4 pixels to the image, with batch norm.

    The code and the labels are concatenated. The last maps before the image have ``base_width`` channels, and each
    halving of the side doubles the width.
    """

    def __init__(
        self, image_size: SizeLike = 64, latent_size: int = 100, num_labels: int = 18, base_width: int = 64
    ) -> None:
        super().__init__()
        size = ImageSize.of(image_size)
        halvings = _halvings(size)
        width = base_width * 2 ** (halvings - 1)
        first = size.each(lambda side: side // 2**halvings)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_size + num_labels, width, first)]
        while width > base_width:
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1)]
            width //= 2
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1), nn.Tanh())
        self.apply(dcgan_normal)

    def forward(self, code: Tensor, labels: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in [-1, 1] of codes (B, Z) and labels (B, K)."""
        return self.model(torch.cat([code, labels], dim=1)[:, :, None, None])


@NETWORKS.register("icgan_discriminator", image_size={"power_of_two": True, "minimum": 16})
class Discriminator(nn.Module):
    """Separate real images with their labels from all others by one logit.

    The labels join as maps at half of the side, after the first convolution. The width doubles from ``base_width`` at
    each halving of the side, with batch norm from the second on.
    """

    def __init__(self, image_size: SizeLike = 64, num_labels: int = 18, base_width: int = 64) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, base_width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True))
        layers: list[nn.Module] = []
        size = ImageSize.of(image_size)
        halvings = _halvings(size)
        width, before = base_width, base_width + num_labels
        for _ in range(halvings - 1):
            width *= 2
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.BatchNorm2d(width)]
            layers += [nn.LeakyReLU(SLOPE, inplace=True)]
            before = width
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, size.each(lambda side: side // 2**halvings)))
        self.apply(dcgan_normal)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return logits (B,) that images (B, 3, S, S) are real and have the labels (B, K)."""
        h = self.first(x)
        maps = labels[:, :, None, None].expand(-1, -1, *h.shape[2:])
        return self.main(torch.cat([h, maps], dim=1)).flatten()


@NETWORKS.register("icgan_encoder", image_size={"power_of_two": True, "minimum": 16}, batch_norm={"values": 1})
class Encoder(nn.Module):
    """Encode an image: convolutions of 5 x 5 that halve the side, a dense layer and a linear one, with batch norm.

    ``num_outputs`` is the length of the code, or the number of labels. The widths double from ``base_width``.
    ``hidden_width`` is that of the dense layer; null: as many as come in.
    """

    def __init__(
        self,
        image_size: SizeLike = 64,
        num_outputs: int = 100,
        base_width: int = 32,
        num_layers: int = 4,
        hidden_width: int | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, width = 3, base_width
        for _ in range(num_layers):
            layers += [nn.Conv2d(before, width, 5, stride=2, padding=2), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            before, width = width, 2 * width
        num_features = before * ImageSize.of(image_size).each(lambda side: side // 2**num_layers).area
        hidden = num_features if hidden_width is None else hidden_width
        self.conv = nn.Sequential(*layers)
        self.fc = nn.Sequential(
            nn.Linear(num_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, num_outputs) of images (B, 3, S, S) in [-1, 1]."""
        return self.fc(self.conv(x).flatten(1))
