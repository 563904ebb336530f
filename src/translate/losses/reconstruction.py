"""Distances between images or codes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("l1")
def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ``E[|prediction - target|]``, the mean over all elements of two tensors of one shape.

    >>> import torch
    >>> l1(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item()
    1.5
    """
    return F.l1_loss(precise(prediction), precise(target))


@LOSSES.register("l2")
def l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ``E[(prediction - target)^2]``, the mean over all elements of two tensors of one shape.

    >>> import torch
    >>> l2(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item()
    2.5
    """
    return F.mse_loss(precise(prediction), precise(target))


@LOSSES.register("masked_l2")
def masked_l2(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return ``sum_ij M_ij (prediction - target)_ij^2 / sum_ij M_ij``, the mean over channels and over the batch.

    ``mask`` M (H, W) weighs the places of two tensors (B, C, H, W), so the loss does not grow with a region.

    >>> import torch
    >>> mask = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> masked_l2(torch.tensor([[[[1.0, 9.0], [3.0, 9.0]]]]), torch.zeros(1, 1, 2, 2), mask).item()
    5.0
    """
    squares = (precise(prediction) - precise(target)).square()
    return (squares.mean((0, 1)) * mask).sum() / mask.sum()


@LOSSES.register("cosine")
def cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ``E[1 - cos(prediction, target)]`` of two tensors (B, ...), the mean over the batch.

    >>> import torch
    >>> cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [0.0, 1.0]])).item()
    0.5
    """
    return (1 - F.cosine_similarity(precise(prediction).flatten(1), precise(target).flatten(1))).mean()


@LOSSES.register("norm")
def norm(prediction: Tensor, target: Tensor, order: float = 2.0) -> Tensor:
    """Return ``E |prediction - target|_p`` of two tensors (B, ...): a norm for each item, not its square.

    ``order`` is p: 2 takes the root of the sum of squares over all elements of an item, 1 the sum of absolute
    differences. The mean is over the batch. So the loss grows with the number of elements.

    >>> import torch
    >>> x, y = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(2, 2)
    >>> norm(x, y).item(), norm(x, y, order=1).item()
    (2.5, 3.5)
    """
    difference = (precise(prediction) - precise(target)).flatten(1)
    return torch.linalg.vector_norm(difference, order, dim=1).mean()


@LOSSES.register("smooth_l1")
def smooth_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ``E[h(prediction - target)]``, ``h(d) = d^2 / 2`` where ``|d| < 1`` and ``|d| - 1/2`` elsewhere.

    The mean is over all elements of two tensors of one shape (Huber 1964; Girshick, ICCV 2015).

    >>> import torch
    >>> smooth_l1(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 4.0])).item()  # (0.125 + 1.5) / 2
    0.8125
    """
    # the same number; unlike smooth_l1_loss, its backward pass needs no memory for a second gradient
    return F.huber_loss(precise(prediction), precise(target))
