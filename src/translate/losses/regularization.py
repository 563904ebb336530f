"""Regularization of latent codes and of images."""

from typing import Literal

from torch import Tensor

from translate.errors import UserError
from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("code_energy")
def code_energy(code: Tensor) -> Tensor:
    """Return ``E[z^2]``, the mean over all elements of codes z of any shape (UNIT).

    The divergence of a normal distribution with mean z and deviation 1 from the standard normal one is ``z^2 / 2``.

    >>> import torch
    >>> code_energy(torch.tensor([1.0, 3.0])).item()
    5.0
    """
    return precise(code).square().mean()


@LOSSES.register("total_variation")
def total_variation(
    images: Tensor,
    form: Literal["euclidean", "absolute"] = "euclidean",
    channels: Literal["sum", "mean"] = "sum",
) -> Tensor:
    """Return the total variation of images (B, C, H, W): the sum over positions, the mean over the batch.

    "euclidean": ``sum_ij sqrt((z_{i,j+1} - z_ij)^2 + (z_{i+1,j} - z_ij)^2 + 1e-12)`` (DTN, eq. 6 with B = 1), without
    the last row and column. "absolute": ``sum_ij |z_{i,j+1} - z_ij| + sum_ij |z_{i+1,j} - z_ij|``. ``channels`` are
    summed, or averaged, so that three equal channels count as one. The sum over positions grows with the image size,
    and so does what a weight means.

    >>> import torch
    >>> z = torch.tensor([[[[0.0, 4.0], [3.0, 9.0]]]])
    >>> round(total_variation(z).item(), 4), total_variation(z, "absolute").item()
    (5.0, 18.0)
    >>> round(total_variation(z.expand(-1, 3, -1, -1), channels="mean").item(), 4)
    5.0
    """
    if form not in ("euclidean", "absolute"):
        raise UserError(key="form", found=form, expected="'euclidean' or 'absolute'")
    if channels not in ("sum", "mean"):
        raise UserError(key="channels", found=channels, expected="'sum' or 'mean'")
    z = precise(images)
    right, down = z[..., 1:] - z[..., :-1], z[..., 1:, :] - z[..., :-1, :]
    if form == "euclidean":
        lengths = (right[..., :-1, :].square() + down[..., :-1].square() + 1e-12).sqrt()
        variation = lengths.sum((2, 3))
    else:
        variation = right.abs().sum((2, 3)) + down.abs().sum((2, 3))
    return (variation.sum(1) if channels == "sum" else variation.mean(1)).mean()


@LOSSES.register("squared_variation")
def squared_variation(x: Tensor) -> Tensor:
    """Return ``1/2 sum_ij (x_{i+1,j} - x_ij)^2 + (x_{i,j+1} - x_ij)^2``, the mean over images (B, C, H, W).

    The sum is over channels and over places that have both neighbours. Its gradient is that of the total variation in
    the official code of Johnson et al.

    >>> import torch
    >>> squared_variation(torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]])).item()
    2.5
    """
    x = precise(x)
    corner = x[..., :-1, :-1]
    down, right = x[..., 1:, :-1] - corner, x[..., :-1, 1:] - corner
    return 0.5 * (down.square() + right.square()).sum() / len(x)


@LOSSES.register("mean_variation")
def mean_variation(x: Tensor) -> Tensor:
    """Return ``E|x_{i,j+1} - x_ij| + E|x_{i+1,j} - x_ij|``, means over images (B, C, H, W), channels and places.

    This is the absolute total variation for each pixel, so a weight means the same at any image size.

    >>> import torch
    >>> mean_variation(torch.tensor([[[[0.0, 4.0], [3.0, 9.0]]]])).item()  # (4 + 6) / 2 + (3 + 5) / 2
    9.0
    """
    x = precise(x)
    return (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()
