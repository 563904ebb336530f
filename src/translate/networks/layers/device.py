"""Which device networks choose the quickest way for."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

_taken: str | None = None


def on_cpu(x: Tensor) -> bool:
    """Return whether to compute as is quickest on a CPU: if a tensor is on one, unless `assume_device` tells."""
    return (_taken or x.device.type) == "cpu"


@contextmanager
def assume_device(device: str) -> Iterator[None]:
    """Let networks compute as on a type of device, such as "cuda", though tensors are on another, to plan for it."""
    global _taken
    before, _taken = _taken, device
    try:
        yield
    finally:
        _taken = before
