"""Augmentation: where boxes lie, what is cut out of them, and that nothing drawn changes nothing."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from translate.data.batches import RawImages
from translate.data.transforms import (
    AUGMENTATIONS,
    CROP_AREA,
    CROP_PROBABILITY,
    CROP_RATIO,
    NUM_UNIFORMS,
    crop_box,
    crop_flip,
    flip,
    identity,
    resize_crop_flip,
    resize_weights,
    sample_box,
    stored_sizes,
    to_float,
    which_size,
)


def uniforms(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, NUM_UNIFORMS, generator=torch.Generator().manual_seed(seed))


def noise(count: int, side: int, seed: int = 0) -> Tensor:
    """Return (count, side, side, 3) uint8."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, side, side, 3), generator=draws, dtype=torch.uint8)


def smooth(side: int) -> Tensor:
    """Return an image (1, 3, side, side) of slow waves in [-1, 1], the same picture at every side."""
    line = (torch.arange(side) + 0.5) / side
    waves = [torch.sin(2 * math.pi * (a * line[None, :] + b * line[:, None])) for a, b in ((1, 0.5), (0.3, 1), (1, 1))]
    return torch.stack(waves)[None]


def test_to_float_maps_bytes_onto_minus_one_to_one() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3, 1).T.reshape(1, 16, 16, 3)
    images = to_float(pixels)
    assert images.shape == (1, 3, 16, 16)
    assert images.dtype == torch.float32
    assert (images.min().item(), images.max().item()) == (-1.0, 1.0)
    wanted = np.arange(256).reshape(16, 16) / 127.5 - 1
    assert torch.allclose(images[0, 1], torch.from_numpy(wanted).float(), atol=1e-7)


def test_to_float_keeps_its_input() -> None:
    pixels = noise(2, 8)
    before = pixels.clone()
    to_float(pixels)
    assert pixels.equal(before)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=NUM_UNIFORMS, max_size=NUM_UNIFORMS))
def test_boxes_lie_in_the_image(numbers) -> None:
    left, top, width, height = crop_box(torch.tensor([numbers]))[0].tolist()
    assert min(left, top) >= 0
    assert max(left + width, top + height) <= 1 + 1e-6
    assert CROP_AREA[0] * 0.999 <= width * height <= 1.001
    assert CROP_RATIO[0] * 0.999 <= width / height <= CROP_RATIO[1] * 1.001


def published_boxes(count: int) -> np.ndarray:
    """Draw boxes (count, 4) as the published loader does: area and log-ratio uniform, redrawn until the box fits."""
    draws = np.random.default_rng(0)
    area = draws.uniform(*CROP_AREA, 2 * count)
    ratio = np.exp(draws.uniform(*np.log(CROP_RATIO), 2 * count))
    width, height = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fits = np.flatnonzero((width <= 1) & (height <= 1))[:count]
    assert len(fits) == count
    width, height = width[fits], height[fits]
    left, top = draws.uniform(0, 1, count) * (1 - width), draws.uniform(0, 1, count) * (1 - height)
    return np.stack([left, top, width, height], axis=1)


def test_half_of_the_images_are_cropped() -> None:
    sizes = stored_sizes("crop_flip", 32)
    cropped = (which_size(sizes, uniforms(40_000)) == 0).float().mean().item()
    assert abs(cropped - CROP_PROBABILITY) < 5 * math.sqrt(0.25 / 40_000)


def test_boxes_have_the_published_distribution() -> None:
    count = 60_000
    uniform = uniforms(count)
    uniform[:, 0] = 0.0
    found, wanted = crop_box(uniform).double().numpy(), published_boxes(count)

    def figures(boxes: np.ndarray) -> dict[str, np.ndarray]:
        left, top, width, height = boxes.T
        return {
            "area": width * height,
            "log ratio": np.log(width / height),
            "width": width,
            "height": height,
            "left": left,
            "top": top,
            "right": 1 - left - width,
        }

    for (name, ours), theirs in zip(figures(found).items(), figures(wanted).values(), strict=True):
        edges = np.quantile(theirs, np.linspace(0.02, 0.98, 25))
        shares = [(values[:, None] < edges).mean(0) for values in (ours, theirs)]
        distance = np.abs(shares[0] - shares[1]).max()  # Kolmogorov and Smirnov's; 1.95 is exceeded once in 1,000
        assert distance < 1.95 * math.sqrt(2 / count), (name, distance, ours.mean(), theirs.mean())


@pytest.mark.parametrize("side", [16, 32, 64, 96])
def test_the_whole_box_is_the_image(side: int) -> None:
    images = to_float(noise(3, side))
    box = torch.tensor([[0.0, 0.0, side, side]] * 3)
    assert sample_box(images, box, torch.zeros(3, dtype=torch.bool), side).equal(images)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_nothing_drawn_is_the_picture_itself(name: str) -> None:
    pixels = noise(3, 32)
    nothing = torch.full((3, NUM_UNIFORMS), 0.99)  # no crop, no flip
    found = AUGMENTATIONS[name](RawImages(pixels, nothing), 32)
    assert found.equal(to_float(pixels))


@pytest.mark.parametrize("augmentation", [flip, crop_flip])
def test_flip_mirrors_left_and_right(augmentation) -> None:
    pixels = noise(2, 32)
    uniform = torch.tensor([[0.99] * 5 + [0.0], [0.99] * 5 + [0.99]])
    found, images = augmentation(RawImages(pixels, uniform), 32), to_float(pixels)
    assert found[0].equal(images[0].flip(2))
    assert found[1].equal(images[1])


def test_half_of_the_images_are_flipped() -> None:
    pixels = noise(1, 8).expand(4_000, 8, 8, 3)
    images = to_float(pixels)
    flipped = (flip(RawImages(pixels, uniforms(4_000)), 8) != images).flatten(1).any(1).float().mean().item()
    assert abs(flipped - 0.5) < 5 * math.sqrt(0.25 / 4_000)


def test_a_flipped_box_is_the_mirror_of_the_box() -> None:
    images = to_float(noise(4, 40))
    boxes = 40 * crop_box(uniforms(4))
    straight = sample_box(images, boxes, torch.zeros(4, dtype=torch.bool), 32)
    mirrored = sample_box(images, boxes, torch.ones(4, dtype=torch.bool), 32)
    assert torch.allclose(straight.flip(3), mirrored, atol=1e-3)


@pytest.mark.parametrize(("left", "top", "width", "height"), [(0, 0, 60, 60), (7, 3, 64, 60), (10, 12, 62, 60)])
def test_a_box_is_the_resized_crop(left: int, top: int, width: int, height: int) -> None:
    side, size = 72, 48
    images = to_float(noise(1, side))
    box = torch.tensor([[left, top, width, height]])
    found = sample_box(images, box, torch.tensor([False]), size)
    crop = images[:, :, top : top + height, left : left + width]
    wanted = F.interpolate(crop, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    inner = (..., slice(3, -3), slice(3, -3))  # at its edge a box sees the pixels beside it, a crop sees its own
    assert torch.allclose(found[inner], wanted[inner].clamp(-1, 1), atol=1e-5)


def test_a_box_is_nearly_what_pillow_resizes() -> None:
    side, size = 72, 64
    pixels = ((smooth(side)[0].permute(1, 2, 0) + 1) * 127.5).round().byte()
    box = (5.0, 2.0, 67.0, 66.0)
    theirs = Image.fromarray(pixels.numpy()).resize((size, size), Image.Resampling.BICUBIC, box=box)
    place = torch.tensor([[box[0], box[1], box[2] - box[0], box[3] - box[1]]])
    ours = sample_box(to_float(pixels[None]), place, torch.tensor([False]), size)
    difference = (ours - to_float(torch.from_numpy(np.array(theirs))[None])).abs()
    assert difference[..., 2:-2, 2:-2].max() < 0.01  # 8 bits, and Pillow's box ends at the edge of the image
    assert difference.mean() < 0.004


def test_a_box_shows_that_part_of_the_world() -> None:
    """A box of a picture shows what the picture's formula says of these places."""
    box = 256 * torch.tensor([[0.1, 0.05, 0.85, 0.9]])
    found = sample_box(smooth(256), box, torch.tensor([False]), 64)
    x = 0.1 + 0.85 * (torch.arange(64) + 0.5) / 64
    y = 0.05 + 0.9 * (torch.arange(64) + 0.5) / 64
    assert torch.allclose(found[0, 0], torch.sin(2 * math.pi * (x[None, :] + 0.5 * y[:, None])), atol=2e-3)


def test_an_image_is_augmented_by_its_own_chances_alone() -> None:
    pixels, uniform = noise(5, 40), uniforms(5)
    whole = crop_flip(RawImages(pixels, uniform), 32)
    order = torch.tensor([3, 1, 4])
    assert torch.allclose(crop_flip(RawImages(pixels[order], uniform[order]), 32), whole[order], atol=1e-5)
    assert whole.shape == (5, 3, 32, 32)
    assert whole.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("augmentation", [identity, flip])
def test_a_wrong_stored_size_is_our_mistake(augmentation) -> None:
    with pytest.raises(AssertionError):
        augmentation(RawImages(noise(1, 40), uniforms(1)), 32)


# The augmentation of CycleGAN and pix2pix


@pytest.mark.parametrize(("size", "side"), [(256, 286), (128, 143), (64, 72), (512, 572)])
def test_a_larger_picture_is_stored_as_published(size: int, side: int) -> None:
    assert stored_sizes("resize_crop_flip", size) == ((side, side),)
    assert stored_sizes("resize_crop_flip", size, crop_until=9) == ((side, side), (size, size))
    assert stored_sizes("flip", size, crop_until=9) == ((size, size),)


def test_a_crop_is_a_part_of_the_picture_to_the_pixel() -> None:
    pixels, uniform = noise(20, 40), uniforms(20)
    found, images = resize_crop_flip(RawImages(pixels, uniform), 32), to_float(pixels)
    assert found.shape == (20, 3, 32, 32)
    for image, numbers, crop in zip(images, uniform.tolist(), found, strict=True):
        left, top = int(numbers[3] * 9), int(numbers[4] * 9)
        wanted = image[:, top : top + 32, left : left + 32]
        assert crop.equal(wanted.flip(2) if numbers[5] < 0.5 else wanted)


def test_every_place_of_a_crop_is_as_likely() -> None:
    count, places = 20_000, 6
    ramp = torch.arange(13).repeat(13, 1)  # pixel values are columns; the other two channels rows
    pixels = torch.stack([ramp, ramp.T, ramp.T], dim=2).byte()[None].expand(count, 13, 13, 3)
    uniform = uniforms(count)
    uniform[:, 5] = 0.9
    corner = ((resize_crop_flip(RawImages(pixels, uniform), 8)[:, :2, 0, 0] + 1) * 127.5).round().long()
    cells = torch.bincount(corner[:, 0] * places + corner[:, 1], minlength=places**2).double()
    assert len(cells) == places**2
    chi_square = ((cells - count / places**2) ** 2 / (count / places**2)).sum().item()
    assert chi_square < 35 + 5 * math.sqrt(2 * 35)


def test_the_last_place_of_a_crop_is_inside() -> None:
    pixels = noise(2, 286)
    uniform = torch.full((2, NUM_UNIFORMS), np.nextafter(np.float32(1), np.float32(0)).item())
    assert resize_crop_flip(RawImages(pixels, uniform), 256).equal(to_float(pixels)[:, :, 30:, 30:])


def test_the_pictures_of_a_pair_are_cropped_alike() -> None:
    pixels, uniform = noise(8, 36), uniforms(8)
    inverted = resize_crop_flip(RawImages(255 - pixels, uniform), 32)
    assert torch.allclose(resize_crop_flip(RawImages(pixels, uniform), 32), -inverted, atol=1e-6)


def test_a_picture_that_is_too_small_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        resize_crop_flip(RawImages(noise(1, 24), uniforms(1)), 32)


def test_a_whole_image_is_the_first_corner() -> None:
    """An image that is not cropped is stored at its final size, so that it is resized once."""
    pixels, uniform = noise(2, 40), torch.full((2, NUM_UNIFORMS), 0.99)
    assert crop_flip(RawImages(pixels, uniform), 32).equal(to_float(pixels[:, :32, :32]))


def test_weights_of_a_resize_are_those_of_the_library() -> None:
    for start, extent, stored, side in ((0.0, 40.0, 40, 32), (0.0, 24.0, 24, 32), (0.0, 80.0, 80, 32)):
        weights = resize_weights(torch.tensor([start]), torch.tensor([extent]), stored, side)[0]
        assert torch.allclose(weights.sum(1), torch.ones(side))
        impulses = torch.eye(stored)[None, None]  # column j of each row is the response to an impulse at pixel j
        wanted = F.interpolate(impulses, size=(side, stored), mode="bicubic", antialias=True, align_corners=False)
        assert torch.allclose(weights, wanted[0, 0], atol=1e-5)


def details(images: Tensor) -> float:
    """Return the mean squared difference of neighbours."""
    return sum(images.diff(dim=dim).square().mean().item() for dim in (2, 3))


@pytest.mark.parametrize("size", [32, 64])
def test_crops_are_as_sharp_as_those_of_the_official_loader(size: int) -> None:
    """Against a crop of the file, resized once by Pillow's bilinear filter."""
    source = np.random.default_rng(0).normal(size=(8 * size, 8 * size, 3)).astype(np.float32)
    for axis in (0, 1):  # details of all scales, as photographs have
        source = np.cumsum(source, axis=axis)
        source -= source.mean(axis=axis, keepdims=True)
    file = Image.fromarray(np.clip(127.5 + 40 * source / source.std(), 0, 255).astype(np.uint8))
    side = stored_sizes("crop_flip", size)[0].height
    stored = torch.from_numpy(np.array(file.resize((side, side), Image.Resampling.BILINEAR)))[None]
    left, top, width, height = size // 2, size // 4, 7 * size, 7.5 * size
    official = file.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BILINEAR)
    box = torch.tensor([[left, top, width, height]]) * side / file.width
    crop, wanted = (
        sample_box(to_float(stored), box, torch.tensor([False]), size),
        to_float(torch.from_numpy(np.array(official))[None]),
    )
    assert 0.9 < details(crop) / details(wanted) < 1.1
    assert (crop - wanted).square().mean().sqrt() < 0.02


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
def test_stored_size_enlarges_no_crop(size: int) -> None:
    side = stored_sizes("crop_flip", size)[0].height
    uniform = uniforms(20_000, seed=size)
    uniform[:, 0] = 0
    uniform[:200, 1] = 0  # the smallest area
    uniform[:100, 2], uniform[100:200, 2] = 0, 1 - 1e-6
    smallest = (crop_box(uniform)[:, 2:] * side).min().item()
    assert smallest >= size - 1e-3, (side, smallest)
    assert side <= 1.3 * size + 8  # nor is much stored that nobody looks at
    assert stored_sizes("crop_flip", size)[1:] == stored_sizes("none", size) == stored_sizes("flip", size)
    assert stored_sizes("none", size) == ((size, size),)


# Images that are not square


def upright(count: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8))


def test_sides_are_stored_each_by_its_own_rule() -> None:
    assert stored_sizes("resize_crop_flip", [256, 128]) == ((286, 143),)
    assert stored_sizes("resize_crop_flip", [256, 128], [288, 144]) == ((288, 144),)
    assert stored_sizes("flip", [256, 128]) == stored_sizes("none", (256, 128)) == ((256, 128),)
    crops, whole = stored_sizes("crop_flip", [64, 32])
    assert crops == (stored_sizes("crop_flip", 64)[0].height, stored_sizes("crop_flip", 32)[0].width)
    assert whole == (64, 32)


def test_a_crop_that_is_not_square_is_a_part_of_the_image_to_the_pixel() -> None:
    pixels, uniform = upright(40, 36, 18), uniforms(40)
    crops, images = resize_crop_flip(RawImages(pixels, uniform), [32, 16]), to_float(pixels)
    assert crops.shape == (40, 3, 32, 16)
    for image, numbers, crop in zip(images, uniform.tolist(), crops, strict=True):
        left, top = int(numbers[3] * 3), int(numbers[4] * 5)
        wanted = image[:, top : top + 32, left : left + 16]
        assert crop.equal(wanted.flip(2) if numbers[5] < 0.5 else wanted)


@pytest.mark.parametrize("augmentation", [identity, flip])
def test_images_that_are_not_square_are_mirrored_left_to_right(augmentation) -> None:
    pixels, uniform = upright(10, 32, 16), uniforms(10)
    images, wanted = augmentation(RawImages(pixels, uniform), [32, 16]), to_float(pixels)
    mirrored = (uniform[:, 5] < 0.5) & (augmentation is flip)
    assert images.equal(torch.where(mirrored[:, None, None, None], wanted.flip(3), wanted))
    with pytest.raises(AssertionError):
        augmentation(RawImages(upright(1, 16, 32), uniforms(1)), [32, 16])


def test_a_box_is_a_box_of_the_image_in_both_directions() -> None:
    """A quarter of an image, taken as it is stored, is the same pixels."""
    images = to_float(upright(1, 32, 16))
    corner = sample_box(images, torch.tensor([[8.0, 16.0, 8.0, 16.0]]), torch.tensor([False]), [16, 8])
    assert corner.equal(images[:, :, 16:, 8:])
