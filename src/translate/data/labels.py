"""Labels as tensors of 0 and 1: the condition of a generator, and labels with one attribute changed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from translate.data.attributes import HAIR


def conditions(labels: Tensor, number: int, widths: Sequence[int]) -> Tensor:
    """Return the condition of a generator (n, K + M), 0 or 1, from labels (n, K_number) of one label set.

    StarGAN v1, eq. 7: ``c = [c_1, ..., c_M, m]``. The labels of all M sets are side by side, zero for every other set;
    ``widths`` are K_1 ... K_M and K is their sum. The mask m, one-hot, names the set with known labels. A single set
    (M = 1) has no mask, so the condition is (n, K).

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
    """Return attributes (n, K), 0 or 1, with column ``column`` changed, as the official test of StarGAN v1 does.

    A hair colour is set and the other hair colours are cleared; any other attribute is inverted. ``names`` has K names.

    >>> changed(torch.tensor([[1.0, 0.0, 1.0]]), 1, ("Black_Hair", "Blond_Hair", "Male")).tolist()
    [[0.0, 1.0, 1.0]]
    """
    attributes = labels.clone()
    if names[column] in HAIR:
        for other, name in enumerate(names):
            if name in HAIR:
                attributes[:, other] = float(other == column)
    else:
        attributes[:, column] = 1 - attributes[:, column]
    return attributes
