"""Augmentation of whole batches on the device, from random numbers that belong to the position of each image.

Letters: B batch, H and W sides of the images that are returned, T and U those of the stored images. A size is a number,
the side of a square, or [height, width].
"""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.batches import RawImages
from translate.sizes import ImageSize, SizeLike

NUM_UNIFORMS = 6  # random numbers of an image: crop or not, area, ratio, left, top, flip or not
CROP_PROBABILITY = 0.5
CROP_AREA = (0.8, 1.0)
CROP_RATIO = (0.9, 1.1)
RESIZE_FACTOR = 286 / 256  # the stored sides for `resize_crop_flip`, as a multiple of those of the image


def to_float(pixels: Tensor) -> Tensor:
    """Return float images (B, 3, H, W) in [-1, 1] from 8-bit pixels (B, H, W, 3)."""
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
    """Return crop boxes (B, 4), left, top, width, height in [0, 1] of the sides, from uniform numbers (B, 6).

    The augmentation of StarGAN v2: with probability 0.5 a box that fits in the image, with 0.8 to 1 of the area and an
    aspect ratio of 0.9 to 1.1 times the image's, log-uniform; otherwise the whole image.
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


def sample_box(images: Tensor, box: Tensor, flip: Tensor, size: SizeLike) -> Tensor:
    """Return the box of each image, resized bilinearly to (B, 3, H, W), mirrored where ``flip`` (B,) is true."""
    left, top, width, height = box.unbind(1)
    sign = torch.where(flip, -1.0, 1.0)
    rows, columns = (  # the centres of pixels, in [-1, 1]
        torch.linspace(-1, 1, side, device=images.device) * (side - 1) / side for side in ImageSize.of(size)
    )
    x = (width * sign)[:, None] * columns + (2 * left + width - 1)[:, None]
    y = height[:, None] * rows + (2 * top + height - 1)[:, None]
    # equals F.affine_grid for such boxes, several times faster
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def crop_flip(raw: RawImages, size: SizeLike) -> Tensor:
    """Augment as the official code of StarGAN v2: random resized crop, resize to ``size``, horizontal flip."""
    return sample_box(to_float(raw.pixels), crop_box(raw.uniform), raw.uniform[:, 5] < 0.5, size)


def flip(raw: RawImages, size: SizeLike) -> Tensor:
    """Return images mirrored with probability 0.5; they must be stored in this size."""
    pixels = raw.pixels
    assert pixels.shape[1:3] == ImageSize.of(size), (pixels.shape, size)
    return to_float(torch.where((raw.uniform[:, 5] < 0.5)[:, None, None, None], pixels.flip(2), pixels))


def resize_crop_flip(raw: RawImages, size: SizeLike) -> Tensor:
    """Augment as the official code of CycleGAN and pix2pix: a random crop of a larger image, horizontal flip.

    The image is stored at 286/256 of the size, or at another size from the configuration. The crop begins at a whole
    pixel, all places equally probable. Two images with equal uniform numbers, as the two of a pair, are cropped and
    mirrored alike. The official code resizes with Pillow's bicubic filter; here the resizing is bilinear and
    antialiased.
    """
    height, width = ImageSize.of(size)
    count, stored_height, stored_width = raw.pixels.shape[:3]
    assert stored_height >= height and stored_width >= width, (raw.pixels.shape, size)

    def place(uniform: Tensor, stored: int, side: int) -> Tensor:
        room = stored - side
        start = (uniform * (room + 1)).long().clamp(max=room)  # rounding may have reached room + 1
        return start + torch.arange(side, device=uniform.device)

    columns = place(raw.uniform[:, 3:4], stored_width, width)
    rows = place(raw.uniform[:, 4:5], stored_height, height)
    columns = torch.where(raw.uniform[:, 5:] < 0.5, columns.flip(1), columns)
    rows = rows + stored_height * torch.arange(count, device=rows.device)[:, None]
    numbers = (rows[:, :, None] * stored_width + columns[:, None, :]).flatten()
    return to_float(raw.pixels.reshape(-1, 3).index_select(0, numbers).view(count, height, width, 3))


def identity(raw: RawImages, size: SizeLike) -> Tensor:
    """Return images without augmentation; they must be stored in this size."""
    images = to_float(raw.pixels)
    assert images.shape[2:] == ImageSize.of(size), (images.shape, size)
    return images


AUGMENTATIONS: dict[str, Callable[[RawImages, SizeLike], Tensor]] = {
    "crop_flip": crop_flip,
    "resize_crop_flip": resize_crop_flip,
    "flip": flip,
    "none": identity,
}


def stored_size(augment: str, size: SizeLike, load_size: SizeLike | None = None) -> ImageSize:
    """Return the size of stored training images, large enough that no crop is enlarged.

    ``load_size`` is that of `resize_crop_flip`; None: `RESIZE_FACTOR` times ``size``.
    """
    if augment == "crop_flip":  # the narrowest box
        return ImageSize.of(size).each(lambda side: 8 * math.ceil(side / math.sqrt(CROP_AREA[0] * CROP_RATIO[0]) / 8))
    if augment == "resize_crop_flip":
        return (
            ImageSize.of(size).each(lambda side: round(side * RESIZE_FACTOR))
            if load_size is None
            else ImageSize.of(load_size)
        )
    return ImageSize.of(size)
