"""Adversarial losses on logits.

An adversarial loss is an object with three methods: the discriminator's loss on real images, the discriminator's loss
on fake images, and the generator's loss. Each returns the mean over all logits, in float32 at least.

Letters: D discriminator, G generator, x real image, E mean over the logits of a batch.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.losses.precision import precise
from translate.registry.registry import LOSSES

Logits = Tensor | Sequence[Tensor]
"""Logits of one map (B, ...), or of several maps, such as those of several scales."""


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


@LOSSES.register("probability_difference")
class ProbabilityDifference:
    """Differences of probabilities, without a logarithm (leftthomas/SRGAN).

    With ``P = sigmoid(D)``: ``L_D = 1 - E[P(x)] + E[P(G)]`` and ``L_G = 1 - E[P(G)]``. No paper has this loss.

    >>> import torch
    >>> logits = torch.zeros(1)
    >>> loss = ProbabilityDifference()
    >>> [side(logits).item() for side in (loss.real, loss.fake, loss.generator)]
    [0.5, 0.5, 0.5]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``1 - E[P(x)]``."""
        return 1 - precise(logits).sigmoid().mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[P(G)]``."""
        return precise(logits).sigmoid().mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``1 - E[P(G)]``."""
        return 1 - precise(logits).sigmoid().mean()


@LOSSES.register("multiscale")
class Multiscale:
    """Weighted sum of a loss over several maps of logits, such as those of several scales (UNIT, MUNIT, pix2pixHD).

    ``L = sum_s w_s L_s`` with ``L_s`` the ``loss``, the name of a registered adversarial loss, of map s. ``weights``
    are those of the maps (null: 1 each, so that maps are summed and not averaged). ``reduction`` is the one within a
    map: "mean" over all logits, or "sum" over the logits of an image and mean over the images, which does not depend on
    the number of processes. A single tensor counts as one map.

    >>> import torch
    >>> maps = [torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 1)]
    >>> [Multiscale("least_squares", reduction=name).generator(maps).item() for name in ("mean", "sum")]
    [1.0, 4.0]
    """

    def __init__(
        self,
        loss: str = "least_squares",
        weights: list[float] | None = None,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise UserError(key="reduction", found=reduction, expected="'mean' or 'sum'")
        single = LOSSES.get(loss)
        if not isinstance(single, type) or not hasattr(single, "generator") or issubclass(single, Multiscale):
            raise UserError(key="loss", found=loss, expected="an adversarial loss of one map, such as least_squares")
        instance: Any = single()
        self.loss: AdversarialLoss = instance
        self.weights = weights
        self.reduction = reduction

    def real(self, logits: Logits) -> Tensor:
        """Return ``sum_s w_s L_s`` of the discriminator's loss on real images."""
        return self._sum([self.loss.real(each) for each in self._maps(logits)], logits)

    def fake(self, logits: Logits) -> Tensor:
        """Return ``sum_s w_s L_s`` of the discriminator's loss on fake images."""
        return self._sum([self.loss.fake(each) for each in self._maps(logits)], logits)

    def generator(self, logits: Logits) -> Tensor:
        """Return ``sum_s w_s L_s`` of the generator's loss."""
        return self._sum([self.loss.generator(each) for each in self._maps(logits)], logits)

    def _maps(self, logits: Logits) -> Sequence[Tensor]:
        return [logits] if isinstance(logits, Tensor) else logits

    def _sum(self, losses: list[Tensor], logits: Logits) -> Tensor:
        """Return the weighted sum of the losses of all maps; UserError if there are not as many weights as maps."""
        weights = self._weights(len(losses))
        if len(weights) != len(losses):
            raise UserError(
                "a weight for each map of logits",
                key="weights",
                found=Phrase(f"{len(weights)} weights"),
                expected=f"{len(losses)}",
            )
        if self.reduction == "sum":
            maps = self._maps(logits)
            weights = [weight * each[0].numel() for weight, each in zip(weights, maps, strict=True)]
        return torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum()

    def _weights(self, count: int) -> list[float]:
        """Return the weights of so many maps."""
        return [1.0] * count if self.weights is None else self.weights


@LOSSES.register("rising_maps")
class RisingMaps(Multiscale):
    """Weighted mean of a loss over n maps of logits, with weights that rise from the finest map to the last (ComboGAN).

    ``L = sum_k w_k L_k / (n sum_k w_k)`` with ``w = 1, 2, ..., n - 1, n + 1`` and ``L_k`` the mean of ``loss`` over map
    k. For four maps this is ``(L_1 + 2 L_2 + 3 L_3 + 5 L_4) / 44``.

    >>> import torch
    >>> maps = [torch.tensor([1.0 - k]) for k in range(4)]
    >>> round(44 * RisingMaps().generator(maps).item(), 4)  # 2 * 1 + 3 * 4 + 5 * 9
    59.0
    """

    def __init__(self, loss: str = "least_squares") -> None:
        super().__init__(loss)

    def _weights(self, count: int) -> list[float]:
        rising = [*range(1, count), count + 1]
        return [weight / (count * sum(rising)) for weight in rising]


@LOSSES.register("ternary")
class Ternary:
    """Cross-entropy of a discriminator with three classes (DTN, Taigman et al. 2017, eqs. 3 and 4).

    Classes: 0 translations of the source domain s, 1 translations of the target domain t, 2 real images of the target
    domain. With G the translation and ``D_k`` the probability of class k:
    ``L_D = -E_s[log D_0(G(s))] - E_t[log D_1(G(t))] - E_t[log D_2(t)]`` and
    ``L_G = -E_s[log D_2(G(s))] - E_t[log D_2(G(t))]``. Logits are (B, 3).

    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.0, 1000.0]])
    >>> loss = Ternary()
    >>> [abs(side(logits).item()) for side in (loss.source, loss.target, loss.real, loss.generator)]
    [1000.0, 1000.0, 0.0, 0.0]
    """

    def source(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss ``-E_s[log D_0(G(s))]``."""
        return self._of_class(logits, 0)

    def target(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss ``-E_t[log D_1(G(t))]``."""
        return self._of_class(logits, 1)

    def real(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss ``-E_t[log D_2(t)]``."""
        return self._of_class(logits, 2)

    def generator(self, logits: Tensor) -> Tensor:
        """Return the generator's loss ``-E[log D_2(G)]`` of the translations of either domain."""
        return self._of_class(logits, 2)

    def _of_class(self, logits: Tensor, number: int) -> Tensor:
        return -F.log_softmax(precise(logits), dim=1)[:, number].mean()
