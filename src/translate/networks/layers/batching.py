"""Passes of several batches through a network."""

from typing import Any

import torch
from torch import Tensor, nn


def forward_together(network: nn.Module, *batches: Tensor) -> list[Any]:
    """Return what a network makes of each of several batches of images (B, C, S, S), each a batch of its own.

    A network that is ``batch_independent`` (no image influences another, and nothing is drawn at random) gets
    all of them at once: the numbers are the same but for rounding, and its weights are read, and their gradients
    written, once. Others, such as those with batch norm, get one batch after another.
    """
    if not getattr(network, "batch_independent", False):
        return [network(batch) for batch in batches]
    sizes = [len(batch) for batch in batches]
    found = network(torch.cat(batches))
    if isinstance(found, Tensor):
        return list(found.split(sizes))
    return list(zip(*(part.split(sizes) for part in found), strict=True))
