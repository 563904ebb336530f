"""Distances between features of a pretrained network."""

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.networks.layers.normalization import instance_norm
from translate.registry.registry import LOSSES


@LOSSES.register("normalized_feature_distance")
def normalized_feature_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ``E[(n(f) - n(g))^2]`` of two feature maps f, g (B, C, s, s), n instance normalisation (MUNIT, eq. 12).

    The normalisation takes away mean and deviation of each channel of each image, which carry the style.

    >>> import torch
    >>> f = torch.arange(8.0).view(1, 2, 2, 2)
    >>> normalized_feature_distance(f, 3 * f + 1).item() < 1e-9, normalized_feature_distance(f, -f).item() > 3.9
    (True, True)
    """
    return F.mse_loss(instance_norm(precise(prediction)), instance_norm(precise(target)))
