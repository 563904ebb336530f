"""Labels as tensors of 0 and 1: those of several data sets side by side, and labels changed for a test."""

from collections.abc import Sequence

import torch
from torch import Tensor

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")


def conditions(labels: Tensor, number: int, widths: Sequence[int]) -> Tensor:
    """Return what a generator is told (n, K + M), from labels (n, K_p) of data set ``number`` (StarGAN v1, eq. 7).

    The labels of all data sets stand side by side, zero where they are another data set's; ``widths`` says how many
    each has. With several there follows the mask, one number a data set, that says whose labels are known.

    >>> conditions(torch.tensor([[1.0, 0.0]]), 1, (3, 2)).tolist()
    [[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]]
    """
    parts = [labels if k == number else labels.new_zeros(len(labels), width) for k, width in enumerate(widths)]
    if len(widths) > 1:
        mask = labels.new_zeros(len(labels), len(widths))
        mask[:, number] = 1
        parts.append(mask)
    return torch.cat(parts, dim=1)


def changed(labels: Tensor, column: int, names: Sequence[str]) -> Tensor:
    """Return attributes (n, K) with one changed; of hair colours one holds, as in the published test of StarGAN v1.

    A hair colour that holds already stays, since to take it away would leave none.

    >>> changed(torch.tensor([[1.0, 0.0, 1.0]]), 1, ("Black_Hair", "Blond_Hair", "Male")).tolist()
    [[0.0, 1.0, 1.0]]
    """
    found = labels.clone()
    if names[column] in HAIR:
        for other, name in enumerate(names):
            if name in HAIR:
                found[:, other] = float(other == column)
    else:
        found[:, column] = 1 - found[:, column]
    return found
