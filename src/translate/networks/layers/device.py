"""The device whose fastest algorithm layers choose."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_assumed: str | None = None


def on_cpu(x: Tensor) -> bool:
    """Return whether to compute in the way that is fastest on a CPU: if the tensor is there, or is assumed to be.

    False while `torch.export` traces, since other runtimes are fastest with torch's plain operations.
    """
    return not torch.compiler.is_exporting() and (_assumed or x.device.type) == "cpu"


@contextmanager
def assume_device(device: str) -> Iterator[None]:
    """Let layers compute as on a type of device, such as "cuda", wherever tensors are, to estimate its memory."""
    global _assumed
    before, _assumed = _assumed, device
    try:
        yield
    finally:
        _assumed = before
