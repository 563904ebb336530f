"""Pairs of images, side by side in one file or in two folders by equal names: the layouts of pix2pix."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import (
    ImageFiles,
    Split,
    check_split,
    check_val_fraction,
    choose_domains,
    find_root,
    split_names,
)
from translate.data.datasets.sides import HELD_OUT, find_held_out, find_sides, name_sides
from translate.data.images import Half, list_images
from translate.errors import Phrase, UserError
from translate.registry.registry import DATASETS

_HALVES: tuple[Half, Half] = ("left", "right")
_SPELLINGS = ("{split}{side}", "{side}/{split}", "{split}/{side}")

Pairs = list[tuple[str, str]]
"""The files of A and of B, relative to the root; the same file twice if it holds both side by side."""


@DATASETS.register("paired", provides=("domain", "partner"))
class Paired(ImageFiles):
    """Pairs of images of two domains (pix2pix).

    `root` has one of two layouts. Two folders: trainA/ and trainB/ (or A/train/ and B/train/, or train/A/ and
    train/B/), where files of equal names but for their suffixes are pairs; so are 1_A.jpg and 1_B.jpg. Side by side:
    every file of train/ holds both images, A on the left, B on the right, each half as wide as the file. The
    validation split is val or else test, spelt alike; without either, `val_fraction` of the pairs is held out, by the
    hash of the names.
    `domain_names` are the names of A and B; null means a and b. `domains` orders the two and so gives the direction:
    from the first to the second. `crop` as for class folders, the same for both images of a pair.
    Items 2k and 2k + 1 are a pair. A file side by side of odd width counts as unreadable.
    UserError for a root that is no folder, a missing side, files without a partner, no pair, and fewer than two
    domains.
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
        split = check_split(split)
        home = find_root(root)
        sides = name_sides(domain_names)
        self.domains = choose_domains(sides, domains, home)
        if len(self.domains) < 2:
            raise UserError(key="domains", found=list(self.domains), expected=f"both {' and '.join(sides)}")
        pairs = _in_two_folders(home, split, val_fraction)
        side_by_side = pairs is None
        if pairs is None:
            pairs = _side_by_side(home, split, val_fraction)
        order = [sides.index(name) for name in self.domains]
        halves = [_HALVES[side] for side in order] * len(pairs) if side_by_side else None
        super().__init__(home, [pair[side] for pair in pairs for side in order], crop, halves)
        self.domain = np.tile(np.arange(2), len(pairs))
        self.partner = np.arange(2 * len(pairs)) ^ 1


def _in_two_folders(home: str, split: Split, val_fraction: float) -> Pairs | None:
    """Return the pairs of a split in two folders, or None if the training split has another layout."""
    train = find_sides(home, "train", _SPELLINGS)
    if train is None:
        return None
    held_out = find_held_out(home, _SPELLINGS)
    a, b = held_out if held_out and split == "val" else train
    names = [list_images(os.path.join(home, folder)) for folder in (a, b)]
    keys = [_keys(files) for files in names]
    if not set(keys[0]) & set(keys[1]):
        keys = [_keys(files, f"_{side}") for files, side in zip(names, "AB", strict=True)]
    for folder, stems in zip((a, b), keys, strict=True):
        if not stems:
            raise UserError(f"{os.path.join(home, folder)} has no image file", key="root")
        twice, count = Counter(stems).most_common(1)[0]
        if count > 1:
            raise UserError(f"{os.path.join(home, folder)} has several images named {twice!r}", key="root")
    _check_partners(home, (a, b), keys)
    files = [dict(zip(stems, listed, strict=True)) for stems, listed in zip(keys, names, strict=True)]
    chosen = keys[0] if held_out else _split_pairs(keys[0], val_fraction, split, home)
    return [(f"{a}/{files[0][key]}", f"{b}/{files[1][key]}") for key in chosen]


def _keys(names: Sequence[str], ending: str = "") -> list[str]:
    """Return the names that pairs share: without the extension, and without an ending such as _A."""
    return [os.path.splitext(name)[0].removesuffix(ending) for name in names]


def _check_partners(home: str, folders: tuple[str, str], keys: Sequence[Sequence[str]]) -> None:
    unpaired = [
        (os.path.join(folder, key), partner_folder)
        for folder, partner_folder, own, partners in zip(folders, folders[::-1], keys, keys[::-1], strict=True)
        for key in sorted(set(own) - set(partners), key=os.fsencode)
    ]
    if unpaired:
        named = ", ".join(f"{name} (none in {folder}/)" for name, folder in unpaired[:3])
        more = f" and {len(unpaired) - 3:,} more" if len(unpaired) > 3 else ""
        raise UserError(
            f"{len(unpaired):,} images in {home} have no partner of the same name: {named}{more}",
            key="root",
            fix="add the partners or remove the images, or use the data set unpaired",
        )


def _side_by_side(home: str, split: Split, val_fraction: float) -> Pairs:
    """Return the pairs of a split whose files hold two images each."""
    train = "train" if os.path.isdir(os.path.join(home, "train")) else "."
    held_out = next((name for name in HELD_OUT if os.path.isdir(os.path.join(home, name))), None)
    if held_out and train == ".":
        raise UserError(f"{home} has {held_out}/ but no train/", key="root")
    folder = held_out if held_out and split == "val" else train
    listed = list_images(os.path.join(home, folder))
    files = [name for name in listed if "/" not in name]
    if not files:
        raise UserError(
            f"{os.path.normpath(os.path.join(home, folder))} has no pairs",
            key="root",
            found=Phrase("image files in its folders only, as for the data set folder" if listed else "no image file"),
            expected="files of two images side by side in train/, or trainA/ and trainB/ with files of equal names",
        )
    chosen = files if held_out else _split_pairs(files, val_fraction, split, home)
    names = [os.path.normpath(f"{folder}/{name}").replace(os.sep, "/") for name in chosen]
    return [(name, name) for name in names]


def _split_pairs(keys: Sequence[str], val_fraction: float, split: Split, home: str) -> list[str]:
    """Return the keys of the pairs in a split, where no folder holds the validation split."""
    check_val_fraction(val_fraction)
    if len(keys) < 2:
        raise UserError(f"{home} has a single pair, too few for train and val", key="root")
    return split_names(keys, "pair", val_fraction, split)
