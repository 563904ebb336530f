"""Distances between features of a pretrained network."""

from collections.abc import Sequence

import torch
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


@LOSSES.register("feature_mse")
def feature_mse(prediction: Tensor | Sequence[Tensor], target: Tensor | Sequence[Tensor]) -> Tensor:
    """Return ``sum_l E[(f_l - g_l)^2]`` of feature maps f, g (B, C, s, s), of one layer or of several (SRGAN, eq. 5).

    >>> import torch
    >>> f, g = torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    >>> feature_mse(f, g).item(), feature_mse([f, 3 * f], [g, g]).item()
    (1.0, 10.0)
    """
    maps, others = ([each] if isinstance(each, Tensor) else each for each in (prediction, target))
    distances = [F.mse_loss(precise(one), precise(other)) for one, other in zip(maps, others, strict=True)]
    return torch.stack(distances).sum()
