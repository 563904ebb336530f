"""Class folders: a folder a domain."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import (
    ImageFiles,
    Split,
    check_share,
    check_split,
    choose_domains,
    find_root,
    take_share,
)
from translate.data.images import is_hidden, is_image, list_images
from translate.errors import UserError
from translate.registry.registry import DATASETS

_VALIDATION = ("val", "test")  # in this order


@DATASETS.register("folder", provides=("domain",))
class Folder(ImageFiles):
    """Class folders: every folder is a domain, every image file in it (at any depth) an item.

    `root` holds either train/ and val/ (or test/), each with the class folders, or the class folders
    themselves. In the second case, and where there is no val/ or test/, `val_fraction` of each domain's files is
    kept for validation: those whose name has the smallest hash, so the parts are the same on every machine
    and a file never changes sides when others are added. A domain with too few files for that share gives one
    file. `domains` picks and orders a subset; otherwise the folders' names, sorted. `crop`: "square" (centre),
    the side of a centred square in pixels, or "none" (squash, as in the published StarGAN v2 loader).
    Raises UserError for a root that is missing or no folder, no class folder, an empty domain, train and val
    of different domains.
    """

    def __init__(
        self,
        root: str,
        crop: str | int = "none",
        val_fraction: float = 0.05,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """List the files; see the class."""
        part = check_split(split)
        home = find_root(root)
        parts = _parts(home)
        if parts is None:
            check_share(val_fraction)
            folder = os.path.join(home, "train") if _is_split(home, "train") else home
            self.domains = choose_domains(_class_folders(folder), domains, folder)
        else:
            folder = os.path.join(home, parts[part])
            self.domains = _common_domains(home, parts, domains)
        names: list[str] = []
        labels: list[int] = []
        for label, domain in enumerate(self.domains):
            found = list_images(os.path.join(folder, domain))
            if not found:
                raise UserError(
                    f"data.root: domain {domain!r} is empty, {os.path.join(folder, domain)} has no image file"
                )
            if parts is None:
                found = take_share(found, domain, val_fraction, part, folder)
            prefix = os.path.relpath(os.path.join(folder, domain), home).replace(os.sep, "/")
            names += [f"{prefix}/{name}" for name in found]
            labels += [label] * len(found)
        super().__init__(home, names, crop)
        self.domain = np.array(labels, np.int64)


def _sub_folders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted((e.name for e in entries if not is_hidden(e.name) and e.is_dir()), key=os.fsencode)


def _is_split(home: str, name: str) -> bool:
    """Whether home/name holds folders: a class may be called "train" too, but then holds images only."""
    path = os.path.join(home, name)
    return os.path.isdir(path) and bool(_sub_folders(path))


def _parts(home: str) -> dict[Split, str] | None:
    """Return the folders of both splits, or None where the class folders are to be divided."""
    held_out = next((name for name in _VALIDATION if _is_split(home, name)), None)
    if held_out is None:
        return None
    if _is_split(home, "train"):
        return {"train": "train", "val": held_out}
    if set(_sub_folders(home)) <= set(_VALIDATION):
        raise UserError(f"data.root: {home} has {held_out}/ but no train/ with class folders")
    return None


def _class_folders(folder: str) -> list[str]:
    found = _sub_folders(folder)
    if not found:
        loose = sum(map(is_image, os.listdir(folder)))
        has = f"{loose:,} image files" if loose else "nothing to train on"
        raise UserError(
            f"data.root: {folder} has no class folder ({has}); expected a folder a domain, as cat/ and dog/"
        )
    if "train" in found and set(found) <= {"train", *_VALIDATION}:
        raise UserError(
            f"data.root: {', '.join(found)} in {folder} hold no class folders; expected a folder a domain in "
            "each, such as train/cat"
        )
    if {"trainA", "trainB"} <= set(found):
        raise UserError(
            f"data.root: {folder} holds trainA/ and trainB/, expected class folders; take data=unpaired, or "
            "data=paired where equal names belong together"
        )
    return found


def _common_domains(home: str, parts: dict[Split, str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the domains, which must be the same in both parts (only those that are wanted, if `wanted`)."""
    found = {name: _class_folders(os.path.join(home, name)) for name in parts.values()}
    either = sorted(set().union(*found.values()), key=os.fsencode)
    domains = choose_domains(either, wanted, home)
    lacking = [
        f"{', '.join(missing)} not in {name}/"
        for name, folders in found.items()
        if (missing := [domain for domain in domains if domain not in folders])
    ]
    if lacking:
        raise UserError(
            f"data.root: the domains in {home} differ between {parts['train']}/ and {parts['val']}/: "
            f"{'; '.join(lacking)}; add the folders, or choose with data.domains"
        )
    return domains
