"""Options of an official program, as a reader finds them in its source: type, default, choices; and ours beside them.

A table has the order of the official file, so that both can be read side by side:

    "--img_size": whole("256", "data.image_size={}"),    parser.add_argument('--img_size', type=int, default=256)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from translate.errors import UserError

Kind = Literal["text", "whole", "number", "flag"]
"""Types of argparse: str, int, float, and an option without a value."""


@dataclass(frozen=True)
class Option:
    """One option: its official type and default, and our overrides with ``{}`` for its value.

    ``equal`` is whether the official default is also ours, so that it need not be written. ``remark`` says why an
    option has no counterpart, or what is different. ``older`` are its names in earlier versions of the program.
    """

    kind: Kind = "text"
    default: str = ""
    ours: tuple[str, ...] = ()
    remark: str = ""
    equal: bool = True
    choices: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    many: bool = False
    required: bool = False

    @property
    def flag(self) -> bool:
        """Return whether the option takes no value."""
        return self.kind == "flag"

    def check(self, name: str, values: Sequence[str]) -> None:
        """Raise UserError for values that the official program refuses."""
        if self.flag:
            return
        if not values:
            raise UserError("the value is missing", key=name)
        for value in values if self.many else values[:1]:
            if self.kind == "whole" and not re.fullmatch(r"[+-]?\d+", value):
                raise UserError(key=name, found=value, expected="a whole number")
            if self.kind == "number" and not _is_number(value):
                raise UserError(key=name, found=value, expected="a number")
            if self.choices and value not in self.choices:
                raise UserError("unknown value", key=name, found=value, known=self.choices)

    def is_default(self, values: Sequence[str]) -> bool:
        """Return whether the value is the default of both programs."""
        if not self.equal or not values:
            return False
        if self.kind in ("whole", "number") and _is_number(self.default):
            return float(values[0]) == float(self.default)
        return values[0] == self.default


Older = tuple[str, ...]


def whole(default: str, *ours: str, remark: str = "", equal: bool = True, older: Older = ()) -> Option:
    """Return an option of ``type=int``."""
    return Option("whole", default, ours, remark, equal, older=older)


def number(default: str, *ours: str, remark: str = "", equal: bool = True, older: Older = ()) -> Option:
    """Return an option of ``type=float``."""
    return Option("number", default, ours, remark, equal, older=older)


def text(default: str, *ours: str, remark: str = "", equal: bool = True, older: Older = ()) -> Option:
    """Return an option of ``type=str``."""
    return Option("text", default, ours, remark, equal, older=older)


def one_of(choices: str, default: str, *, remark: str = "", required: bool = False, older: Older = ()) -> Option:
    """Return an option with ``choices``, written with spaces between them."""
    return Option("text", default, remark=remark, choices=tuple(choices.split()), required=required, older=older)


def flag(*ours: str, remark: str = "") -> Option:
    """Return an option of ``action='store_true'``."""
    return Option("flag", ours=ours, remark=remark)


def _is_number(value: str) -> bool:
    try:
        return not math.isnan(float(value))
    except ValueError:
        return False
