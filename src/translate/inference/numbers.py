"""Check numbers that a caller in Python gives; the command line has checked its own."""

import math
import operator
from typing import Any

from translate.errors import UserError


def whole(value: Any, key: str, minimum: int | None = None) -> int:
    """Return a whole number; UserError, with ``key``, for another value and for one below ``minimum``.

    >>> whole(3, "seed"), whole(2.0, "steps", 2)
    Traceback (most recent call last):
    translate.errors.UserError: steps: found 2.0, expected a whole number
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise UserError(key=key, found=value, expected="a whole number") from None
    if minimum is not None and number < minimum:
        raise UserError(key=key, found=number, expected=f"at least {minimum}")
    return number


def finite(value: Any, key: str) -> float:
    """Return a finite number; UserError, with ``key``, for another value."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(key=key, found=value, expected="a number")
    return number
