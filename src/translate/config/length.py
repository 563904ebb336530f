"""The length of a run: ``iterations``, or ``budget``, a duration from which the number of iterations is computed once.

A configuration with a budget has ``iterations: null`` until the run has measured its speed, see `training.budget`. From
then on both keys are set, ``iterations`` alone decides, and ``budget`` is a record.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from translate.errors import Phrase, Problem, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

UNKNOWN_LENGTH = 0
"""The number of iterations of a `RunConfig` whose budget is not yet converted; null in files."""

NOMINAL = 1000
"""The number of iterations of which ``${share:...}`` is a fraction while the number is unknown."""

SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
EXPECTED = "a duration such as 90s, 30min, 2h or 1d"

LENGTH_KEYS = frozenset({"iterations", "budget"})


def seconds_of(budget: str) -> float:
    """Return the seconds of a duration; UserError for any other text.

    >>> seconds_of("90s"), seconds_of("1.5h")
    (90.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h|d)", budget.strip())
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise UserError(key="budget", found=budget, expected=EXPECTED)
    return seconds


def settle(tree: "DictConfig", given: Collection[str]) -> Iterator[Problem]:
    """Let the one of ``iterations`` and ``budget`` that the command line sets (keys ``given``) replace the other.

    Yields a problem if both remain, or if the budget is no text. The tree is changed.
    """
    budget = _value(tree, "budget")
    if budget is not None and not isinstance(budget, str):
        tree.budget = None
        yield Problem(key="budget", found=budget, expected=EXPECTED)
        return
    if budget is None or _value(tree, "iterations") is None:
        return
    chosen = LENGTH_KEYS & set(given)
    if len(chosen) == 1:
        tree["budget" if "iterations" in chosen else "iterations"] = None
        return
    tree.budget = None  # what else is wrong does not depend on it
    yield Problem(
        "iterations and budget are two lengths of one run",
        key="budget",
        found=Phrase(f"budget={budget} beside iterations={_value(tree, 'iterations')}"),
        expected="one of the two",
        fix="leave out one of the words" if chosen else "set the other key to null in the file",
    )


def explanation(budget: str | None, iterations: int) -> str:
    """Return comment lines for a printed configuration whose budget is not yet converted; "" for any other."""
    if budget is None or iterations != UNKNOWN_LENGTH:
        return ""
    return (
        f"# budget {budget}: the first seconds of a run measure its speed, then iterations is fixed once and written\n"
        f"# into the run folder. Values that are shares of the length are printed for {NOMINAL} iterations.\n"
    )


def _value(tree: "DictConfig", key: str) -> Any:
    """Return the value of a key as it is written, with interpolations; None if there is no such key."""
    node = tree._get_node(key) if key in tree else None
    return None if node is None else node._value()


OfLength = Callable[[int], Any]
"""Returns the `RunConfig` of a number of iterations, in which shares of the run have their values."""
