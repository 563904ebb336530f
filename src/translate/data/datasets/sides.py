"""Find the folders of the sides A and B, as the data sets of CycleGAN and pix2pix have them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from translate.errors import UserError

DEFAULT_NAMES = ("a", "b")
HELD_OUT = ("val", "test")  # in this order

Folders = tuple[str, str]
"""The folders of A and of B, relative to the root."""


def find_sides(home: str, split: str, spellings: Sequence[str] = ("{split}{side}",)) -> Folders | None:
    """Return the folders of a split ("train", "val", "test"), or None if no spelling exists.

    The first spelling of which a folder exists is taken; UserError if the other folder is missing.
    """
    for spelling in spellings:
        a, b = (spelling.format(split=split, side=side) for side in "AB")
        there = [os.path.isdir(os.path.join(home, folder)) for folder in (a, b)]
        if all(there):
            return a, b
        if any(there):
            present, missing = (a, b) if there[0] else (b, a)
            raise UserError(
                f"{home} has {present}/ but no {missing}/", key="root", fix=f"add {missing}/, or remove {present}/"
            )
    return None


def find_held_out(home: str, spellings: Sequence[str] = ("{split}{side}",)) -> Folders | None:
    """Return the folders of the validation split, val before test, or None without such folders."""
    return next((sides for split in HELD_OUT if (sides := find_sides(home, split, spellings))), None)


def name_sides(names: Sequence[str] | None, known: tuple[str, str] = DEFAULT_NAMES) -> tuple[str, str]:
    """Return the names of the domains A and B: the user's, or the known ones. UserError unless they are two names."""
    if names is None:
        return known
    if len(names) != 2 or names[0] == names[1] or not all(names):
        raise UserError(key="domain_names", found=list(names), expected="two names, of A and of B")
    return names[0], names[1]
