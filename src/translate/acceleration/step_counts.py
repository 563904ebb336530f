"""Counts of an optimizer's steps on the device of its parameters, where a fused or captured step reads them.

Lightning moves the state of optimizers to the device of a run, but leaves the counts where a checkpoint was read, on
the CPU. There a plain step reads them faster; a fused one on a GPU fails.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


def move_step_counts(optimizers: Iterable[Optimizer]) -> None:
    """Move the counts of optimizers to the devices of their parameters."""
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            if isinstance(count := state.get("step"), Tensor):
                state["step"] = count.to(parameter.device, torch.float32)


def is_fused(optimizer: Optimizer) -> bool:
    """Return whether the step of an optimizer is fused."""
    return any(group.get("fused") for group in optimizer.param_groups)
