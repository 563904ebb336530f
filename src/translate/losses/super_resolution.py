"""Losses between enlarged images and true ones, by values in [0, 1] as in the code of the field.

Images are in [-1, 1] here, so squared differences are divided by 4.
"""

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("pixel_mse")
def pixel_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ``E[(y - x)^2]`` of images y, x (B, C, H, W) with values scaled to [0, 1] (SRGAN, eq. 4).

    >>> import torch
    >>> pixel_mse(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -1.0])).item()
    0.5
    """
    return F.mse_loss(precise(prediction), precise(target)) / 4


@LOSSES.register("mean_squared_variation")
def mean_squared_variation(images: Tensor) -> Tensor:
    """Return ``2 (E[(x_{i+1,j} - x_ij)^2] + E[(x_{i,j+1} - x_ij)^2])`` of images (B, C, H, W) scaled to [0, 1].

    It is the total variation of leftthomas/SRGAN.

    >>> import torch
    >>> mean_squared_variation(torch.tensor([[[[-1.0, 1.0], [-1.0, 1.0]]]])).item()
    2.0
    """
    x = precise(images)
    down, right = x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]
    return (down.square().mean() + right.square().mean()) / 2
