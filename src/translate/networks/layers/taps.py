"""Features inside a sequence of layers, such as those of an encoder, for losses that compare features."""

from collections.abc import Sequence

from torch import Tensor, nn

from translate.errors import UserError


def check_taps(taps: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of layers as a tuple; UserError unless there are some, at least 0 and rising."""
    if not taps or list(taps) != sorted(set(taps)) or taps[0] < 0:
        raise UserError(key="taps", found=list(taps), expected="rising numbers of layers, from 0 on")
    return tuple(taps)


def run_to_taps(layers: nn.Sequential, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
    """Return the outputs of the layers with the numbers ``taps``, which rise; no layer after the last one runs.

    Layers run in slices of the sequence, so that activation checkpointing of a sequence is that of its slices. An
    output that the next layer would overwrite is copied.

    >>> import torch
    >>> layers = nn.Sequential(nn.Identity(), nn.Flatten(), nn.ReLU(inplace=True))
    >>> [y.tolist() for y in run_to_taps(layers, torch.tensor([[-1.0, 2.0]]), (1, 2))]
    [[[-1.0, 2.0]], [[0.0, 2.0]]]
    """
    features, start = [], 0
    for tap in taps:
        x = layers[start : tap + 1](x)
        start = tap + 1
        features.append(x)
        if start < len(layers) and getattr(layers[start], "inplace", False):
            x = x.clone()
    return features
