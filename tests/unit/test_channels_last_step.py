"""Steps of optimizers, where weights lie in several orders."""

import pytest
import torch
from torch import nn
from torch.profiler import profile

from translate.acceleration.channels_last_step import step


def stepped(optimizer_class: type[torch.optim.Optimizer], fused: bool, weights: str, gradients: str) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    kernel = torch.randn(6, 5, 3, 3, generator=draws)
    bias = nn.Parameter(torch.randn(6, generator=draws))
    p = nn.Parameter(kernel.contiguous(memory_format=getattr(torch, weights)))
    idle = nn.Parameter(torch.ones_like(p))
    optimizer = optimizer_class([p, bias, idle], lr=0.1, weight_decay=0.01, fused=fused)
    for _ in range(3):
        p.grad = torch.randn(6, 5, 3, 3, generator=draws).contiguous(memory_format=getattr(torch, gradients))
        bias.grad = torch.randn(6, generator=draws)
        step(optimizer)
        assert p.shape == p.grad.shape == optimizer.state[p]["exp_avg"].shape == (6, 5, 3, 3)
        assert p.stride() == optimizer.state[p]["exp_avg"].stride()
        assert p.is_contiguous(memory_format=getattr(torch, weights))
    assert torch.equal(idle, torch.ones_like(idle))
    return torch.cat([p.detach().flatten(), bias.detach()])


@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("gradients", ["channels_last", "contiguous_format"])
def test_fused_steps_over_channels_last_are_those_of_plain_loops(optimizer_class, gradients):
    fused = stepped(optimizer_class, True, "channels_last", gradients)
    plain = stepped(optimizer_class, False, "contiguous_format", "contiguous_format")
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)


def test_a_fused_step_copies_no_gradient():
    p = nn.Parameter(torch.randn(8, 8, 3, 3).contiguous(memory_format=torch.channels_last))
    optimizer = torch.optim.Adam([p], fused=True)
    p.grad = torch.randn_like(p)
    step(optimizer)
    with profile() as seen:
        step(optimizer)
    assert "aten::clone" not in {event.name for event in seen.events()}


def test_a_step_that_fails_leaves_the_shapes():
    class Failing(torch.optim.Adam):
        def step(self, closure=None):
            raise RuntimeError("no")

    p = nn.Parameter(torch.randn(8, 4, 3, 3).contiguous(memory_format=torch.channels_last))
    before, p.grad = p.detach().clone(), torch.randn_like(p)
    with pytest.raises(RuntimeError, match="no"):
        step(Failing([p], fused=True))
    assert p.shape == p.grad.shape == (8, 4, 3, 3)
    assert torch.equal(p, before)
