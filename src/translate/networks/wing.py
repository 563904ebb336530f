"""Face landmarks by heat maps, and the masks of StarGAN v2 that follow from them.

The network is a face alignment network (Bulat and Tzimiropoulos, ICCV 2017, arXiv 1703.07332) with coordinates as more
channels and trained by the adaptive wing loss (Wang et al., ICCV 2019, arXiv 1904.07399). It has one hourglass and a
heat map for each of the 98 landmarks of WFLW, and one for the boundary of the face. Parameter names are those of the
official StarGAN v2 file wing.ckpt.

Letters: B batch, C channels, S image side. Heat maps are 64 x 64, masks 256 x 256, whatever the size of the image.

Differences from the official code: the channels of a part are added before they are shifted, which changes rounding
only. Heat maps that are not numbers give 0 in both masks, not in the coarse one alone.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.layers.pretrained import Pretrained
from translate.registry.registry import NETWORKS

NUM_LANDMARKS = 98
IMAGE_SIDE, HEAT_MAP_SIDE = 256, 64
WIDTH = 256  # channels of the hourglass
DEPTH = 4  # halvings in the hourglass: 64 to 4
THRESHOLD = 0.1  # smaller values of a heat map are noise


class Part(NamedTuple):
    """Landmarks of a part of the face, and how their normalized heat maps h become a mask: sum of h ** power, moved."""

    landmarks: tuple[int, ...]
    down: int  # pixels of 256 by which the mask moves; it wraps around the border
    power: int
    fine: bool  # whether the part belongs to the fine mask too


PARTS = (
    Part(tuple(range(8, 25)), 0, 3, fine=False),  # the lower half of the outline
    Part((*range(34, 46), *range(47, 51)), 7, 2, fine=False),  # eyebrows without their outer ends
    Part((51,), 0, 1, fine=True),  # top of the bridge of the nose
    Part(tuple(range(52, 55)), -4, 1, fine=True),  # the rest of the bridge
    Part(tuple(range(55, 60)), -8, 4, fine=True),  # nostrils
    Part(tuple(range(60, 76)), 8, 3, fine=True),  # eyelids
    Part(tuple(range(60, 76)), 24, 1, fine=True),  # below the eyes
    Part(tuple(range(77, 82)), 8, 4, fine=False),  # upper lip
    Part(tuple(range(83, 88)), -8, 4, fine=False),  # lower lip
    Part(tuple(range(88, 96)), 2, 3, fine=False),  # inner lips
    Part((96, 97), 0, 1, fine=True),  # pupils
)
"""The parts of both masks, by the numbers of WFLW's landmarks."""


def coordinates(height: int, width: int) -> Tensor:
    """Return three maps (1, 3, H, W): row and column in [-1, 1], and their distance from the centre in [0, 1]."""
    row, column = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    radius = torch.hypot(row, column)
    return torch.stack([row, column, radius / radius.max()])[None]


class CoordConv2d(nn.Module):
    """Convolution that sees the coordinates of each pixel as three further channels (Liu et al., NeurIPS 2018)."""

    coordinates: Tensor

    def __init__(self, in_width: int, out_width: int, kernel: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width + 3, out_width, kernel, stride, padding=kernel // 2)
        self.register_buffer("coordinates", coordinates(side, side), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of features (B, C, side, side)."""
        return self.conv(torch.cat([x, self.coordinates.to(x.dtype).expand(x.shape[0], -1, -1, -1)], dim=1))


class MultiScaleBlock(nn.Module):
    """Residual block whose output joins those of three successive 3x3 convolutions (Bulat and Tzimiropoulos)."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        half, quarter = out_width // 2, out_width // 4
        self.bn1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample = (
            nn.Identity()
            if in_width == out_width
            else nn.Sequential(nn.BatchNorm2d(in_width), nn.ReLU(), nn.Conv2d(in_width, out_width, 1, bias=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, out_width, S, S) of features (B, in_width, S, S)."""
        first = self.conv1(F.relu(self.bn1(x)))
        second = self.conv2(F.relu(self.bn2(first)))
        third = self.conv3(F.relu(self.bn3(second)))
        return torch.cat([first, second, third], dim=1) + self.downsample(x)


class Hourglass(nn.Module):
    """Blocks at five resolutions: down by average pooling, up by repetition, with a skip at each (Newell et al., 2016).

    A block's name holds its level, 4 at the full resolution and 1 at an eighth of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.coordconv = CoordConv2d(WIDTH, WIDTH, 1, HEAT_MAP_SIDE)
        for level in range(DEPTH, 0, -1):
            self.add_module(f"b1_{level}", MultiScaleBlock(WIDTH, WIDTH))
            self.add_module(f"b2_{level}", MultiScaleBlock(WIDTH, WIDTH))
        self.b2_plus_1 = MultiScaleBlock(WIDTH, WIDTH)
        for level in range(1, DEPTH + 1):
            self.add_module(f"b3_{level}", MultiScaleBlock(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of x (B, 256, 64, 64)."""
        return self._at_level(DEPTH, self.coordconv(x))

    def _at_level(self, level: int, x: Tensor) -> Tensor:
        low = self.get_submodule(f"b2_{level}")(F.avg_pool2d(x, 2))
        low = self._at_level(level - 1, low) if level > 1 else self.b2_plus_1(low)
        low = self.get_submodule(f"b3_{level}")(low)
        result: Tensor = self.get_submodule(f"b1_{level}")(x) + F.interpolate(low, scale_factor=2, mode="nearest")
        return result


class FaceLandmarks(Pretrained):
    """Find the 98 landmarks of WFLW in the image of a face; the parameters are those of wing.ckpt."""

    file_keys = ("state_dict", "fan")  # of wing.ckpt, and of the official files of StarGAN v2

    def __init__(self, weights: str | None = None, sha256: str | None = None) -> None:
        super().__init__(weights, sha256)
        with torch.random.fork_rng(devices=[]):  # a file replaces these draws, so no other network may depend on them
            self.conv1 = CoordConv2d(3, 64, 7, IMAGE_SIDE, stride=2)
            self.bn1 = nn.BatchNorm2d(64)
            self.conv2 = MultiScaleBlock(64, 128)
            self.conv3 = MultiScaleBlock(128, 128)
            self.conv4 = MultiScaleBlock(128, WIDTH)
            self.m0 = Hourglass()
            self.top_m_0 = MultiScaleBlock(WIDTH, WIDTH)
            self.conv_last0 = nn.Conv2d(WIDTH, WIDTH, 1)
            self.bn_end0 = nn.BatchNorm2d(WIDTH)
            self.l0 = nn.Conv2d(WIDTH, NUM_LANDMARKS + 1, 1)
        self.freeze()

    @torch.no_grad()
    def heat_maps(self, x: Tensor) -> Tensor:
        """Return a heat map of each landmark (B, 98, 64, 64), about 0 to 1, for images (B, 3, H, W) in [-1, 1]."""
        x = F.interpolate(x, size=(IMAGE_SIDE, IMAGE_SIDE), mode="bilinear")
        x = F.relu(self.bn1(self.conv1(x * 0.5 + 0.5)))
        x = F.avg_pool2d(self.conv2(x), 2)
        x = self.top_m_0(self.m0(self.conv4(self.conv3(x))))
        x = F.relu(self.bn_end0(self.conv_last0(x)))
        return self.l0(x)[:, :NUM_LANDMARKS]

    @torch.no_grad()
    def landmarks(self, x: Tensor) -> Tensor:
        """Return the landmarks (B, 98, 2) of images (B, 3, H, W) as column and row, in pixels of the image."""
        column, row = positions(self.heat_maps(x)).unbind(-1)
        return torch.stack([column * (x.shape[3] / HEAT_MAP_SIDE), row * (x.shape[2] / HEAT_MAP_SIDE)], dim=-1)


@NETWORKS.register(
    "landmark_masks",
    trainable=False,
    image_size={"square": True},
    pretrained="the file wing.ckpt of github.com/clovaai/stargan-v2, which 'bash download.sh wing' fetches there",
)
class LandmarkMasks(FaceLandmarks):
    """Masks of the parts of a face for the high-pass skip connections, from the heat maps of its landmarks.

    ``weights`` is the path of wing.ckpt, or of another file with these parameters. ``sha256`` is the digest of the
    file; a run notes it.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a coarse and a fine mask (B, 1, 256, 256) in [0, 1] for images (B, 3, H, W), without gradients."""
        return masks(self.heat_maps(x))


@torch.no_grad()
def masks(heat_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return a coarse and a fine mask (B, 1, 256, 256) in [0, 1] of heat maps (B, 98, 64, 64).

    The heat maps h are enlarged, set to 0 below 0.1, and scaled to [0, 1] each. A mask is the sum over `PARTS` of
    sum_c h_c ** power, moved up or down. The fine mask has the eyes and the nose, the coarse one all parts.
    """
    h = F.interpolate(heat_maps, size=(IMAGE_SIDE, IMAGE_SIDE), mode="bilinear", align_corners=True)
    h = torch.where(h < THRESHOLD, 0.0, h)
    low, high = h.amin(dim=(2, 3), keepdim=True), h.amax(dim=(2, 3), keepdim=True)
    h = (h - low) / (high - low + 1e-6)
    coarse = fine = torch.zeros_like(h[:, :1])
    for part in PARTS:
        mask = (h[:, list(part.landmarks)] ** part.power).sum(dim=1, keepdim=True).roll(part.down, dims=2)
        coarse = coarse + mask
        fine = fine + mask if part.fine else fine
    return coarse.nan_to_num().clamp(0, 1), fine.nan_to_num().clamp(0, 1)


def positions(heat_maps: Tensor) -> Tensor:
    """Return the column and row (B, 98, 2) of the peaks of heat maps (B, 98, S, S), in pixels of the heat map.

    A peak is at the middle of its pixel, moved by a quarter of a pixel towards the larger neighbour in each direction;
    at the border it is not moved.

    >>> heat_map = torch.zeros(1, 1, 4, 4)
    >>> heat_map[0, 0, 1, 2], heat_map[0, 0, 1, 1] = 1.0, 0.5
    >>> positions(heat_map).tolist()
    [[[2.25, 1.5]]]
    """
    height, width = heat_maps.shape[2:]
    flat = heat_maps.flatten(2)
    place = flat.argmax(dim=2)
    row, column = place // width, place % width
    inside = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)

    def slope(step: int) -> Tensor:
        after, before = ((place + s).clamp(0, flat.shape[2] - 1)[..., None] for s in (step, -step))
        return (flat.gather(2, after) - flat.gather(2, before))[..., 0].sign() * 0.25 * inside

    return torch.stack([column + 0.5 + slope(1), row + 0.5 + slope(width)], dim=2)
