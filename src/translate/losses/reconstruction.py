"""Distances between images or codes."""

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("l1")
def l1(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute difference over all elements of two tensors of one shape.

    >>> import torch
    >>> l1(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item()
    1.5
    """
    return F.l1_loss(precise(found), precise(wanted))
