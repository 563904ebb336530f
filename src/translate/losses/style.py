"""Losses of neural style transfer (Gatys et al., CVPR 2016; Johnson et al., ECCV 2016, arXiv 1603.08155).

Letters: F the features of a layer as a matrix (C, M) with M = H W places. Three normalisations of the Gram matrix are
in use, and the weights of a recipe belong to one of them.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES

Divisor = Literal["places", "elements", "none"]


def gram_matrix(features: Tensor, divisor: Divisor = "places") -> Tensor:
    """Return the Gram matrices (B, C, C) ``G = F F^T / d`` of features (B, C, H, W).

    ``divisor`` d is "places" M (the notebook of Gatys et al.), "elements" C M (Johnson et al.), or "none", 1.

    >>> import torch
    >>> f = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]])
    >>> gram_matrix(f).tolist(), gram_matrix(f, "elements")[0, 1, 1].item()
    ([[[2.5, 3.0], [3.0, 4.5]]], 2.25)
    """
    features = precise(features)
    rows = features.flatten(2)
    divisors = {"places": rows.shape[2], "elements": rows.shape[1] * rows.shape[2], "none": 1}
    return rows @ rows.transpose(1, 2) / divisors[divisor]


@LOSSES.register("gram_distance")
def gram_distance(gram: Tensor, target: Tensor) -> Tensor:
    """Return ``E[(G - A)^2]`` of Gram matrices (B, C, C) and those of a style, (1, C, C) or (B, C, C).

    >>> import torch
    >>> gram_distance(torch.ones(2, 2, 2), torch.zeros(1, 2, 2)).item()
    1.0
    """
    return F.mse_loss(gram, target.expand_as(gram))
