"""Forward passes of several batches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def forward_together(network: nn.Module, *batches: Tensor, forward: Callable[[Tensor], Any] | None = None) -> list[Any]:
    """Return the outputs of a network for each of several batches of images (B, C, S, S), in one pass if possible.

    A network that is ``batch_independent`` (no image influences another, and nothing is random) receives all batches at
    once: the results are equal but for rounding, and its weights are read, and their gradients written, once. Other
    networks, such as those with batch norm, receive one batch after another. ``forward`` is another method of the
    network, which returns a tensor or a sequence of them.
    """
    forward = forward or network
    if not getattr(network, "batch_independent", False):
        return [forward(batch) for batch in batches]
    sizes = [len(batch) for batch in batches]
    output = forward(batches[0] if len(batches) == 1 else torch.cat(batches))
    if isinstance(output, Tensor):
        return list(output.split(sizes))
    return list(zip(*(tensor.split(sizes) for tensor in output), strict=True))
