"""Schedules are functions of the iteration alone."""

import math
from typing import Any

import pytest

from translate.errors import UserError
from translate.schedules import Constant, Linear, Product, Step, parse, product


def test_numbers_are_constant() -> None:
    assert parse(3)(0) == parse(3)(10**9) == 3.0
    assert isinstance(parse(3)(0), float)
    assert parse({"schedule": "constant", "value": 2}) == Constant(2.0)


def test_linear_is_exact() -> None:
    schedule = parse({"schedule": "linear", "start": 2.0, "end": 0.0, "iterations": 100_000})
    for k in (0, 1, 7, 50_000, 99_999, 100_000, 10**7):
        assert schedule(k) == 2.0 + (0.0 - 2.0) * min(max(k / 100_000, 0.0), 1.0)
    assert (schedule(0), schedule(50_000), schedule(100_000), schedule(10**7)) == (2.0, 1.0, 0.0, 0.0)


def test_published_rate_of_cyclegan_in_every_epoch() -> None:
    """Lambda of the published scheduler: 1 - max(0, epoch + 1 - 100) / 101, for epochs from 0, times 2e-4."""
    epoch = 1_334  # iterations, of horse2zebra
    schedule = Linear(2e-4, 0.0, 101 * epoch, after=99 * epoch, every=epoch)
    for number in (0, 98, 99, 100, 101, 150, 198, 199):
        wanted = 2e-4 * (1 - max(0, number + 1 - 100) / 101)
        for k in (number * epoch, number * epoch + 7, (number + 1) * epoch - 1):
            assert schedule(k) == pytest.approx(wanted, rel=1e-9)
    assert schedule(200 * epoch - 1) == pytest.approx(1.98e-6, rel=1e-3)


def test_products() -> None:
    linear = Linear(2.0, 0.0, 4)
    assert product(Constant(0.5), Constant(10.0)) == Constant(5.0)
    assert product(linear, Constant(0.0)) == product(Constant(0.0), linear) == Constant(0.0)
    assert [product(linear, Constant(3.0))(k) for k in (0, 1, 4)] == [6.0, 4.5, 0.0]
    assert [product(linear, linear)(k) for k in (0, 2, 4)] == [4.0, 1.0, 0.0]


def test_steps() -> None:
    """UNIT's official code steps its scheduler before the update: update number 100,000, from 1, has the half."""
    rate = parse({"schedule": "step", "start": 1e-4, "factor": 0.5, "every": 100_000, "offset": 1})
    assert rate == Step(1e-4, 0.5, 100_000, 1)
    assert [rate(k) for k in (0, 99_998, 99_999, 199_998, 199_999)] == [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5]
    plain = parse({"schedule": "step", "start": 1.0, "factor": 0.1, "every": 3})
    assert [plain(k) for k in range(7)] == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


def test_products_are_written_as_mappings_of_mappings() -> None:
    warm_up = {"schedule": "linear", "start": 0, "end": 1, "iterations": 10}
    decay = {"schedule": "step", "start": 2e-4, "factor": 0.5, "every": 20}
    rate = parse({"schedule": "product", "first": warm_up, "second": decay})
    assert rate == Product(Linear(0.0, 1.0, 10), Step(2e-4, 0.5, 20))
    assert [rate(k) for k in (0, 5, 10, 19, 20, 40)] == pytest.approx([0, 1e-4, 2e-4, 2e-4, 1e-4, 5e-5])
    assert parse({"schedule": "product", "first": 2, "second": 3})(7) == 6.0


def test_linear_waits() -> None:
    schedule = Linear(2e-4, 0.0, 100, after=50)
    assert [schedule(k) for k in (0, 49, 50)] == [2e-4] * 3
    assert schedule(51) == 2e-4 - 2e-4 / 100
    assert (schedule(150), schedule(151)) == (0.0, 0.0)


def test_whole_floats_are_counts() -> None:
    assert parse({"schedule": "linear", "start": 1, "end": 0, "iterations": 1e5}) == Linear(1.0, 0.0, 100_000)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("fast", "found 'fast', expected a number or a mapping"),
        (True, "found True"),
        (None, "found None"),
        (math.nan, "found nan"),
        (math.inf, "found inf"),
        ([1], "expected a number"),
        ({"start": 1}, "the key 'schedule' is missing. Known: constant, linear"),
        ({"schedule": "linaer"}, "schedule: unknown schedule 'linaer'. Did you mean 'linear'?"),
        ({"schedule": "linear", "start": 1, "end": 0}, "iterations: the schedule 'linear' needs this key"),
        ({"schedule": "linear", "start": 1, "end": 0, "iterations": 0}, "at least 1"),
        ({"schedule": "linear", "start": 1, "end": 0, "iterations": 1.5}, "a whole number of iterations"),
        ({"schedule": "linear", "start": 1, "end": 0, "iterations": 9, "after": -1}, "at least 0"),
        (
            {"schedule": "linear", "start": "a", "end": 0, "iterations": 9},
            "start: found 'a', expected a finite number",
        ),
        (
            {"schedule": "linear", "start": 1, "ned": 0, "iterations": 9},
            "ned: the schedule 'linear' has no key 'ned'. Did you mean 'end'?",
        ),
        ({"schedule": "constant", "value": None}, "expected a finite number"),
        ({"schedule": "step", "start": 1, "factor": 0.5, "every": 0}, "every: found 0"),
        ({"schedule": "step", "start": 1, "factor": 0.5, "every": 9, "offset": -1}, "offset: found -1"),
        ({"schedule": "step", "start": 1, "every": 9}, "factor: the schedule 'step' needs this key"),
        (
            {"schedule": "product", "first": 1, "second": {"schedule": "step", "start": 1, "factor": "x", "every": 9}},
            "second.factor: found 'x', expected a finite number",
        ),
        ({"schedule": "product", "first": 1, "second": None}, "second: found None, expected a number or a mapping"),
    ],
)
def test_mistakes_are_sentences(value: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(value)
    assert sentence in str(caught.value)
