"""Two sides called A and B: how the data of CycleGAN and pix2pix lie on the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence

from translate.errors import UserError

DEFAULT_NAMES = ("a", "b")
HELD_OUT = ("val", "test")  # in this order

Folders = tuple[str, str]
"""The folders of A and of B, relative to the root."""


def find_sides(home: str, part: str, spellings: Sequence[str] = ("{part}{side}",)) -> Folders | None:
    """Return the folders of a part ("train", "val", "test"), by the first spelling of which there is any, or None.

    Raises UserError where one of the two is missing.
    """
    for spelling in spellings:
        a, b = (spelling.format(part=part, side=side) for side in "AB")
        there = [os.path.isdir(os.path.join(home, folder)) for folder in (a, b)]
        if all(there):
            return a, b
        if any(there):
            found, missing = (a, b) if there[0] else (b, a)
            raise UserError(f"data.root: {home} has {found}/ but no {missing}/; add it, or remove {found}/")
    return None


def find_held_out(home: str, spellings: Sequence[str] = ("{part}{side}",)) -> Folders | None:
    """Return the folders of the validation part, val before test, or None where there are none."""
    return next((found for part in HELD_OUT if (found := find_sides(home, part, spellings))), None)


def name_sides(names: Sequence[str] | None, known: tuple[str, str] = DEFAULT_NAMES) -> tuple[str, str]:
    """Return what the user calls A and B, or what is known. Raises UserError unless they are two names."""
    if names is None:
        return known
    if len(names) != 2 or names[0] == names[1] or not all(names):
        raise UserError(f"data.domain_names: found [{', '.join(map(str, names))}], expected two names, of A and of B")
    return names[0], names[1]
