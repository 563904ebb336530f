"""Exact gradient accumulation: a step runs on microbatches as coroutines that synchronize at every update.

A step is called once for each microbatch, each call in a coroutine (greenlet) of its own. At a rendezvous all
coroutines wait for each other: at the beginning of an update, in ``minimize``, and where a step needs the whole batch.
So a model is written as for one batch, and microbatches behave as processes do, in less memory.

The alternative, ``self.minimize(roles, loss_function, *inputs)`` with a loop over microbatches, gives equal numbers and
needs no coroutines. But every loss becomes a function passed with its unchecked arguments, and code outside of these
functions sees the whole batch, so a model must mark its precomputed values as split. StarGAN v2 reads worse.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor

from translate.errors import Phrase, UserError

Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Microbatch:
    """The number of the current microbatch, and how many there are."""

    index: int
    count: int


WHOLE = Microbatch(0, 1)
_CURRENT: ContextVar[Microbatch] = ContextVar("microbatch", default=WHOLE)


@dataclass(frozen=True)
class Rendezvous:
    """The value of a microbatch, and the function of the values of all microbatches."""

    value: Any
    together: Callable[[list[Any]], Any]


def current_microbatch() -> Microbatch:
    """Return the current microbatch; number 0 of 1 if the batch is not split."""
    return _CURRENT.get()


def rendezvous(value: Value, together: Callable[[list[Value]], Result]) -> Result:
    """Return ``together(values)`` for the values of all microbatches, in their order.

    The function is called once, when the last microbatch has arrived. Every microbatch must arrive.
    """
    if current_microbatch().count == 1:
        return together([value])
    training = torch.is_grad_enabled()  # a property of the thread, which other microbatches may change meanwhile
    main = getcurrent().parent
    assert main is not None  # `run_microbatches` has started this coroutine
    result = main.switch(Rendezvous(value, together))
    torch.set_grad_enabled(training)
    return cast(Result, result)


def run_microbatches(function: Callable[[Any], object], batches: Sequence[Any]) -> None:
    """Call ``function`` with each microbatch, one at a time, switching to the next at every rendezvous."""
    if len(batches) == 1:
        function(batches[0])
        return
    training = torch.is_grad_enabled()
    coroutines = []
    for index in range(len(batches)):
        context = copy_context()
        context.run(_CURRENT.set, Microbatch(index, len(batches)))
        coroutine = greenlet(function)
        coroutine.gr_context = context
        coroutines.append(coroutine)
    arguments = list(batches)
    try:
        while not all(coroutine.dead for coroutine in coroutines):
            arrived = []
            for coroutine, argument in zip(coroutines, arguments, strict=True):
                torch.set_grad_enabled(training)
                arrived.append(coroutine.switch(argument))
            if any(coroutine.dead for coroutine in coroutines):
                assert all(c.dead for c in coroutines), "the microbatches took different ways through the step"
                return
            result = arrived[-1].together([each.value for each in arrived])
            arguments = [result] * len(coroutines)
    finally:
        for coroutine in coroutines:
            if coroutine and not coroutine.dead:
                coroutine.throw(GreenletExit)
        torch.set_grad_enabled(training)


def split(batch: Any, count: int) -> list[Any]:
    """Return a batch (a tensor, or a tuple of batches) in ``count`` equal microbatches, in their order.

    A number, which is a fact of the whole batch, is in each of them. UserError if the batch does not divide.
    """
    if isinstance(batch, int):
        return [batch] * count
    if isinstance(batch, Tensor):
        if len(batch) % count:
            raise UserError(
                found=Phrase(f"{len(batch)} images in the batch of a process"), expected=f"a multiple of {count}"
            )
        return list(batch.chunk(count))
    pieces = zip(*(split(value, count) for value in batch), strict=True)
    return [type(batch)(*values) if hasattr(batch, "_fields") else tuple(values) for values in pieces]
