"""Class folders: one folder for each domain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np

from translate.data.datasets.base import (
    ImageFiles,
    Split,
    check_split,
    check_val_fraction,
    choose_domains,
    find_root,
    split_domain,
)
from translate.data.images import is_folder, is_hidden, is_image, list_images
from translate.errors import Phrase, UserError
from translate.registry.registry import DATASETS

_VALIDATION = ("val", "test")  # in this order


@DATASETS.register("folder", provides=("domain",))
class Folder(ImageFiles):
    """Class folders: every folder is a domain, every image file in it (at any depth) an item.

    `root` holds either train/ and val/ (or test/), each with the class folders, or the class folders themselves. In
    the second case, and without val/ or test/, `val_fraction` of each domain's files is held out for validation. The
    hash of the name decides: the splits are the same on every machine, and a file stays in its split when others are
    added. At least one file of each domain is held out. `domains` chooses and orders a subset; null takes all folders,
    sorted by name. `crop`: "square" (centre), the side of a centred square in pixels, or "none" (squash, as in the
    official loader of StarGAN v2). `classes` says what tells the class of an image, which a translation should keep
    and the metric class_accuracy reads: "folder", the folder inside of the domain's, as in mnist/7/0012.png, or "name",
    the file's name before its first underscore, as in mnist/7_0012.png; null: no classes.
    UserError for a root that is no folder, no class folder, an empty domain, and splits with different domains.
    """

    def __init__(
        self,
        root: str,
        crop: str | int = "none",
        val_fraction: float = 0.05,
        classes: Literal["folder", "name"] | None = None,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """List the files; see the class."""
        split = check_split(split)
        home = find_root(root)
        splits = _split_folders(home)
        if splits is None:
            check_val_fraction(val_fraction)
            folder = os.path.join(home, "train") if _is_split(home, "train") else home
            self.domains = choose_domains(_class_folders(folder), domains, folder)
        else:
            folder = os.path.join(home, splits[split])
            self.domains = _common_domains(home, splits, domains)
        if domains is None and len(self.domains) == 1:
            _refuse_nested(folder, self.domains[0])
        names: list[str] = []
        labels: list[int] = []
        shown: list[str] = []
        self._nested: dict[str, list[str]] = {}
        for label, domain in enumerate(self.domains):
            files = list_images(os.path.join(folder, domain))
            if not files:
                place = os.path.join(folder, domain)
                fix = "add images, or remove the folder"
                raise UserError(f"domain {domain!r} is empty: {place} has no image file", key="root", fix=fix)
            if splits is None:
                files = split_domain(files, domain, val_fraction, split, folder)
            if nested := list(dict.fromkeys(name.partition("/")[0] for name in files if "/" in name)):
                self._nested[domain] = nested
            prefix = os.path.relpath(os.path.join(folder, domain), home).replace(os.sep, "/")
            names += [f"{prefix}/{name}" for name in files]
            labels += [label] * len(files)
            shown += [_class_of(name, classes) for name in files] if classes else []
        super().__init__(home, names, crop)
        self.domain = np.array(labels, np.int64)
        if classes:
            self.class_names = tuple(sorted(set(shown)))
            self.classes = np.array([self.class_names.index(name) for name in shown], np.int64)

    def nested_folders(self) -> dict[str, list[str]]:
        """Return the folders with images inside the folder of each domain that has any."""
        return self._nested


def _class_of(name: str, source: Literal["folder", "name"]) -> str:
    """Return the class of a file ``name``, a path below the folder of its domain; UserError if it has none.

    >>> _class_of("7/0012.png", "folder"), _class_of("more/7_0012.png", "name")
    ('7', '7')
    """
    folders, _, file = name.rpartition("/")
    kind, separator, _ = (folders, folders, "") if source == "folder" else file.partition("_")
    if not separator:
        expected = "a folder of its class" if source == "folder" else "a name such as 7_0012.png"
        raise UserError(f"the class of {name} is unknown", key="classes", expected=expected, fix="set classes=null")
    return kind.partition("/")[0]


def _refuse_nested(folder: str, name: str) -> None:
    """Raise UserError if the only class folder holds no image but several folders, which are most likely the domains.

    A caller who names the domain himself means it.
    """
    place = os.path.join(folder, name)
    inside = _sub_folders(place)
    if len(inside) > 1 and not any(map(is_image, os.listdir(place))):
        raise UserError(
            f"{folder} has the only class folder {name}/, which holds no images but folders",
            key="root",
            found=Phrase(", ".join(inside)),
            fix=f"give {place}, or set domains=[{name}] if all of them are one domain",
        )


def _sub_folders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted((e.name for e in entries if not is_hidden(e.name) and is_folder(e)), key=os.fsencode)


def _is_split(home: str, name: str) -> bool:
    """Return whether home/name holds folders: a class may be called "train" too, but then it holds images only."""
    path = os.path.join(home, name)
    return os.path.isdir(path) and bool(_sub_folders(path))


def _split_folders(home: str) -> dict[Split, str] | None:
    """Return the folders of both splits, or None if the class folders must be split."""
    held_out = next((name for name in _VALIDATION if _is_split(home, name)), None)
    if held_out is None:
        return None
    if _is_split(home, "train"):
        return {"train": "train", "val": held_out}
    if set(_sub_folders(home)) <= set(_VALIDATION):
        raise UserError(f"{home} has {held_out}/ but no train/ with class folders", key="root")
    return None


def _class_folders(folder: str) -> list[str]:
    folders = _sub_folders(folder)
    if not folders:
        loose = sum(map(is_image, os.listdir(folder)))
        raise UserError(
            f"{folder} has no class folder",
            key="root",
            found=Phrase(f"{loose:,} image files" if loose else "no images"),
            expected="one folder for each domain, as cat/ and dog/",
        )
    if "train" in folders and set(folders) <= {"train", *_VALIDATION}:
        raise UserError(
            f"{', '.join(folders)} in {folder} hold no class folders",
            key="root",
            expected="one folder for each domain in each, as train/cat",
        )
    if {"trainA", "trainB"} <= set(folders):
        raise UserError(
            key="root",
            found=Phrase(f"trainA/ and trainB/ in {folder}"),
            expected="class folders",
            fix="use the data set unpaired, or paired if files of equal names are pairs",
        )
    return folders


def _common_domains(home: str, splits: dict[Split, str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the domains; both splits must have them all, or all that are ``wanted``."""
    folders = {name: _class_folders(os.path.join(home, name)) for name in splits.values()}
    either = sorted(set().union(*folders.values()), key=os.fsencode)
    domains = choose_domains(either, wanted, home)
    missing = {name: ", ".join(domain for domain in domains if domain not in folders[name]) for name in folders}
    if any(missing.values()):
        differences = "; ".join(f"{names} not in {name}/" for name, names in missing.items() if names)
        raise UserError(
            f"the domains in {home} differ between {splits['train']}/ and {splits['val']}/",
            key="root",
            found=Phrase(differences),
            fix="add the folders, or choose domains that both have",
        )
    return domains
