"""Augmentation of whole batches on the device, from random numbers that belong to the position of each image.

Letters: B batch, H and W sides of the images that are returned, T and U those of the stored images. A size is a number,
the side of a square, or [height, width].
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from translate.data.batches import RawImages
from translate.sizes import ImageSize, SizeLike

NUM_UNIFORMS = 6  # random numbers of an image: crop or not, area, ratio, left, top, flip or not
CROP_PROBABILITY = 0.5
CROP_AREA = (0.8, 1.0)
CROP_RATIO = (0.9, 1.1)
CUBIC = -0.5  # the coefficient of the bicubic filter, as in Pillow
RESIZE_FACTOR = 286 / 256  # the stored sides for `resize_crop_flip`, as a multiple of those of the image


def to_float(pixels: Tensor) -> Tensor:
    """Return float images (B, 3, H, W) in [-1, 1] from 8-bit pixels (B, H, W, 3)."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@functools.cache
def _fitting_areas(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return areas (2049,) and the cumulative probability (2049,) of each among the boxes that fit.

    The official loader draws area and log-ratio uniformly, and draws again when the box does not fit in the image. For
    an area ``a`` the ratios from ``a`` to ``1 / a`` fit, so the density of areas is their part of the ratio range.

    The tables are computed on the CPU once and stay on the device: a copy for each batch would wait for the device.
    """
    areas = torch.linspace(*CROP_AREA, 2049, dtype=torch.float64)
    room = -areas.log()
    fitting = room.clamp(max=math.log(CROP_RATIO[1])) + room.clamp(max=-math.log(CROP_RATIO[0]))
    below = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(fitting, areas)])
    return areas.float().to(device), (below / below[-1]).float().to(device)


def crop_box(uniform: Tensor) -> Tensor:
    """Return crop boxes (B, 4), left, top, width, height in [0, 1] of the sides, from uniform numbers (B, 6).

    The crops of StarGAN v2: a box that fits in the image, with 0.8 to 1 of the area and an aspect ratio of 0.9 to 1.1
    times the image's, log-uniform.
    """
    areas, below = _fitting_areas(uniform.device)
    wanted = uniform[:, 1].contiguous()
    upper = torch.searchsorted(below, wanted, right=True).clamp(1, len(areas) - 1)
    lower = upper - 1
    area = torch.lerp(areas[lower], areas[upper], (wanted - below[lower]) / (below[upper] - below[lower]))
    low = area.log().clamp(min=math.log(CROP_RATIO[0]))
    high = (-area.log()).clamp(max=math.log(CROP_RATIO[1]))
    ratio = torch.exp(torch.lerp(low, high, uniform[:, 2]))
    width = (area * ratio).sqrt().clamp(max=1.0)
    height = (area / ratio).sqrt().clamp(max=1.0)
    return torch.stack([uniform[:, 3] * (1 - width), uniform[:, 4] * (1 - height), width, height], dim=1)


def cubic(distance: Tensor) -> Tensor:
    """Return the bicubic filter at distances in pixels: 1 at 0, 0 at all other whole numbers and beyond 2."""
    x = distance.abs()
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def resize_weights(start: Tensor, extent: Tensor, stored: int, side: int) -> Tensor:
    """Return the weights (B, side, stored) of the stored pixels in each pixel of a resized interval.

    The interval of an image begins at ``start`` (B,) and has the length ``extent`` (B,), in pixels. The filter is
    bicubic and antialiased: its support grows with the scale where the interval is reduced. An interval of ``side``
    whole pixels is kept as it is, exactly.
    """
    scale = (extent / side)[:, None, None]
    places = torch.arange(side, device=start.device)[:, None] + 0.5
    pixels = torch.arange(stored, device=start.device) + 0.5
    weights = cubic((pixels - start[:, None, None] - places * scale) / scale.clamp(min=1.0))
    return weights / weights.sum(2, keepdim=True)


def sample_box(images: Tensor, box: Tensor, flip: Tensor, size: SizeLike) -> Tensor:
    """Return the box of each image, resized to (B, 3, H, W) by `resize_weights`, mirrored where ``flip`` (B,) is true.

    ``box`` (B, 4) is left, top, width and height in pixels.
    """
    (height, width), (stored_height, stored_width) = ImageSize.of(size), images.shape[2:]
    rows = resize_weights(box[:, 1], box[:, 3], stored_height, height)
    columns = resize_weights(box[:, 0], box[:, 2], stored_width, width)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    resized = rows[:, None] @ images @ columns[:, None].mT
    return resized.clamp_(-1.0, 1.0)  # a bicubic filter overshoots at edges


def crop_flip(raw: RawImages, size: SizeLike) -> Tensor:
    """Augment as the official code of StarGAN v2: random resized crop, resize to ``size``, horizontal flip.

    A whole image is stored at its final size, in the first rows and columns, and stays as it is. A crop is resized for
    the second time. Its filter is bicubic, since two bilinear filters blur more than the one of the official code.
    """
    height, width = ImageSize.of(size)
    cropped, mirrored = is_cropped(raw.uniform), raw.uniform[:, 5] < 0.5
    whole = to_float(raw.pixels[:, :height, :width])
    whole = torch.where(mirrored[:, None, None, None], whole.flip(3), whole)
    if raw.pixels.device.type != "cpu":  # a GPU would have to wait for the number of crops
        return torch.where(cropped[:, None, None, None], _crops(raw, size, mirrored), whole)
    chosen = cropped.nonzero()[:, 0]
    images = whole.contiguous()
    images[chosen] = _crops(RawImages(raw.pixels[chosen], raw.uniform[chosen]), size, mirrored[chosen])
    return images


def _crops(raw: RawImages, size: SizeLike, mirrored: Tensor) -> Tensor:
    """Return the crops (B, 3, H, W) of images."""
    height, width = raw.pixels.shape[1:3]
    left, top, across, down = crop_box(raw.uniform).unbind(1)
    box = torch.stack([left * width, top * height, across * width, down * height], dim=1)
    return sample_box(to_float(raw.pixels), box, mirrored, size)


def is_cropped(uniform: Tensor) -> Tensor:
    """Return whether `crop_flip` crops each image (B,), from its uniform numbers (B, 6)."""
    return uniform[:, 0] < CROP_PROBABILITY


def flip(raw: RawImages, size: SizeLike) -> Tensor:
    """Return images mirrored with probability 0.5; they must be stored in this size."""
    pixels = raw.pixels
    assert pixels.shape[1:3] == ImageSize.of(size), (pixels.shape, size)
    return to_float(torch.where((raw.uniform[:, 5] < 0.5)[:, None, None, None], pixels.flip(2), pixels))


def resize_crop_flip(raw: RawImages, size: SizeLike) -> Tensor:
    """Augment as the official code of CycleGAN and pix2pix: a random crop of a larger image, horizontal flip.

    The image is stored at 286/256 of the size, or at another size from the configuration. The crop begins at a whole
    pixel, all places equally probable. Two images with equal uniform numbers, as the two of a pair, are cropped and
    mirrored alike. An image of the final size is only mirrored. The official code resizes with Pillow's bicubic filter;
    here the resizing is bilinear and antialiased.
    """
    height, width = ImageSize.of(size)
    count, stored_height, stored_width = raw.pixels.shape[:3]
    assert stored_height >= height and stored_width >= width, (raw.pixels.shape, size)

    columns = _places(raw.uniform[:, 3:4], stored_width, width)
    rows = _places(raw.uniform[:, 4:5], stored_height, height)
    columns = torch.where(raw.uniform[:, 5:] < 0.5, columns.flip(1), columns)
    rows = rows + stored_height * torch.arange(count, device=rows.device)[:, None]
    numbers = (rows[:, :, None] * stored_width + columns[:, None, :]).flatten()
    return to_float(raw.pixels.reshape(-1, 3).index_select(0, numbers).view(count, height, width, 3))


def crop_turn(raw: RawImages, size: SizeLike) -> Tensor:
    """Augment for super-resolution: a crop at whole pixels, then one of the eight turns and mirrorings of a square.

    The image is stored with twice the height and width. All places and all eight are equally probable. An image that is
    not square is mirrored both ways and not turned.
    """
    height, width = ImageSize.of(size)
    count, stored_height, stored_width = raw.pixels.shape[:3]
    assert stored_height >= height and stored_width >= width, (raw.pixels.shape, size)
    columns = _places(raw.uniform[:, 3:4], stored_width, width)
    rows = _places(raw.uniform[:, 4:5], stored_height, height)
    kind = 7 - (raw.uniform[:, 5:] * 8).long().clamp(max=7)
    columns = torch.where(kind % 2 == 1, columns.flip(1), columns)
    rows = torch.where(kind // 2 % 2 == 1, rows.flip(1), rows)
    numbers = rows[:, :, None] * stored_width + columns[:, None, :]
    if height == width:
        numbers = torch.where((kind // 4 == 1)[:, :, None], numbers.transpose(1, 2), numbers)
    numbers = numbers + stored_height * stored_width * torch.arange(count, device=numbers.device)[:, None, None]
    return to_float(raw.pixels.reshape(-1, 3).index_select(0, numbers.flatten()).view(count, height, width, 3))


def _places(uniform: Tensor, stored: int, side: int) -> Tensor:
    """Return rows or columns (B, side) of crops at whole pixels, all equally probable, of uniform numbers (B, 1)."""
    room = stored - side
    start = (uniform * (room + 1)).long().clamp(max=room)  # rounding may have reached room + 1
    return start + torch.arange(side, device=uniform.device)


def identity(raw: RawImages, size: SizeLike) -> Tensor:
    """Return images without augmentation; they must be stored in this size."""
    images = to_float(raw.pixels)
    assert images.shape[2:] == ImageSize.of(size), (images.shape, size)
    return images


AUGMENTATIONS: dict[str, Callable[[RawImages, SizeLike], Tensor]] = {
    "crop_flip": crop_flip,
    "resize_crop_flip": resize_crop_flip,
    "flip": flip,
    "crop_turn": crop_turn,
    "none": identity,
}


def stored_sizes(
    augment: str, size: SizeLike, load_size: SizeLike | None = None, crop_until: int | None = None
) -> tuple[ImageSize, ...]:
    """Return the sizes at which training images are stored, the largest first.

    `crop_flip` has two: one for crops, large enough that no crop is enlarged, and the final one for whole images.
    ``load_size`` is the size of `resize_crop_flip`; None: `RESIZE_FACTOR` times ``size``. With ``crop_until`` it has
    the final size too.
    """
    final = ImageSize.of(size)
    if augment == "crop_turn":
        return (final.each(lambda side: 2 * side),)
    if augment == "crop_flip":  # the narrowest box
        return final.each(lambda side: 8 * math.ceil(side / math.sqrt(CROP_AREA[0] * CROP_RATIO[0]) / 8)), final
    if augment == "resize_crop_flip":
        scaled = final.each(lambda side: round(side * RESIZE_FACTOR))
        large = scaled if load_size is None else ImageSize.of(load_size)
        return (large,) if crop_until is None else (large, final)
    return (final,)


def which_size(sizes: tuple[ImageSize, ...], uniform: Tensor) -> Tensor:
    """Return the index (B,) in `stored_sizes` of the size that `crop_flip` takes, from uniform numbers (B, 6)."""
    return torch.zeros(len(uniform), dtype=torch.long) if len(sizes) == 1 else (~is_cropped(uniform)).long()
