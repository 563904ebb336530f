"""Contrastive losses: features of corresponding places are drawn together, those of other places apart.

Letters: B batch, P places in a map of features, C features; s_ij the similarity of the i-th query and the j-th key.
"""

import torch
from torch import Tensor

from translate.losses.precision import precise
from translate.networks.layers.device import without_autocast
from translate.registry.registry import LOSSES

DIAGONAL = (
    -10.0
)  # the official code sets the positive among the negatives to this similarity, which makes its term tiny


@LOSSES.register("patch_nce")
def patch_nce(queries: Tensor, keys: Tensor, temperature: float = 0.07) -> Tensor:
    """Return the cross-entropy of finding the key of the same place among the keys of an image (CUT, eq. 3).

    ``L = -E_i[log(e^(s_ii / t) / (sum_j e^(s_ij / t) + e^(-10 / t)))]`` with ``s_ij = q_i . k_j``, ``temperature`` t
    and the mean over all places and images. Queries and keys are (B, P, C), of unit length in CUT. Negatives are those
    of the same image. The last term is a diagonal of the official code, smaller than any rounding at 0.07. Keys without
    gradients stay as they are. Source: Park et al., ECCV 2020, arXiv 2007.15651; InfoNCE of van den Oord et al. 2018.

    >>> import torch
    >>> places = torch.eye(2)[None]
    >>> round(patch_nce(places, places, temperature=1.0).item(), 4)  # log(e + 1 + e^-10) - 1
    0.3133
    """
    queries, keys = precise(queries), precise(keys)
    with without_autocast(queries):
        logits = torch.bmm(queries, keys.transpose(1, 2)) / temperature
    total = torch.logaddexp(logits.logsumexp(2), logits.new_tensor(DIAGONAL / temperature))
    return (total - logits.diagonal(dim1=1, dim2=2)).mean()
