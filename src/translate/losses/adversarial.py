"""Two-sided adversarial losses on logits.

A two-sided loss is one object with three methods: what the discriminator pays on real and on fake images, and what the
generator pays. Each returns the mean over all logits.
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from translate.registry import LOSSES


class AdversarialLoss(Protocol):
    """What a model asks of a loss in its ``adversarial`` slot."""

    def real(self, logits: Tensor) -> Tensor:
        """Return what the discriminator pays for the logits (any shape) of real images."""
        ...

    def fake(self, logits: Tensor) -> Tensor:
        """Return what the discriminator pays for the logits (any shape) of fake images."""
        ...

    def generator(self, logits: Tensor) -> Tensor:
        """Return what the generator pays for the logits (any shape) of its fake images."""
        ...


@LOSSES.register("non_saturating")
class NonSaturating:
    """Cross-entropy with the generator's target flipped (Goodfellow et al. 2014, section 3; StarGAN v2, eq. 1).

    Real ``softplus(-D(x))``, fake ``softplus(D(G))``, generator ``softplus(-D(G))``.

    >>> import torch
    >>> round(NonSaturating().real(torch.zeros(1)).item(), 4)
    0.6931
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return the mean of ``softplus(-logits)``."""
        return F.softplus(-logits).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return the mean of ``softplus(logits)``."""
        return F.softplus(logits).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return the mean of ``softplus(-logits)``."""
        return F.softplus(-logits).mean()
