"""A batch in parts that take turns, each trained as by a process of its own: the same update in less memory.

A step is run once for each part, in a thread of control of its own, and hands over to the next one where all have to
meet: at the beginning of an update, where it descends, and where it wants something of the whole batch. So a model is
written as for one batch, and what equals one process in several does so in several parts.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor

Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Microbatch:
    """Which part is under way, and of how many."""

    index: int
    count: int


WHOLE = Microbatch(0, 1)
_CURRENT: ContextVar[Microbatch] = ContextVar("place", default=WHOLE)


@dataclass(frozen=True)
class Rendezvous:
    """What a part brings to where it meets the others, and what is to be made of it."""

    value: Any
    together: Callable[[list[Any]], Any]


def current_microbatch() -> Microbatch:
    """Return which part is under way; the only one, where a batch is not split."""
    return _CURRENT.get()


def rendezvous(value: Value, together: Callable[[list[Value]], Result]) -> Result:
    """Return what ``together`` makes of the values of all parts, in their order.

    It is called once, when the last part has come here; until then the others wait. Every part must come.
    """
    if current_microbatch().count == 1:
        return together([value])
    training = torch.is_grad_enabled()  # of the thread, so the parts in between may leave it otherwise
    main = getcurrent().parent
    assert main is not None  # `run_microbatches` has begun this part
    result = main.switch(Rendezvous(value, together))
    torch.set_grad_enabled(training)
    return cast(Result, result)


def run_microbatches(function: Callable[[Any], object], batches: Sequence[Any]) -> None:
    """Call ``function`` with each batch, all of them under way together, one at a time until it meets the others."""
    if len(batches) == 1:
        function(batches[0])
        return
    training = torch.is_grad_enabled()
    runs = []
    for index in range(len(batches)):
        context = copy_context()
        context.run(_CURRENT.set, Microbatch(index, len(batches)))
        run = greenlet(function)
        run.gr_context = context
        runs.append(run)
    given = list(batches)
    try:
        while not all(run.dead for run in runs):
            met = []
            for run, value in zip(runs, given, strict=True):
                torch.set_grad_enabled(training)
                met.append(run.switch(value))
            if any(run.dead for run in runs):
                assert all(run.dead for run in runs), "the parts of a batch took different ways through the step"
                return
            result = met[-1].together([meeting.value for meeting in met])
            given = [result] * len(runs)
    finally:
        for run in runs:
            if run and not run.dead:
                run.throw(GreenletExit)
        torch.set_grad_enabled(training)


def split(batch: Any, count: int) -> list[Any]:
    """Return a batch, a tuple of tensors or of such tuples, in ``count`` equal parts, in their order."""
    if isinstance(batch, Tensor):
        if len(batch) % count:
            raise ValueError(f"{len(batch)} images do not divide into {count} parts")
        return list(batch.chunk(count))
    pieces = zip(*(split(value, count) for value in batch), strict=True)
    return [type(batch)(*values) if hasattr(batch, "_fields") else tuple(values) for values in pieces]
