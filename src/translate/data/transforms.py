"""Augmentations on whole batches, on the device, each image by random numbers of its own position."""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.batches import Picture

CHANCES = 6  # random numbers an image has for its augmentation
CROP_PROBABILITY = 0.5
CROP_AREA = (0.8, 1.0)
CROP_RATIO = (0.9, 1.1)
LARGER = 286 / 256  # what is stored for `resize_crop_flip`, in sizes


def to_float(pixels: Tensor) -> Tensor:
    """Return float images (B, 3, S, S) in [-1, 1] of 8-bit pixels (B, S, S, 3)."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@functools.cache
def _fitting_areas() -> tuple[Tensor, Tensor]:
    """Return areas and, for each, the probability that a box which fits has at most that area.

    The published loader draws area and log-ratio uniformly, and draws again when the box does not fit in the image.
    Of an area ``a`` the ratios from ``a`` to ``1 / a`` fit, so the density of areas is that part of the range.
    """
    areas = torch.linspace(*CROP_AREA, 2049, dtype=torch.float64)
    room = -areas.log()
    fitting = room.clamp(max=math.log(CROP_RATIO[1])) + room.clamp(max=-math.log(CROP_RATIO[0]))
    below = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(fitting, areas)])
    return areas.float(), (below / below[-1]).float()


def crop_box(chance: Tensor) -> Tensor:
    """Return (B, 4) crop boxes (left, top, width, height) as fractions of the side, from chances (B, 6).

    The augmentation of StarGAN v2: with probability 0.5 a box of 0.8 to 1 of the area with an aspect ratio of 0.9
    to 1.1, log-uniform, that fits in the image; else the whole image.
    """
    areas, below = (table.to(chance.device) for table in _fitting_areas())
    wanted = chance[:, 1].contiguous()
    upper = torch.searchsorted(below, wanted, right=True).clamp(1, len(areas) - 1)
    lower = upper - 1
    area = torch.lerp(areas[lower], areas[upper], (wanted - below[lower]) / (below[upper] - below[lower]))
    low = area.log().clamp(min=math.log(CROP_RATIO[0]))
    high = (-area.log()).clamp(max=math.log(CROP_RATIO[1]))
    ratio = torch.exp(torch.lerp(low, high, chance[:, 2]))
    width = (area * ratio).sqrt().clamp(max=1.0)
    height = (area / ratio).sqrt().clamp(max=1.0)
    box = torch.stack([chance[:, 3] * (1 - width), chance[:, 4] * (1 - height), width, height], dim=1)
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0], device=chance.device)
    return torch.where((chance[:, 0] < CROP_PROBABILITY)[:, None], box, whole)


def sample_box(images: Tensor, box: Tensor, flip: Tensor, size: int) -> Tensor:
    """Return (B, 3, size, size): each image's box, resized bilinearly, mirrored where ``flip`` (B,) is true."""
    left, top, width, height = box.unbind(1)
    sign = torch.where(flip, -1.0, 1.0)
    centres = torch.linspace(-1, 1, size, device=images.device) * (size - 1) / size  # of the pixels, from side to side
    x = (width * sign)[:, None] * centres + (2 * left + width - 1)[:, None]
    y = height[:, None] * centres + (2 * top + height - 1)[:, None]
    # what F.affine_grid gives for such boxes, several times faster
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def crop_flip(picture: Picture, size: int) -> Tensor:
    """Return the published augmentation of StarGAN v2: random resized crop, resize, horizontal flip."""
    return sample_box(to_float(picture.pixels), crop_box(picture.chance), picture.chance[:, 5] < 0.5, size)


def flip(picture: Picture, size: int) -> Tensor:
    """Return images mirrored with probability 0.5; the stored side must be ``size``."""
    pixels = picture.pixels
    assert pixels.shape[2] == size, (pixels.shape, size)
    return to_float(torch.where((picture.chance[:, 5] < 0.5)[:, None, None, None], pixels.flip(2), pixels))


def resize_crop_flip(picture: Picture, size: int) -> Tensor:
    """Return the published augmentation of CycleGAN and pix2pix: a crop of a larger picture, horizontal flip.

    The picture is stored at 286/256 of the size; the crop begins at a whole pixel, every place alike. Two pictures
    with the same chances, as those of a pair, are cropped and mirrored alike. The published code resizes by Pillow's
    bicubic filter; here all resizing is bilinear and antialiased.
    """
    room = picture.pixels.shape[1] - size
    assert room >= 0, (picture.pixels.shape, size)
    corner = (picture.chance[:, 3:5] * (room + 1)).long().clamp(max=room)  # rounding may have reached room + 1
    steps = torch.arange(size, device=picture.pixels.device)
    columns, rows = corner[:, :1] + steps, corner[:, 1:] + steps
    columns = torch.where(picture.chance[:, 5:] < 0.5, columns.flip(1), columns)
    count, side = picture.pixels.shape[:2]
    rows = rows + side * torch.arange(count, device=rows.device)[:, None]
    pixels = picture.pixels.reshape(-1, 3).index_select(0, (rows[:, :, None] * side + columns[:, None, :]).flatten())
    return to_float(pixels.view(count, size, size, 3))


def plain(picture: Picture, size: int) -> Tensor:
    """Return images as they are; the stored side must be ``size``."""
    images = to_float(picture.pixels)
    assert images.shape[2] == size, (images.shape, size)
    return images


AUGMENTATIONS: dict[str, Callable[[Picture, int], Tensor]] = {
    "crop_flip": crop_flip,
    "resize_crop_flip": resize_crop_flip,
    "flip": flip,
    "none": plain,
}


def stored_side(augment: str, size: int) -> int:
    """Return the side at which training images are stored, so that no crop is ever enlarged."""
    if augment == "crop_flip":
        return 8 * math.ceil(size / math.sqrt(CROP_AREA[0] * CROP_RATIO[0]) / 8)  # the narrowest box
    return round(size * LARGER) if augment == "resize_crop_flip" else size
