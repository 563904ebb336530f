"""The U-Net generator of pix2pix (Isola et al., CVPR 2017, appendix 6.1).

Letters: B batch, C channels, S side of an image or of its features. Parameter names are those of the published weights,
whose nesting is that of the blocks: each holds the next smaller one.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.normalization import normalization
from translate.registry.registry import NETWORKS

SLOPE = 0.2  # of every leaky ReLU, on the way down
DROPOUT = 0.5
MAX_WIDENING = 8  # the widest level has so many times the base width


class Level(nn.Module):
    """What lies below one level of a U-Net: half the side and back, around the next smaller level.

    Maps (B, width, S, S) to (B, 2 * width, S, S): the features that came in, beside what was made of them, which is the
    skip connection. ``below`` is None at the bottom.
    """

    def __init__(
        self, width: int, wider: int, below: "Level | None", norm: Literal["instance", "batch"], dropout: bool
    ) -> None:
        super().__init__()
        bias = norm == "instance"
        down: list[nn.Module] = [nn.LeakyReLU(SLOPE), nn.Conv2d(width, wider, 4, stride=2, padding=1, bias=bias)]
        if below is not None:
            down += [normalization(norm, wider), below]
        returned = wider if below is None else 2 * wider
        up = [nn.ReLU(), nn.ConvTranspose2d(returned, width, 4, stride=2, padding=1, bias=bias)]
        up += [normalization(norm, width), *([nn.Dropout(DROPOUT)] if dropout else [])]
        self.model = nn.Sequential(*down, *up)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 2 * width, S, S) for features (B, width, S, S)."""
        return torch.cat([x, self.model(x)], dim=1)


class Surface(nn.Module):
    """The outermost level of a U-Net, from image to image, without skip connection."""

    def __init__(self, width: int, below: Level, norm: Literal["instance", "batch"]) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1, bias=norm == "instance"),
            below,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return images (B, 3, S, S) for images (B, 3, S, S)."""
        return self.model(x)


@NETWORKS.register("unet_generator", image_size={"halvings": "num_downsamplings"})
class UnetGenerator(nn.Module):
    """Translate an image by an encoder and a decoder with a skip connection at every side.

    Published: 8 halvings for 256 px, 7 for 128 px, so that the smallest features are one pixel. Widths double up to 8
    times ``base_width``. With ``dropout`` half of the features are dropped on the way up through the widest levels,
    which is the only noise of pix2pix; up to 5 halvings there are no such levels.
    """

    def __init__(
        self,
        num_downsamplings: int = 8,
        base_width: int = 64,
        norm: Literal["instance", "batch"] = "batch",
        dropout: bool = True,
    ) -> None:
        super().__init__()
        if num_downsamplings < 2:
            raise ValueError(f"num_downsamplings: found {num_downsamplings}, expected 2 at least")
        self.batch_independent = norm == "instance" and not dropout
        widths = [base_width * min(2**number, MAX_WIDENING) for number in range(num_downsamplings)]
        level: Level | None = None
        for number in reversed(range(1, num_downsamplings)):
            width, wider = widths[number - 1], widths[number]
            widest = number > 1 and width == wider
            level = Level(width, wider, level, norm, dropout and widest and level is not None)
        assert level is not None
        self.model = Surface(base_width, level, norm)
        self.apply(dcgan_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the translations of images (B, 3, S, S) in [-1, 1], of the same shape and range."""
        return self.model(x)
