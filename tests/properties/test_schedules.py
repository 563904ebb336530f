"""Schedules are functions of the iteration: between their ends, without a jump where none was asked for, and exact."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from properties.budget import examples
from translate.errors import UserError
from translate.schedules import Constant, Linear, Schedule, parse, product

numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 2.0])
counts = st.integers(1, 10**7)
places = st.integers(0, 2 * 10**7)


@st.composite
def linear(draw: st.DrawFn, every: st.SearchStrategy[int] = counts) -> Linear:
    return Linear(draw(numbers), draw(numbers), draw(counts), draw(st.integers(0, 10**6)), draw(every))


def slack(schedule: Linear) -> float:
    """Return how much rounding may add to a value."""
    return 1e-12 * max(abs(schedule.start), abs(schedule.end), 1)


@examples(200)
@given(linear(), places)
def test_values_are_between_the_ends(schedule, k) -> None:
    low, high = sorted((schedule.start, schedule.end))
    assert low - slack(schedule) <= schedule(k) <= high + slack(schedule)
    assert all(schedule(j) == schedule.start for j in (0, schedule.after // 2, schedule.after))
    last = schedule.after + schedule.iterations + schedule.every
    assert math.isclose(schedule(last), schedule.end, abs_tol=slack(schedule))
    assert schedule(last) == schedule(last + 12345)


@examples(200)
@given(linear(st.just(1)), places)
def test_there_are_no_jumps(schedule, k) -> None:
    """Two iterations that follow one another differ by the slope at most, and all go in one direction."""
    step = schedule(k + 1) - schedule(k)
    whole = schedule.end - schedule.start
    assert abs(step) <= abs(whole) / schedule.iterations + 2 * slack(schedule)
    assert step * whole >= 0


@examples(200)
@given(linear(), places)
def test_a_staircase_has_its_steps_at_the_multiples(schedule, k) -> None:
    smooth = Linear(schedule.start, schedule.end, schedule.iterations, schedule.after)
    assert schedule(k) == smooth(k // schedule.every * schedule.every)
    assert schedule(k) == schedule(k // schedule.every * schedule.every)


schedules = numbers.map(Constant) | linear()


@examples(100)
@given(schedules, schedules, schedules, places)
def test_products(first, second, third, k) -> None:
    assert product(first, second)(k) == product(second, first)(k) == first(k) * second(k)
    nested = product(product(first, second), third)(k)
    assert math.isclose(nested, first(k) * second(k) * third(k), rel_tol=1e-12, abs_tol=1e-300)


def mapping_of(schedule: Schedule) -> dict[str, Any]:
    return {"schedule": type(schedule).__name__.lower(), **vars(schedule)}


@examples(100)
@given(schedules, places)
def test_what_is_written_out_reads_back(schedule, k) -> None:
    assert parse(mapping_of(schedule)) == schedule
    assert parse(schedule(k))(k) == schedule(k)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def nearly(draw: st.DrawFn) -> dict[Any, Any]:
    """Draw a schedule with some keys lost, misspelt, added or of another kind."""
    node: dict[Any, Any] = mapping_of(draw(schedules))
    for key in draw(st.lists(st.sampled_from(sorted(node)), max_size=3)):
        match draw(st.sampled_from(["lost", "misspelt", "other"])):
            case "lost":
                node.pop(key, None)
            case "misspelt":
                node[key[1:]] = node.pop(key, 1)
            case "other":
                node[key] = draw(junk)
    return node


@examples(300)
@given(junk | nearly() | nearly(), places)
def test_anything_else_is_refused_in_a_sentence(value, k) -> None:
    try:
        schedule = parse(value)
    except UserError as error:
        assert len(str(error).split()) > 2
        return
    assert math.isfinite(schedule(k))
