"""Work around a bug in torch's fused CPU optimizers (2.11 to 2.15): gradients of channels-last weights are permuted.

The fused step copies a gradient that is not contiguous, but reads the original pointer. So channels-last weights would
be updated with permuted gradients. For the step, channels-last parameters, gradients and moments are presented as
contiguous NHWC views.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)  # permutations: from NCHW to NHWC, and back


def step(optimizer: Optimizer) -> None:
    """Step an optimizer, with channels-last parameters on a CPU presented as contiguous NHWC views if it is fused."""
    fused = [p for group in optimizer.param_groups if group.get("fused") for p in group["params"]]
    permuted: list[nn.Parameter] = []
    try:
        for p in fused:
            if p.grad is not None and _is_channels_last(p):
                _permute(p, optimizer.state[p], NHWC)
                permuted.append(p)
        optimizer.step()
    finally:
        for p in permuted:
            _permute(p, optimizer.state[p], NCHW)


def _is_channels_last(p: Tensor) -> bool:
    """Return whether a tensor on a CPU is channels-last and not contiguous too."""
    return p.device.type == "cpu" and not p.is_contiguous() and p.is_contiguous(memory_format=torch.channels_last)


def _permute(p: nn.Parameter, state: dict[str, Any], order: tuple[int, ...]) -> None:
    """Permute the dimensions of a parameter, of its gradient and of the optimizer state of its shape."""
    gradient, p.grad = p.grad, None  # torch requires the shape of the parameter whenever a gradient is set
    for key, value in state.items():
        if isinstance(value, Tensor) and value.shape == p.shape:
            state[key] = value.permute(order)
    p.data = p.data.permute(order)
    if gradient is not None:
        permuted = gradient.permute(order)
        p.grad = permuted if permuted.stride() == p.stride() else torch.empty_like(p).copy_(permuted)
