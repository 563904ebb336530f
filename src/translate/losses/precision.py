"""The precision of losses, which does not depend on the precision of the networks."""

import torch
from torch import Tensor

from translate.errors import Phrase, UserError


def precise(x: Tensor) -> Tensor:
    """Return a 16-bit tensor as float32, and any other tensor unchanged; UserError for several tensors.

    Under autocast, networks return 16-bit logits and gradients. Their means and squares need more digits.

    >>> [precise(torch.zeros(1, dtype=dtype)).dtype for dtype in (torch.bfloat16, torch.float64)]
    [torch.float32, torch.float64]
    """
    if not isinstance(x, Tensor):
        raise UserError(
            "this loss is that of one map of logits",
            found=Phrase(f"{len(x)} maps, as of several scales"),
            fix="the loss 'multiscale', which adds up a loss of one map",
        )
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
