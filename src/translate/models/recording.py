"""Recorded terms and discriminator accuracies of an iteration, of one or several microbatches."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.losses.adversarial import Logits


def unused(name: str, taken: Mapping[str, Any]) -> str:
    """Return the first name of ``name``, ``name#2``, ``name#3`` ... that is not taken.

    >>> unused("loss", {"loss": 0, "loss#2": 0})
    'loss#3'
    """
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}#{count}"
    return candidate


def image_logits(logits: Logits) -> Tensor:
    """Return one logit for each image (B,), float32: the mean over a map (B, ...), then over several maps.

    >>> image_logits([torch.tensor([[1.0, 3.0]]), torch.tensor([[6.0]])])
    tensor([4.])
    """
    maps = [logits] if isinstance(logits, Tensor) else logits
    means = [each.detach().float().reshape(len(each), -1).mean(1) for each in maps]
    return means[0] if len(means) == 1 else torch.stack(means).mean(0)


def ranking_accuracy(logits: Tensor) -> Tensor:
    """Return the fraction of pairs of a real and a fake image, of logits (B, 2), in which the real one is higher.

    >>> ranking_accuracy(torch.tensor([[2.0, 1.0], [0.0, -1.0]])).item()
    0.75
    """
    return (logits[:, None, 0] > logits[:, 1]).float().mean()


def mean_terms(recorded: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean over microbatches of the terms that each has recorded under the same names."""
    if len(recorded) == 1:
        return dict(recorded[0])
    return {name: torch.stack([terms[name] for terms in recorded]).mean(0) for name in recorded[0]}
