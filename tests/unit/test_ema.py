"""Moving averages: the formula, always in eval, independent of the networks."""

import copy

import pytest
import torch
from torch import nn

from translate.models.ema import EMA


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1)).double()


def test_average_follows_the_formula() -> None:
    decay, steps = 0.9, 5
    trained = network(0)
    averaged = EMA({"generator": trained}, decay)
    wanted = [p.detach().clone() for p in trained.parameters()]
    for k in range(steps):
        with torch.no_grad():
            for p in trained.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(k), dtype=p.dtype))
        averaged.update({"generator": trained})
        wanted = [decay * kept + (1 - decay) * p.detach() for kept, p in zip(wanted, trained.parameters(), strict=True)]
    for found, value in zip(averaged["generator"].parameters(), wanted, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("decay", "follows"), [(0.0, True), (1.0, False)])
def test_ends_of_the_range(decay: float, follows: bool) -> None:
    first, second = network(0), network(1)
    averaged = EMA({"g": first}, decay)
    averaged.update({"g": second})
    wanted = second if follows else first
    for found, value in zip(averaged["g"].parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(found, value, rtol=1e-14, atol=1e-15)


def test_several_networks_by_role() -> None:
    one, two = network(0), nn.Linear(2, 3).double()
    averaged = EMA({"one": one, "two": two}, 0.0)
    new = {"two": nn.Linear(2, 3).double(), "one": network(5)}  # in another order
    averaged.update(new)
    assert "one" in averaged
    assert "three" not in averaged
    for role, module in new.items():
        for found, value in zip(averaged[role].parameters(), module.parameters(), strict=True):
            torch.testing.assert_close(found, value)


def test_buffers_are_copied() -> None:
    trained = network(0)
    averaged = EMA({"g": trained}, 0.9)
    trained.train()(torch.randn(4, 3, 8, 8, dtype=torch.float64))
    averaged.update({"g": trained})
    for found, value in zip(averaged["g"].buffers(), trained.buffers(), strict=True):
        assert found.equal(value)
        assert found is not value


def test_it_begins_as_the_network_and_then_stands_alone() -> None:
    trained = network(0)
    averaged = EMA({"g": trained}, 0.9)
    before = copy.deepcopy(averaged.state_dict())
    for found, value in zip(averaged["g"].parameters(), trained.parameters(), strict=True):
        assert found.equal(value)
        assert found.data_ptr() != value.data_ptr()
    with torch.no_grad():
        for p in trained.parameters():
            p.zero_()
    assert all(value.equal(before[key]) for key, value in averaged.state_dict().items())


def test_it_is_moved_in_place_and_leaves_the_network_alone() -> None:
    trained = network(0)
    averaged = EMA({"g": network(1)}, 0.5)
    places = [p.data_ptr() for p in averaged["g"].parameters()]
    before = copy.deepcopy(trained.state_dict())
    averaged.update({"g": trained})
    assert [p.data_ptr() for p in averaged["g"].parameters()] == places
    assert all(value.equal(before[key]) for key, value in trained.state_dict().items())


def test_it_is_never_trained() -> None:
    trained = network(0).train()
    averaged = EMA({"g": trained})
    assert trained.training
    assert all(p.requires_grad for p in trained.parameters())
    holder = nn.Module()
    holder.ema = averaged
    holder.train()
    assert not any(module.training for module in averaged.modules())
    assert averaged.train(True) is averaged
    assert not any(module.training for module in averaged.modules())
    assert not any(p.requires_grad for p in averaged.parameters())
    averaged.update({"g": trained})
    assert not any(p.requires_grad for p in averaged.parameters())
    assert all(p.grad_fn is None for p in averaged.parameters())


def test_memory_format_does_not_matter() -> None:
    plain, last = EMA({"g": network(0)}, 0.7), EMA({"g": network(0)}, 0.7)
    plain.update({"g": network(1)})
    last.update({"g": network(1).to(memory_format=torch.channels_last)})
    for a, b in zip(plain["g"].parameters(), last["g"].parameters(), strict=True):
        assert a.equal(b)


def test_its_state_is_the_networks_by_role() -> None:
    averaged = EMA({"g": network(0)}, 0.9)
    other = EMA({"g": network(1)}, 0.9)
    other["g"].load_state_dict(averaged["g"].state_dict())
    assert all(a.equal(b) for a, b in zip(averaged["g"].parameters(), other["g"].parameters(), strict=True))
