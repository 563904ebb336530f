"""Adversarial losses on several maps of logits, such as those of several scales: sums of a loss of one map."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.losses.adversarial import AdversarialLoss, Logits
from translate.registry.registry import LOSSES


@LOSSES.register("multiscale")
class Multiscale:
    """Weighted sum of a loss over several maps of logits, such as those of several scales (UNIT, MUNIT, pix2pixHD).

    ``L = sum_s w_s L_s`` with ``L_s`` the ``loss``, the name of a registered adversarial loss, of map s. ``weights``
    are those of the maps (null: 1 each, so that maps are summed and not averaged). ``reduction`` is the one within a
    map: "mean" over all logits, or "sum" over the logits of an image and mean over the images, which does not depend on
    the number of processes. A single tensor counts as one map.

    A paired loss compares each map of the real images with that of the fake ones.

    >>> import torch
    >>> maps = [torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 1)]
    >>> [Multiscale("least_squares", reduction=name).generator_term(maps, list).item() for name in ("mean", "sum")]
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
        if not isinstance(single, type) or not hasattr(single, "generator_term") or issubclass(single, Multiscale):
            raise UserError(key="loss", found=loss, expected="an adversarial loss of one map, such as least_squares")
        instance: Any = single()
        self.loss: AdversarialLoss = instance
        self.paired = self.loss.paired
        self.weights = weights
        self.reduction = reduction

    def discriminator_terms(self, real: Logits, **fakes: Logits) -> dict[str, Tensor]:
        """Return ``sum_s w_s L_s`` of each term of the discriminator's loss, see `AdversarialLoss`."""
        maps = self._maps(real)
        of_maps = {name: self._maps(logits) for name, logits in fakes.items()}
        terms = [
            self.loss.discriminator_terms(each, **{name: own[number] for name, own in of_maps.items()})
            for number, each in enumerate(maps)
        ]
        return {name: self._sum([of_map[name] for of_map in terms], maps) for name in terms[0]}

    def generator_term(self, fake: Logits, real: Callable[[], Logits]) -> Tensor:
        """Return ``sum_s w_s L_s`` of the generator's loss, see `AdversarialLoss`."""
        maps, reals = self._maps(fake), cache(real)  # one forward pass for all maps

        def of_real(number: int) -> Tensor:
            return self._maps(reals())[number]

        losses = [self.loss.generator_term(each, partial(of_real, number)) for number, each in enumerate(maps)]
        return self._sum(losses, maps)

    def _maps(self, logits: Logits) -> Sequence[Tensor]:
        return [logits] if isinstance(logits, Tensor) else logits

    def _sum(self, losses: list[Tensor], maps: Sequence[Tensor]) -> Tensor:
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
    >>> round(44 * RisingMaps().generator_term(maps, list).item(), 4)  # 2 * 1 + 3 * 4 + 5 * 9
    59.0
    """

    def __init__(self, loss: str = "least_squares") -> None:
        super().__init__(loss)

    def _weights(self, count: int) -> list[float]:
        rising = [*range(1, count), count + 1]
        return [weight / (count * sum(rising)) for weight in rising]
