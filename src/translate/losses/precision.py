"""In which precision losses are computed, whatever the networks are computed in."""

import torch
from torch import Tensor


def precise(x: Tensor) -> Tensor:
    """Return a tensor in float32 if it has fewer bits, else as it is.

    Under autocast networks give 16-bit logits and gradients, of which a mean or a square would lose what training is
    after.

    >>> [precise(torch.zeros(1, dtype=dtype)).dtype for dtype in (torch.bfloat16, torch.float64)]
    [torch.float32, torch.float64]
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
