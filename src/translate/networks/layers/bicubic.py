"""Bicubic resampling by a whole factor, as the protocols of super-resolution make low-resolution images.

The filter is ``k(t) = 1.5 |t|^3 - 2.5 |t|^2 + 1`` for |t| <= 1 and ``-0.5 |t|^3 + 2.5 |t|^2 - 4 |t| + 2`` for |t| <= 2
(Keys with a = -0.5). To reduce by s it is stretched to ``k(t / s) / s``, so it does not alias, as in MATLAB's imresize
and in Pillow. Weights that fall outside of the image are left out and the rest is scaled to 1, as in Pillow; MATLAB
reflects the image instead, so the 2 s pixels at the border differ from it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def reduce(images: Tensor, scale: int) -> Tensor:
    """Return images (B, C, H / s, W / s), antialiased, of images (B, C, H, W) whose sides are multiples of s.

    Values may leave the range of the input by some per cent, where the filter overshoots.
    """
    height, width = images.shape[2:]
    assert height % scale == 0, (height, scale)
    assert width % scale == 0, (width, scale)
    return _resampled(images, height // scale, width // scale)


def enlarge(images: Tensor, scale: int) -> Tensor:
    """Return images (B, C, s H, s W) of images (B, C, H, W): the baseline of super-resolution."""
    return _resampled(images, images.shape[2] * scale, images.shape[3] * scale)


def _resampled(images: Tensor, height: int, width: int) -> Tensor:
    # without antialias torch has a = -0.75
    exact = images if images.dtype == torch.float64 else images.float()
    return F.interpolate(exact, size=(height, width), mode="bicubic", antialias=True).to(images.dtype)
