"""Real images with noise, by which a discriminator learns what grain is.

It rejects them as fake: negative data augmentation. Sinha et al. (ICLR 2021, arXiv 2102.05113) give a discriminator
spoilt real images as further fake ones, CartoonGAN (Chen et al., CVPR 2018) smoothed ones. A discriminator of a short
run hardly sees grain (docs/results.md, "Speckle"); this teaches it to, and the generator gets the gradient that takes
grain away.

Its classifier has to know their labels. The gradients of a classifier that was trained with noise point to what a label
looks like (Kaur, Cohen and Lipton, arXiv 1910.08640); one that was not accepts a pattern of single pixels.
"""

import math

import torch.nn.functional as F
from torch import Tensor

SMALLEST, LARGEST = 2 / 127.5, 24 / 127.5
"""The range of the noise's standard deviation, of images in [-1, 1]: 2 to 24 of 255 levels."""

LARGEST_FOR_LABELS = 48 / 127.5
"""The largest deviation where a classifier has to know the labels in spite of the noise."""

COARSE_SHARE = 0.35
"""The share of images whose noise is constant in blocks of 2 x 2 pixels; that of the others is different in each."""

NUM_DRAWS = 2
"""Uniform numbers an image: the deviation, and whether the noise is coarse."""


def with_noise(images: Tensor, noise: Tensor, draws: Tensor, largest: float = LARGEST) -> Tensor:
    """Return images (B, C, H, W) in [-1, 1] with noise, clamped to [-1, 1]: ``x + s n``.

    ``noise`` n is standard normal, of the images' shape. ``draws`` (B, 2) are uniform on [0, 1). The first number u
    gives the deviation ``s = a (b / a)^u`` with a = 2 / 127.5 and b = ``largest``. Below 0.35 the second one makes the
    noise coarse: the upper left quarter of n, each number in a block of 2 x 2 pixels.

    >>> import torch
    >>> x, n = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> (127.5 * with_noise(x, n, torch.tensor([[0.0, 0.5]]))).round().flatten()
    tensor([2., 4., 6., 8.])
    >>> (127.5 * with_noise(x, n, torch.tensor([[0.0, 0.1]]))).round().flatten()
    tensor([2., 2., 2., 2.])
    """
    draws = draws.to(images.device, images.dtype, non_blocking=True)
    height, width = images.shape[2:]
    quarter = noise[:, :, : (height + 1) // 2, : (width + 1) // 2]
    blocks = F.interpolate(quarter, scale_factor=2)[:, :, :height, :width]
    deviation = SMALLEST * (draws[:, 0] * math.log(largest / SMALLEST)).exp()
    is_coarse = (draws[:, 1] < COARSE_SHARE).to(images.dtype)
    scaled = noise.lerp(blocks, is_coarse[:, None, None, None]) * deviation[:, None, None, None]
    return (images + scaled).clamp(-1, 1)
