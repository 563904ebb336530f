"""Microbatches run as coroutines and wait for each other."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from translate.distributed.microbatches import Microbatch, current_microbatch, rendezvous, run_microbatches, split
from translate.errors import UserError


class Batch(NamedTuple):
    image: Tensor
    labels: tuple[Tensor, Tensor]


def test_microbatches_wait_for_each_other_at_a_rendezvous() -> None:
    said: list[tuple[str, int]] = []

    def step(batch: int) -> None:
        said.append(("before", batch))
        assert rendezvous(batch, lambda values: said.append(("together", sum(values))) or sum(values)) == 60
        said.append(("after", batch))

    run_microbatches(step, [10, 20, 30])
    assert said == [
        *[("before", batch) for batch in (10, 20, 30)],
        ("together", 60),
        *[("after", batch) for batch in (10, 20, 30)],
    ]


def test_a_microbatch_knows_its_number() -> None:
    seen = []
    run_microbatches(
        lambda _: (seen.append(current_microbatch()), rendezvous(None, len), seen.append(current_microbatch())),
        ["a", "b"],
    )
    assert seen == [Microbatch(0, 2), Microbatch(1, 2)] * 2
    assert current_microbatch() == Microbatch(0, 1)
    run_microbatches(lambda _: seen.append(current_microbatch()), ["whole"])
    assert seen[-1] == Microbatch(0, 1)
    assert rendezvous(3, sum) == 3


def test_each_microbatch_keeps_its_own_gradient_mode() -> None:
    found = []

    def step(_: int) -> None:
        found.append(torch.is_grad_enabled())
        with torch.no_grad():
            rendezvous(None, len)
            found.append(torch.is_grad_enabled())
        found.append(torch.is_grad_enabled())

    run_microbatches(step, [1, 2])
    assert found == [True, True, False, True, False, True]
    assert torch.is_grad_enabled()


def test_an_error_in_one_microbatch_ends_all_of_them() -> None:
    ended = []

    def step(batch: int) -> None:
        try:
            rendezvous(None, len)
            if batch == 2:
                raise ValueError("no")
            rendezvous(None, len)
        finally:
            ended.append(batch)

    with pytest.raises(ValueError, match="no"):
        run_microbatches(step, [1, 2, 3])
    assert sorted(ended) == [1, 2, 3]
    assert current_microbatch() == Microbatch(0, 1)


def test_microbatches_that_take_different_ways_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="different ways"):
        run_microbatches(lambda batch: rendezvous(None, len) if batch else None, [0, 1])


def test_a_batch_keeps_its_structure_when_it_is_split() -> None:
    batch = (Batch(torch.arange(4), (torch.arange(4) + 10, torch.arange(4) + 20)),)
    first, second = split(batch, 2)
    assert isinstance(first, tuple)
    assert isinstance(second[0], Batch)
    assert second[0].image.tolist() == [2, 3]
    assert first[0].labels[1].tolist() == [20, 21]
    with pytest.raises(UserError, match="found 4 images in the batch of a process, expected a multiple of 3"):
        split(batch, 3)
