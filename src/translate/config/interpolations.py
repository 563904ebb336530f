"""Bound what the interpolations of a configuration may cost: ``${key}`` in a file of others can double without end.

OmegaConf resolves a reference anew wherever it stands, so 40 keys that each refer twice to the one before would take
2^40 steps. Here steps and characters are counted, and a nest that is too deep for Python is a sentence too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf.base import Container

from translate.errors import Phrase, UserError

MAX_STEPS = 10_000
"""Interpolations that are resolved while a configuration is composed and checked; shipped ones need some hundred."""

MAX_CHARACTERS = 10_000_000
"""Characters of their results in all."""


class _TooMuch(BaseException):
    """The bounds are exceeded; not an Exception, which OmegaConf would take for one of its own."""


_is_bounded = False


@contextmanager
def bounded() -> Iterator[None]:
    """Raise UserError where interpolations that are resolved in the block exceed the bounds."""
    global _is_bounded
    if _is_bounded:
        yield
        return
    original, left = Container.resolve_parse_tree, {"steps": MAX_STEPS, "characters": MAX_CHARACTERS}

    def spend(what: str, amount: int) -> None:
        left[what] -= amount
        if left[what] < 0:
            raise _TooMuch

    def counted(self: Container, *words: Any, **settings: Any) -> Any:
        spend("steps", 1)
        value = original(self, *words, **settings)
        if isinstance(value, str):
            spend("characters", len(value))
        return value

    _is_bounded = True
    Container.resolve_parse_tree = counted  # type: ignore[method-assign]
    try:
        yield
    except (_TooMuch, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        found = "too many levels" if deep else f"more than {MAX_STEPS:,} steps or {MAX_CHARACTERS:,} characters"
        raise UserError(
            "the interpolations ${...} of the configuration cannot be resolved",
            found=Phrase(found),
            fix="write the values themselves",
        ) from None
    finally:
        Container.resolve_parse_tree = original  # type: ignore[method-assign]
        _is_bounded = False
