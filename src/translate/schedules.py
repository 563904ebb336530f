"""Numbers that change with training, as pure functions of the iteration.

A schedule is never a value that is decremented: its value at iteration k depends on k alone, so a resumed run
continues exactly. Loss weights and learning rates are given as a number or as a mapping:

    2.0
    {schedule: constant, value: 2.0}
    {schedule: linear, start: 2.0, end: 0.0, iterations: 100000, after: 0, every: 1}
    {schedule: step, start: 1e-4, factor: 0.5, every: 100000, offset: 0}
    {schedule: product, first: {schedule: ...}, second: {schedule: ...}}
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from translate.errors import UserError
from translate.files.reading import is_finite

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """Be `value` at every iteration."""

    value: float

    def __call__(self, iteration: int) -> float:
        """Return the value at the 0-based `iteration`."""
        return float(self.value)


@dataclass(frozen=True)
class Linear:
    """Be `start` up to iteration `after`, go to `end` in a straight line over `iterations`, then stay.

    The value at the 0-based iteration k is start + (end - start) * clip((k - after) / iterations, 0, 1), where k
    counts in whole steps of `every` iterations: a value that is set once an epoch is a staircase.
    StarGAN v2's diversity weight is Linear(2, 0, 100000); CycleGAN's learning rate, for epochs of e iterations, is
    Linear(2e-4, 0, 101 * e, after=99 * e, every=e).

    >>> [Linear(2.0, 0.0, 4, after=1)(k) for k in range(7)]
    [2.0, 2.0, 1.5, 1.0, 0.5, 0.0, 0.0]
    >>> [Linear(2.0, 0.0, 4, every=2)(k) for k in range(6)]
    [2.0, 2.0, 1.0, 1.0, 0.0, 0.0]
    """

    start: float
    end: float
    iterations: int
    after: int = 0
    every: int = 1

    def __call__(self, iteration: int) -> float:
        """Return the value at the 0-based `iteration`."""
        done = min(max((iteration // self.every * self.every - self.after) / self.iterations, 0.0), 1.0)
        return self.start + (self.end - self.start) * done


@dataclass(frozen=True)
class Step:
    """Be `start`, multiplied by `factor` after every `every` iterations.

    The value at the 0-based iteration k is start * factor^floor((k + offset) / every). With `offset` 1 the value
    changes one iteration earlier: the update of number `every`, counted from 1, already has the next value.

    >>> [Step(1.0, 0.5, 2)(k) for k in range(5)], [Step(1.0, 0.5, 2, offset=1)(k) for k in range(4)]
    ([1.0, 1.0, 0.5, 0.5, 0.25], [1.0, 0.5, 0.5, 0.25])
    """

    start: float
    factor: float
    every: int
    offset: int = 0

    def __call__(self, iteration: int) -> float:
        """Return the value at the 0-based `iteration`."""
        return self.start * self.factor ** ((iteration + self.offset) // self.every)


@dataclass(frozen=True)
class Product:
    """Be the product of two schedules, such as a warm-up and a decay.

    >>> Product(Linear(0.0, 1.0, 10), Step(1e-4, 0.5, 100))(5)
    5e-05
    """

    first: Schedule
    second: Schedule

    def __call__(self, iteration: int) -> float:
        """Return the value at the 0-based `iteration`."""
        return self.first(iteration) * self.second(iteration)


def product(first: Schedule, second: Schedule) -> Schedule:
    """Return the product of two schedules, a constant where both are constant or one is 0.

    >>> product(Constant(0.5), Constant(10.0)), product(Linear(2.0, 0.0, 4), Constant(0.0))
    (Constant(value=5.0), Constant(value=0.0))
    """
    if Constant(0.0) in (first, second):
        return Constant(0.0)
    if isinstance(first, Constant) and isinstance(second, Constant):
        return Constant(first.value * second.value)
    return Product(first, second)


SCHEDULES: dict[str, type] = {"constant": Constant, "linear": Linear, "step": Step, "product": Product}
MAY_BE_ZERO = ("after", "offset")
"""Counts of iterations that may be 0; the others are at least 1."""


def parse(value: Any) -> Schedule:
    """Return the schedule that a number or a mapping describes; UserError for any other value."""
    if is_finite(value):
        return Constant(float(value))
    if not isinstance(value, Mapping):
        example = "{schedule: linear, start: 2, end: 0, iterations: 1000}"
        raise UserError(found=value, expected=f"a number or a mapping such as {example}")
    options = dict(value)
    name = options.pop("schedule", None)
    if name is None:
        raise UserError("the key 'schedule' is missing", known=SCHEDULES)
    if not isinstance(name, str) or name not in SCHEDULES:
        raise UserError("unknown schedule", key="schedule", found=name, known=SCHEDULES)
    kind = SCHEDULES[name]
    known = [field.name for field in fields(kind)]
    for key in options:
        if key not in known:
            raise UserError(f"the schedule {name!r} has no key", key=str(key), found=key, known=known)
    for field in fields(kind):
        if field.name not in options:
            if field.default is MISSING:
                raise UserError(f"the schedule {name!r} needs this key", key=field.name)
        elif field.type is Schedule:
            try:
                options[field.name] = parse(options[field.name])
            except UserError as error:
                raise error.inside(field.name) from error
        elif field.type in (int, "int"):
            minimum = 0 if field.name in MAY_BE_ZERO else 1
            options[field.name] = _count(field.name, options[field.name], minimum)
        elif not is_finite(options[field.name]):
            raise UserError(key=field.name, found=options[field.name], expected="a finite number")
        else:
            options[field.name] = float(options[field.name])
    return kind(**options)


def _count(key: str, value: Any, minimum: int) -> int:
    if not is_finite(value) or value != int(value) or value < minimum:
        raise UserError(key=key, found=value, expected=f"a whole number of iterations, at least {minimum}")
    return int(value)
