"""Losses of the labels that a discriminator predicts.

Letters: B batch, K labels, p_k predicted probability of label k, y_k the label, 0 or 1.
"""

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("attribute_cross_entropy")
def attribute_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross-entropy of attributes: the sum over attributes, the mean over the batch.

    ``L_cls = E[-sum_k (y_k log p_k + (1 - y_k) log(1 - p_k))]`` (StarGAN v1, eq. 2) with ``p = sigmoid(logits)``.
    ``logits`` (B, K), ``labels`` (B, K) float, 0 or 1, any number of them 1. The sum over attributes, as in the
    official code, gives data sets with more attributes a larger loss.

    >>> import torch
    >>> round(attribute_cross_entropy(torch.zeros(4, 5), torch.ones(4, 5)).item(), 4)
    3.4657
    """
    return F.binary_cross_entropy_with_logits(precise(logits), labels, reduction="sum") / len(logits)


@LOSSES.register("class_cross_entropy")
def class_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of classes, the mean over the batch.

    ``L_cls = E[-sum_k y_k log p_k]`` (StarGAN v1, eq. 2) with ``p = softmax(logits)``. ``logits`` (B, K), ``labels``
    (B, K) float, one-hot.

    >>> import torch
    >>> round(class_cross_entropy(torch.zeros(3, 8), torch.eye(8)[:3]).item(), 4)
    2.0794
    """
    return F.cross_entropy(precise(logits), labels)
