"""What a discriminator pays for the labels that it reads in images."""

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("attribute_cross_entropy")
def attribute_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross-entropy of attributes, summed over them, the mean over the batch (StarGAN v1, eq. 2).

    ``logits`` (B, K), ``labels`` (B, K) of 0 and 1, float: any number of attributes holds. The published code sums over
    attributes, so that more of them weigh more.

    >>> import torch
    >>> round(attribute_cross_entropy(torch.zeros(4, 5), torch.ones(4, 5)).item(), 4)
    3.4657
    """
    return F.binary_cross_entropy_with_logits(precise(logits), labels, reduction="sum") / len(logits)


@LOSSES.register("class_cross_entropy")
def class_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of classes, the mean over the batch (StarGAN v1, eq. 2).

    ``logits`` (B, K), ``labels`` (B, K) one-hot, float: one class holds.

    >>> import torch
    >>> round(class_cross_entropy(torch.zeros(3, 8), torch.eye(8)[:3]).item(), 4)
    2.0794
    """
    return F.cross_entropy(precise(logits), labels)
