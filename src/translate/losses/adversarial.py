"""Adversarial losses on logits.

An adversarial loss is an object with three methods: the discriminator's loss on real images, the discriminator's loss
on fake images, and the generator's loss. Each returns the mean over all logits, in float32 at least.

Letters: D discriminator, G generator, x real image, E mean over the logits of a batch.
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


class AdversarialLoss(Protocol):
    """The interface of a loss in the slot ``adversarial`` of a model."""

    def real(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss for the logits (any shape) of real images."""
        ...

    def fake(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss for the logits (any shape) of fake images."""
        ...

    def generator(self, logits: Tensor) -> Tensor:
        """Return the generator's loss for the logits (any shape) of its fake images."""
        ...


@LOSSES.register("non_saturating")
class NonSaturating:
    """Cross-entropy, non-saturating for the generator (Goodfellow et al. 2014, section 3; StarGAN v2, eq. 1).

    ``L_D = E[softplus(-D(x))] + E[softplus(D(G))]`` and ``L_G = E[softplus(-D(G))]``, where
    ``softplus(-D) = -log sigmoid(D)``. The official code of pix2pix calls this loss vanilla.

    >>> import torch
    >>> round(NonSaturating().real(torch.zeros(1)).item(), 4)
    0.6931
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``E[softplus(-D(x))]``."""
        return F.softplus(-precise(logits)).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[softplus(D(G))]``."""
        return F.softplus(precise(logits)).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``E[softplus(-D(G))]``."""
        return F.softplus(-precise(logits)).mean()


@LOSSES.register("least_squares")
class LeastSquares:
    """Squared distances to 1 for real and 0 for fake images (LSGAN, Mao et al. 2017, eq. 9; CycleGAN, section 4).

    ``L_D = E[(D(x) - 1)^2] + E[D(G)^2]`` and ``L_G = E[(D(G) - 1)^2]``. The papers' factor 1/2 of L_D is set by the
    weights of its terms.

    >>> import torch
    >>> logits = torch.tensor([1.0, 3.0])
    >>> [side(logits).item() for side in (LeastSquares().real, LeastSquares().fake, LeastSquares().generator)]
    [2.0, 5.0, 2.0]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``E[(D(x) - 1)^2]``."""
        return (precise(logits) - 1).square().mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[D(G)^2]``."""
        return precise(logits).square().mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``E[(D(G) - 1)^2]``."""
        return (precise(logits) - 1).square().mean()


@LOSSES.register("wasserstein")
class Wasserstein:
    """Scores of a critic, without a squashing function (Arjovsky et al. 2017, eq. 2; StarGAN v1, eq. 8).

    ``L_D = -E[D(x)] + E[D(G)]`` and ``L_G = -E[D(G)]``. This loss needs a gradient penalty on the critic.

    >>> import torch
    >>> scores = torch.tensor([1.0, 3.0])
    >>> [side(scores).item() for side in (Wasserstein().real, Wasserstein().fake, Wasserstein().generator)]
    [-2.0, 2.0, -2.0]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``-E[D(x)]``."""
        return -precise(logits).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[D(G)]``."""
        return precise(logits).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``-E[D(G)]``."""
        return -precise(logits).mean()
