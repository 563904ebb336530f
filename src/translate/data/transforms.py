"""Augmentation of whole batches on the device, from random numbers that belong to the position of each image."""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.batches import RawImages

NUM_UNIFORMS = 6  # random numbers of an image: crop or not, area, ratio, left, top, flip or not
CROP_PROBABILITY = 0.5
CROP_AREA = (0.8, 1.0)
CROP_RATIO = (0.9, 1.1)
RESIZE_FACTOR = 286 / 256  # the stored side for `resize_crop_flip`, as a multiple of the image size


def to_float(pixels: Tensor) -> Tensor:
    """Return float images (B, 3, S, S) in [-1, 1] from 8-bit pixels (B, S, S, 3)."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@functools.cache
def _fitting_areas() -> tuple[Tensor, Tensor]:
    """Return areas (2049,) and the cumulative probability (2049,) of each among the boxes that fit.

    The official loader draws area and log-ratio uniformly, and draws again when the box does not fit in the image. For
    an area ``a`` the ratios from ``a`` to ``1 / a`` fit, so the density of areas is their part of the ratio range.
    """
    areas = torch.linspace(*CROP_AREA, 2049, dtype=torch.float64)
    room = -areas.log()
    fitting = room.clamp(max=math.log(CROP_RATIO[1])) + room.clamp(max=-math.log(CROP_RATIO[0]))
    below = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(fitting, areas)])
    return areas.float(), (below / below[-1]).float()


def crop_box(uniform: Tensor) -> Tensor:
    """Return crop boxes (B, 4), left, top, width, height in [0, 1] of the side, from uniform numbers (B, 6).

    The augmentation of StarGAN v2: with probability 0.5 a box that fits in the image, with 0.8 to 1 of the area and an
    aspect ratio of 0.9 to 1.1, log-uniform; otherwise the whole image.
    """
    areas, below = (table.to(uniform.device) for table in _fitting_areas())
    wanted = uniform[:, 1].contiguous()
    upper = torch.searchsorted(below, wanted, right=True).clamp(1, len(areas) - 1)
    lower = upper - 1
    area = torch.lerp(areas[lower], areas[upper], (wanted - below[lower]) / (below[upper] - below[lower]))
    low = area.log().clamp(min=math.log(CROP_RATIO[0]))
    high = (-area.log()).clamp(max=math.log(CROP_RATIO[1]))
    ratio = torch.exp(torch.lerp(low, high, uniform[:, 2]))
    width = (area * ratio).sqrt().clamp(max=1.0)
    height = (area / ratio).sqrt().clamp(max=1.0)
    box = torch.stack([uniform[:, 3] * (1 - width), uniform[:, 4] * (1 - height), width, height], dim=1)
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0], device=uniform.device)
    return torch.where((uniform[:, 0] < CROP_PROBABILITY)[:, None], box, whole)


def sample_box(images: Tensor, box: Tensor, flip: Tensor, size: int) -> Tensor:
    """Return the box of each image, resized bilinearly to (B, 3, size, size), mirrored where ``flip`` (B,) is true."""
    left, top, width, height = box.unbind(1)
    sign = torch.where(flip, -1.0, 1.0)
    centres = torch.linspace(-1, 1, size, device=images.device) * (size - 1) / size  # of the pixels, in [-1, 1]
    x = (width * sign)[:, None] * centres + (2 * left + width - 1)[:, None]
    y = height[:, None] * centres + (2 * top + height - 1)[:, None]
    # equals F.affine_grid for such boxes, several times faster
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def crop_flip(raw: RawImages, size: int) -> Tensor:
    """Augment as the official code of StarGAN v2: random resized crop, resize to ``size``, horizontal flip."""
    return sample_box(to_float(raw.pixels), crop_box(raw.uniform), raw.uniform[:, 5] < 0.5, size)


def flip(raw: RawImages, size: int) -> Tensor:
    """Return images mirrored with probability 0.5; the stored side must be ``size``."""
    pixels = raw.pixels
    assert pixels.shape[2] == size, (pixels.shape, size)
    return to_float(torch.where((raw.uniform[:, 5] < 0.5)[:, None, None, None], pixels.flip(2), pixels))


def resize_crop_flip(raw: RawImages, size: int) -> Tensor:
    """Augment as the official code of CycleGAN and pix2pix: a random crop of a larger image, horizontal flip.

    The image is stored at 286/256 of the size. The crop begins at a whole pixel, all places equally probable. Two
    images with equal uniform numbers, as the two of a pair, are cropped and mirrored alike. The official code resizes
    with Pillow's bicubic filter; here the resizing is bilinear and antialiased.
    """
    room = raw.pixels.shape[1] - size
    assert room >= 0, (raw.pixels.shape, size)
    corner = (raw.uniform[:, 3:5] * (room + 1)).long().clamp(max=room)  # rounding may have reached room + 1
    steps = torch.arange(size, device=raw.pixels.device)
    columns, rows = corner[:, :1] + steps, corner[:, 1:] + steps
    columns = torch.where(raw.uniform[:, 5:] < 0.5, columns.flip(1), columns)
    count, side = raw.pixels.shape[:2]
    rows = rows + side * torch.arange(count, device=rows.device)[:, None]
    pixels = raw.pixels.reshape(-1, 3).index_select(0, (rows[:, :, None] * side + columns[:, None, :]).flatten())
    return to_float(pixels.view(count, size, size, 3))


def identity(raw: RawImages, size: int) -> Tensor:
    """Return images without augmentation; the stored side must be ``size``."""
    images = to_float(raw.pixels)
    assert images.shape[2] == size, (images.shape, size)
    return images


AUGMENTATIONS: dict[str, Callable[[RawImages, int], Tensor]] = {
    "crop_flip": crop_flip,
    "resize_crop_flip": resize_crop_flip,
    "flip": flip,
    "none": identity,
}


def stored_side(augment: str, size: int) -> int:
    """Return the side of stored training images, large enough that no crop is enlarged."""
    if augment == "crop_flip":
        return 8 * math.ceil(size / math.sqrt(CROP_AREA[0] * CROP_RATIO[0]) / 8)  # the narrowest box
    return round(size * RESIZE_FACTOR) if augment == "resize_crop_flip" else size
