"""Two-sided adversarial losses on logits.

A two-sided loss is one object with three methods: what the discriminator pays on real and on fake images, and what the
generator pays. Each returns the mean over all logits, in float32 at least.
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


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

    Real ``softplus(-D(x))``, fake ``softplus(D(G))``, generator ``softplus(-D(G))``. The code of pix2pix calls it
    vanilla.

    >>> import torch
    >>> round(NonSaturating().real(torch.zeros(1)).item(), 4)
    0.6931
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return the mean of ``softplus(-logits)``."""
        return F.softplus(-precise(logits)).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return the mean of ``softplus(logits)``."""
        return F.softplus(precise(logits)).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return the mean of ``softplus(-logits)``."""
        return F.softplus(-precise(logits)).mean()


@LOSSES.register("least_squares")
class LeastSquares:
    """Squared distances to 1 for real and 0 for fake (LSGAN, Mao et al. 2017, eq. 9; CycleGAN, section 4).

    Real ``(D(x) - 1)^2``, fake ``D(G)^2``, generator ``(D(G) - 1)^2``. The factor 1/2 of what a discriminator pays is
    its terms' weight.

    >>> import torch
    >>> logits = torch.tensor([1.0, 3.0])
    >>> [side(logits).item() for side in (LeastSquares().real, LeastSquares().fake, LeastSquares().generator)]
    [2.0, 5.0, 2.0]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return the mean of ``(logits - 1)^2``."""
        return (precise(logits) - 1).square().mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return the mean of ``logits^2``."""
        return precise(logits).square().mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return the mean of ``(logits - 1)^2``."""
        return (precise(logits) - 1).square().mean()


@LOSSES.register("wasserstein")
class Wasserstein:
    """A critic's scores as they are (Arjovsky et al. 2017, eq. 2; StarGAN v1, eq. 8): needs a gradient penalty.

    Real ``-D(x)``, fake ``D(G)``, generator ``-D(G)``.

    >>> import torch
    >>> scores = torch.tensor([1.0, 3.0])
    >>> [side(scores).item() for side in (Wasserstein().real, Wasserstein().fake, Wasserstein().generator)]
    [-2.0, 2.0, -2.0]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return the mean of ``-logits``."""
        return -precise(logits).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return the mean of ``logits``."""
        return precise(logits).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return the mean of ``-logits``."""
        return -precise(logits).mean()
