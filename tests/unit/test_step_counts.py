"""Counts of optimizers' steps: on the device of the parameters after a resume, where a fused step reads them."""

import torch
from torch import nn

from training.test_models import start
from translate.acceleration.step_counts import is_fused, move_step_counts


def test_counts_follow_their_parameters() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    moved = nn.Parameter(torch.zeros(2, device="meta"))
    optimizer.state[moved] = optimizer.state.pop(parameter)
    move_step_counts([optimizer])
    assert optimizer.state[moved]["step"].device.type == "meta"


def test_a_training_begins_with_the_counts_of_its_fused_optimizers_moved() -> None:
    model, batch = start("stargan_v2")
    model.training_step(batch, 0)
    optimizers = [model.optimizer(role) for role in model.trained]
    assert all(map(is_fused, optimizers))
    optimizers[0].param_groups[0]["fused"] = False
    for optimizer in optimizers:
        for state in optimizer.state.values():
            state["step"] = state["step"].double()  # as a count elsewhere: the move converts it
    model.on_train_start()
    types = [{state["step"].dtype for state in optimizer.state.values()} for optimizer in optimizers]
    assert types == [{torch.float64}, *([{torch.float32}] * (len(types) - 1))]
