"""Unpaired images of two domains in trainA/ and trainB/, the layout of the data sets of CycleGAN."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import (
    ImageFiles,
    check_split,
    check_val_fraction,
    choose_domains,
    find_root,
    split_domain,
)
from translate.data.datasets.sides import DEFAULT_NAMES, find_held_out, find_sides, name_sides
from translate.data.images import is_folder, list_images
from translate.errors import Phrase, UserError
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
"""The official data sets of CycleGAN, each with the names of its domains A and B."""


@DATASETS.register("unpaired", provides=("domain",))
class Unpaired(ImageFiles):
    """Unpaired images of two domains, in the folders trainA/ and trainB/ (CycleGAN).

    `root` holds trainA/ and trainB/ with image files at any depth, and valA/ and valB/, or else testA/ and testB/, for
    validation. Without either, `val_fraction` of each domain is held out, by the hash of the names. `collection` is an
    official data set of CycleGAN, in `root` itself or in a folder of its name there; it names the domains.
    `domain_names` are the names of A and B; null means those of the collection, or a and b. `domains` chooses and
    orders them: the first one is the source of a model with a direction. `crop` as for class folders.
    UserError for a root that is no folder, a side that is missing or empty, an unknown collection, and names that are
    not two.
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
        split = check_split(split)
        home = find_root(root) if collection is None else _find_collection(find_root(root), collection)
        train, held_out = find_sides(home, "train"), find_held_out(home)
        if train is None:
            raise _no_sides(home)
        if held_out is None:
            check_val_fraction(val_fraction)
        sides = name_sides(domain_names, COLLECTIONS[collection] if collection else DEFAULT_NAMES)
        self.domains = choose_domains(sides, domains, home)
        names: list[str] = []
        labels: list[int] = []
        for label, domain in enumerate(self.domains):
            folder = (held_out if held_out and split == "val" else train)[sides.index(domain)]
            files, place = list_images(os.path.join(home, folder)), os.path.join(home, folder)
            if not files:
                fix = "add images, or remove the folder"
                raise UserError(f"domain {domain!r} is empty: {place} has no image file", key="root", fix=fix)
            if held_out is None:
                files = split_domain(files, domain, val_fraction, split, place)
            names += [f"{folder}/{name}" for name in files]
            labels += [label] * len(files)
        super().__init__(home, names, crop)
        self.domain = np.array(labels, np.int64)


def _find_collection(home: str, collection: str) -> str:
    """Return the folder of a collection: that of its name, or `home` unless it has the name of another one."""
    if collection not in COLLECTIONS:
        raise UserError("unknown collection", key="collection", found=collection, known=COLLECTIONS)
    below = os.path.join(home, collection)
    if os.path.isdir(below):
        return below
    other = os.path.basename(home)
    if other != collection and other in COLLECTIONS:
        raise UserError(f"{home} is another collection", key="root", found=other, expected=repr(collection))
    return home


def _no_sides(home: str) -> UserError:
    """Return the error of a root without trainA/ and trainB/, with the fix that its folders suggest."""
    folders = sorted(entry.name for entry in os.scandir(home) if is_folder(entry))
    nested = [name for name in folders if os.path.isdir(os.path.join(home, name, "trainA"))]
    more = f" and {len(folders) - 5} more" if len(folders) > 5 else ""
    if nested:
        fix = f"give {os.path.join(home, nested[0])}, which has trainA/"
    else:
        fix = "use the data set folder for class folders such as train/cat" if "train" in folders else ""
    return UserError(
        f"{home} has no trainA/ and trainB/",
        key="root",
        found=Phrase(f"{', '.join(folders[:5]) or 'no folders'}{more}"),
        fix=fix,
    )
