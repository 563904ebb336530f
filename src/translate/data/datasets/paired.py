"""Pairs of images, side by side in one file or in two folders by equal names, as the data sets of pix2pix come."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import (
    ImageFiles,
    Split,
    check_share,
    check_split,
    choose_domains,
    find_root,
    held_out_names,
)
from translate.data.datasets.sides import HELD_OUT, find_held_out, find_sides, name_sides
from translate.data.images import Half, list_images
from translate.errors import UserError
from translate.registry.registry import DATASETS

_HALVES: tuple[Half, Half] = ("left", "right")
_SPELLINGS = ("{part}{side}", "{side}/{part}", "{part}/{side}")

Pairs = list[tuple[str, str]]
"""The files of A and of B, relative to the root; the same file twice where both lie side by side in it."""


@DATASETS.register("paired", provides=("domain", "partner"))
class Paired(ImageFiles):
    """Images of two domains, of which every one belongs to one of the other (pix2pix).

    Which of two layouts `root` has is found by looking. Two folders: trainA/ and trainB/ (or A/train/ and
    B/train/, or train/A/ and train/B/), where files of equal names but for their endings are pairs (1_A.jpg
    and 1_B.jpg are, too). Side by side: every file of train/ holds both pictures, A on the left, B on the
    right, each half as wide as the file. The validation part is val or else test, spelt alike; without any,
    `val_fraction` of the pairs is kept, chosen by the hash of the names.
    `domain_names`: what A and B are called; null means a and b. `domains` orders the two and so gives the
    direction: from the first to the second. `crop` as for class folders, for both pictures of a pair alike.
    Items 2k and 2k + 1 are a pair. A file side by side of odd width is set aside as unreadable.
    Raises UserError for a root that is missing or no folder, a side that is missing, files without a partner,
    no pair at all, fewer than both domains.
    """

    def __init__(
        self,
        root: str,
        domain_names: Sequence[str] | None = None,
        crop: str | int = "none",
        val_fraction: float = 0.05,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """List the files; see the class."""
        part = check_split(split)
        home = find_root(root)
        sides = name_sides(domain_names)
        self.domains = choose_domains(sides, domains, home)
        if len(self.domains) < 2:
            raise UserError(f"data.domains: found only {self.domains[0]!r}, but a pair is of {' and '.join(sides)}")
        pairs = _in_two_folders(home, part, val_fraction)
        side_by_side = pairs is None
        if pairs is None:
            pairs = _side_by_side(home, part, val_fraction)
        order = [sides.index(name) for name in self.domains]
        halves = [_HALVES[side] for side in order] * len(pairs) if side_by_side else None
        super().__init__(home, [pair[side] for pair in pairs for side in order], crop, halves)
        self.domain = np.tile(np.arange(2), len(pairs))
        self.partner = np.arange(2 * len(pairs)) ^ 1


def _in_two_folders(home: str, part: Split, share: float) -> Pairs | None:
    """Return the pairs of a part that lies in two folders, or None where the training part does not."""
    train = find_sides(home, "train", _SPELLINGS)
    if train is None:
        return None
    held_out = find_held_out(home, _SPELLINGS)
    a, b = held_out if held_out and part == "val" else train
    names = [list_images(os.path.join(home, folder)) for folder in (a, b)]
    keys = [_keys(found) for found in names]
    if not set(keys[0]) & set(keys[1]):
        keys = [_keys(found, f"_{side}") for found, side in zip(names, "AB", strict=True)]
    for folder, found in zip((a, b), keys, strict=True):
        if not found:
            raise UserError(f"data.root: {os.path.join(home, folder)} has no image file")
        twice, count = Counter(found).most_common(1)[0]
        if count > 1:
            raise UserError(f"data.root: {os.path.join(home, folder)} has several images called {twice!r}")
    _check_partners(home, (a, b), keys)
    files = [dict(zip(found, listed, strict=True)) for found, listed in zip(keys, names, strict=True)]
    chosen = keys[0] if held_out else _take(keys[0], share, part, home)
    return [(f"{a}/{files[0][key]}", f"{b}/{files[1][key]}") for key in chosen]


def _keys(names: Sequence[str], suffix: str = "") -> list[str]:
    """Return what files are known by: their names without ending, and without a suffix such as _A."""
    return [os.path.splitext(name)[0].removesuffix(suffix) for name in names]


def _check_partners(home: str, folders: tuple[str, str], keys: Sequence[Sequence[str]]) -> None:
    lonely = [
        (os.path.join(folder, key), other)
        for folder, other, own, others in zip(folders, folders[::-1], keys, keys[::-1], strict=True)
        for key in sorted(set(own) - set(others), key=os.fsencode)
    ]
    if lonely:
        named = ", ".join(f"{name} (none in {other}/)" for name, other in lonely[:3])
        more = f" and {len(lonely) - 3:,} more" if len(lonely) > 3 else ""
        raise UserError(
            f"data.root: {len(lonely):,} images in {home} have no partner of the same name: {named}{more}; "
            "add the partners or remove the images, or take data=unpaired"
        )


def _side_by_side(home: str, part: Split, share: float) -> Pairs:
    """Return the pairs of a part whose files hold two pictures each."""
    train = "train" if os.path.isdir(os.path.join(home, "train")) else "."
    held_out = next((name for name in HELD_OUT if os.path.isdir(os.path.join(home, name))), None)
    if held_out and train == ".":
        raise UserError(f"data.root: {home} has {held_out}/ but no train/")
    folder = held_out if held_out and part == "val" else train
    listed = list_images(os.path.join(home, folder))
    found = [name for name in listed if "/" not in name]
    if not found:
        has = "image files in folders of its own only, as for data=folder" if listed else "no image file"
        raise UserError(
            f"data.root: {os.path.normpath(os.path.join(home, folder))} has {has}; expected files of two pictures side "
            "by side in train/, or the folders trainA/ and trainB/ with files of equal names"
        )
    chosen = found if held_out else _take(found, share, part, home)
    names = [os.path.normpath(f"{folder}/{name}").replace(os.sep, "/") for name in chosen]
    return [(name, name) for name in names]


def _take(keys: Sequence[str], share: float, part: Split, home: str) -> list[str]:
    """Return the keys of a part where both parts lie together."""
    check_share(share)
    if len(keys) < 2:
        raise UserError(f"data.root: {home} has a single pair, too few for train and val")
    held_out = held_out_names(keys, "pair", share)
    return [key for key, out in zip(keys, held_out, strict=True) if out == (part == "val")]
