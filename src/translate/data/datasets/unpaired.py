"""Unpaired images of two domains, trainA/ and trainB/, as the data sets of CycleGAN come."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import (
    ImageFiles,
    check_share,
    check_split,
    choose_domains,
    find_root,
    take_share,
)
from translate.data.datasets.sides import DEFAULT_NAMES, find_held_out, find_sides, name_sides
from translate.data.images import list_images
from translate.errors import UserError, among
from translate.registry.registry import DATASETS

COLLECTIONS = {
    "apple2orange": ("apple", "orange"),
    "cezanne2photo": ("cezanne", "photo"),
    "cityscapes": ("photo", "label"),
    "facades": ("photo", "label"),
    "horse2zebra": ("horse", "zebra"),
    "iphone2dslr_flower": ("iphone", "dslr"),
    "maps": ("photo", "map"),
    "monet2photo": ("monet", "photo"),
    "summer2winter_yosemite": ("summer", "winter"),
    "ukiyoe2photo": ("ukiyoe", "photo"),
    "vangogh2photo": ("vangogh", "photo"),
}
"""The published sets of CycleGAN, each with what its sides A and B show."""


@DATASETS.register("unpaired", provides=("domain",))
class Unpaired(ImageFiles):
    """Two folders of images that have nothing to do with each other, trainA/ and trainB/ (CycleGAN).

    `root` holds trainA/ and trainB/ with image files of any kind, at any depth, and valA/ and valB/ or testA/
    and testB/ (the first of them that is there is the validation part). Where there are neither, `val_fraction`
    of each side is kept for validation, chosen by the hash of the names. `collection` is one of the published
    sets of CycleGAN, in `root` itself or in a folder of its name there; it gives the names of the domains.
    `domain_names`: what A and B are called; null means the collection's names, or a and b. `domains` chooses
    and orders them: the first one is what a model with a direction begins with. `crop` as for class folders.
    Raises UserError for a root that is missing or no folder, a side that is missing or empty, an unknown
    collection, names that are not two.
    """

    def __init__(
        self,
        root: str,
        collection: str | None = None,
        domain_names: Sequence[str] | None = None,
        crop: str | int = "none",
        val_fraction: float = 0.05,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """List the files; see the class."""
        part = check_split(split)
        home = find_root(root) if collection is None else _find_collection(find_root(root), collection)
        train, held_out = find_sides(home, "train"), find_held_out(home)
        if train is None:
            raise UserError(_lacks_sides(home))
        if held_out is None:
            check_share(val_fraction)
        sides = name_sides(domain_names, COLLECTIONS[collection] if collection else DEFAULT_NAMES)
        self.domains = choose_domains(sides, domains, home)
        names: list[str] = []
        labels: list[int] = []
        for label, domain in enumerate(self.domains):
            folder = (held_out if held_out and part == "val" else train)[sides.index(domain)]
            found = list_images(os.path.join(home, folder))
            if not found:
                raise UserError(
                    f"data.root: domain {domain!r} is empty, {os.path.join(home, folder)} has no image file"
                )
            if held_out is None:
                found = take_share(found, domain, val_fraction, part, os.path.join(home, folder))
            names += [f"{folder}/{name}" for name in found]
            labels += [label] * len(found)
        super().__init__(home, names, crop)
        self.domain = np.array(labels, np.int64)


def _find_collection(home: str, collection: str) -> str:
    """Return the folder of a published set: that of its name, or `home` unless it is that of another one."""
    if collection not in COLLECTIONS:
        raise UserError(f"data.collection: unknown collection {collection!r}{among(collection, COLLECTIONS)}")
    below = os.path.join(home, collection)
    if os.path.isdir(below):
        return below
    other = os.path.basename(home)
    if other != collection and other in COLLECTIONS:
        raise UserError(f"data.root: {home} is the collection {other!r}, but data.collection is {collection!r}")
    return home


def _lacks_sides(home: str) -> str:
    found = sorted(entry.name for entry in os.scandir(home) if entry.is_dir())
    inside = [name for name in found if os.path.isdir(os.path.join(home, name, "trainA"))]
    if inside:
        hint = f"there is one in {inside[0]}/: write data.root={os.path.join(home, inside[0])}"
    elif "train" in found:
        hint = "for class folders such as train/cat take data=folder"
    else:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        hint = f"there are {', '.join(found[:5]) or 'no folders'}{more}"
    return f"data.root: {home} has no trainA/ and trainB/; {hint}"
