"""How layers compute: the device whose fastest algorithm they choose, and who derives their gradients."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

_assumed: str | None = None
_derived = False


def on_cpu(x: Tensor) -> bool:
    """Return whether to compute in the way that is fastest on a CPU: if the tensor is there, or is assumed to be.

    False while `torch.export` traces, since other runtimes are fastest with torch's plain operations.
    """
    return not torch.compiler.is_exporting() and (_assumed or x.device.type) == "cpu"


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Return a context in which operations on the tensor keep its precision. (The meta device has no autocast.)"""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


@contextmanager
def assume_device(device: str) -> Iterator[None]:
    """Let layers compute as on a type of device, such as "cuda", wherever tensors are, to estimate its memory."""
    global _assumed
    before, _assumed = _assumed, device
    try:
        yield
    finally:
        _assumed = before


def derives_gradients() -> bool:
    """Return whether a layer leaves its gradients to torch, where it has written them out."""
    return _derived


@contextmanager
def derived_gradients() -> Iterator[None]:
    """Let layers use torch's operations alone, not gradients that are written out, so that a compiler sees through."""
    global _derived
    before, _derived = _derived, True
    try:
        yield
    finally:
        _derived = before
