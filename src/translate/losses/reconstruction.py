"""Distances between images or codes."""

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
