"""Steps of optimizers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # orders of sides: with channels as the last, and back


def step(optimizer: Optimizer) -> None:
    """Let an optimizer step, with weights that lie channels-last on a CPU shown to it in the order in which they lie.

    A fused step walks the memory there, whatever the order of the sides. It copies a gradient that does not lie plane
    by plane, but reads the one that it was given (torch 2.11 to 2.15). So it would take time for nothing, and a
    gradient that lies otherwise than its parameter for that of other weights; here it is laid as its parameter first.
    """
    fused = [p for group in optimizer.param_groups if group.get("fused") for p in group["params"]]
    turned: list[nn.Parameter] = []
    try:
        for p in fused:
            if p.grad is not None and _lies_last(p):
                _turn(p, optimizer.state[p], LAST)
                turned.append(p)
        optimizer.step()
    finally:
        for p in turned:
            _turn(p, optimizer.state[p], FIRST)


def _lies_last(p: Tensor) -> bool:
    """Return whether a tensor lies channels-last, and not plane by plane as well, on a CPU."""
    return p.device.type == "cpu" and not p.is_contiguous() and p.is_contiguous(memory_format=torch.channels_last)


def _turn(p: nn.Parameter, state: dict[str, Any], order: tuple[int, ...]) -> None:
    """Put the sides of a parameter, of its gradient and of the state that lies as it does in an order."""
    gradient, p.grad = p.grad, None  # which must have the sides of its parameter whenever it is set
    for key, value in state.items():
        if isinstance(value, Tensor) and value.shape == p.shape:
            state[key] = value.permute(order)
    p.data = p.data.permute(order)
    if gradient is not None:
        turned = gradient.permute(order)
        p.grad = turned if turned.stride() == p.stride() else torch.empty_like(p).copy_(turned)
