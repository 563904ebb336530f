"""The two networks of StarGAN v1 (Choi et al., CVPR 2018, tables 4 and 5).

Letters: B batch, S image side (height and width may differ), K labels of all data sets together, N data sets, M length
of the mask: N if there are several data sets, else 0. Parameter names are those of the released weights. Initialisation
is PyTorch's default, as in the official code.

Differences from the official code: instance normalisation keeps no running statistics. The official networks collect
them but do not use them, since they translate in training mode. Translations that use them are spoiled.
"""

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.normalization import InstanceNorm
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.01  # of every leaky ReLU
NUM_DOWNSAMPLINGS = 2  # of the generator


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


@NETWORKS.register("stargan_v1_generator", image_size={"minimum": 16, "multiple_of": 4})
class Generator(nn.Module):
    """Translate an image to labels, which are concatenated with it as constant planes (StarGAN v1, table 4).

    ``num_labels`` counts the labels of all ``num_sets`` data sets; with several, the condition also has the mask of
    known labels. Padding is with zeros. With reflection padding a constant plane would stay constant in every
    convolution, and the normalisation would subtract it.
    """

    def __init__(self, num_labels: int, num_sets: int = 1, base_width: int = 64, num_blocks: int = 6) -> None:
        super().__init__()
        width = base_width
        planes = num_labels + (num_sets if num_sets > 1 else 0)
        layers: list[nn.Module] = [nn.Conv2d(3 + planes, width, 7, padding=3, bias=False)]
        layers += [InstanceNorm(width), nn.ReLU(inplace=True)]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)]
            layers += [InstanceNorm(2 * width), nn.ReLU(inplace=True)]
            width *= 2
        layers += [ResidualBlock(width) for _ in range(num_blocks)]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=False)]
            layers += [InstanceNorm(width // 2), nn.ReLU(inplace=True)]
            width //= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh())

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) in [-1, 1] to labels (B, K + M); returns (B, 3, S, S) in [-1, 1]."""
        planes = label[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return self.main(torch.cat([x, planes], dim=1))


@NETWORKS.register("stargan_v1_discriminator", image_size={"halvings": "num_layers"})
class Discriminator(nn.Module):
    """Separate real from fake by a logit for each patch, and predict the labels (StarGAN v1, table 5).

    Each of ``num_layers`` layers halves height and width, and doubles the number of channels. The kernel of the labels
    covers what is left: 2 x 2 for 128 pixels a side, 4 x 2 for 256 x 128. UserError if ``image_size`` cannot be halved
    so often.
    """

    batch_independent = True

    def __init__(self, image_size: SizeLike, num_labels: int, base_width: int = 64, num_layers: int = 6) -> None:
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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, s, s) that patches are real, s = S / 2^num_layers, and logits of the labels (B, K)."""
        h = self.main(x)
        return self.conv1(h), self.conv2(h).flatten(1)
