"""Recognize the layout of a data set's folder, and name what training would leave out or misread."""

from __future__ import annotations

import os
import re
import shlex
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from PIL import Image

from translate.data.images import ImageError, explained
from translate.doctor.report import Section, number, verb
from translate.doctor.scan import ARCHIVES, TABLES, Scan, format_of, images_by_content
from translate.errors import UserError
from translate.files.reading import opened

SPLITS = ("train", "val", "test")
OTHER_SPELLINGS = {
    **dict.fromkeys(("valid", "validation", "dev", "eval", "holdout"), "val"),
    **dict.fromkeys(("training", "trn"), "train"),
    "testing": "test",
}
"""Names of folders that mean a split and are not read as one -> the name that is."""

SIDES = ("trainA", "trainB")
CELEBA_TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
MARKET_FOLDER = "bounding_box_train"
RAFD_NAME = re.compile(r"Rafd\d+_\d+_", re.IGNORECASE)
PREFIX = re.compile(r"^([A-Za-z]+?(?:[-_ ][A-Za-z]+)*?)(?=[-_. (]*\d)")
"""The words before the first number of a file name, such as "cat" in cat.0012.jpg."""

SIDE_BY_SIDE = (1.7, 2.3)  # the aspect ratios of two images side by side
TO_CONVERT = {
    "gif": "the first frame is read after a conversion to PNG",
    "heic": "a photograph of a telephone; convert it to JPEG",
    "avif": "convert it to PNG or JPEG",
    "svg": "a drawing of lines; render it as PNG",
    "psd": "a layered file; export it as PNG",
    "raw": "a raw photograph; develop it to TIFF or JPEG",
    "npy": "an array; write it as PNG",
    "mp4": "a film; write its frames as images",
}
"""Suffixes that are not read -> what to do with the file."""


def recognize(found: Scan, aspect: float | None = None) -> str:
    """Return the data set (option of ``data=``) whose layout a folder has.

    ``aspect`` is the usual ratio of width to height of images directly in train/ or the root; None: unknown.
    """
    files = {name for names in found.skipped.values() for name in names}
    folders = set(found.top())
    if files & set(CELEBA_TABLES) and not (set(found.below("train")) and not found.loose("train")):
        return "celeba"  # class folders in train/ say more than a table that is beside them
    if MARKET_FOLDER in folders:
        return "market1501"
    if set(SIDES) <= folders:
        return "paired" if equal_names(found, *SIDES) else "unpaired"
    if {"A", "B"} <= folders and set(found.below("A")) & set(SPLITS):
        return "paired"
    loose = found.loose("train") if "train" in folders else found.loose()
    if loose and RAFD_NAME.match(os.path.basename(loose[0])):
        return "rafd"
    place = "train" if "train" in folders else ""
    has_domains = bool(found.below("train")) if place else bool(folders - set(SPLITS))
    if loose and not has_domains and aspect is not None and SIDE_BY_SIDE[0] <= aspect <= SIDE_BY_SIDE[1]:
        return "paired"
    return "folder"


def equal_names(found: Scan, a: str, b: str) -> bool:
    """Return whether most files of two folders have partners of the same name."""
    stems = [{os.path.splitext(name[len(folder) + 1 :])[0] for name in found.images if name.startswith(f"{folder}/")}
             for folder in (a, b)]  # fmt: skip
    plain = [{re.sub(r"_[AB]$", "", stem) for stem in each} for each in stems]
    common, smaller = len(plain[0] & plain[1]), min(map(len, plain))
    return smaller > 0 and common >= 0.9 * smaller


def domain_folders(found: Scan) -> dict[str, list[str]]:
    """Return the domain folders of each split; the split is "" where the root holds the domains."""
    top = found.top()
    splits = [name for name in top if name in SPLITS and found.below(name)]
    if "train" in splits:
        return {name: sorted(found.below(name)) for name in splits}
    return {"": sorted(top)}


def check(found: Scan, kind: str, section: Section) -> None:
    """Add the findings about a folder that is read as the data set ``kind``."""
    section.fact("folder", found.root)
    section.fact("read as", f"data={kind}")
    section.fact("image files", f"{len(found.images):,}")
    if not found.images:
        section.problem(f"there is no image file below {found.root}", fix=_fix_of_nothing(found))
    if kind == "folder":
        _check_class_folders(found, section)
    _check_other_splits(found, section)
    _check_hidden(found, section)
    _check_skipped(found, section)
    for name in found.unreadable:
        section.problem(f"the folder {name} cannot be listed: no permission", fix=f"chmod -R u+rX {name}")
    for name, target in found.loops.items():
        section.problem(
            f"the link {name} leads to a folder that holds it, {target}: training reads the same images again",
            fix=f"remove the link: rm {shlex.quote(os.path.join(found.root, name))}",
        )
    if found.empty and found.images:
        section.warning(
            f"{number(len(found.empty), 'folder')} without files", found.empty, "remove them, or add images"
        )


def _fix_of_nothing(found: Scan) -> str:
    archives = [name for suffix in ARCHIVES for name in found.skipped.get(suffix, [])]
    return f"unpack {archives[0]}" if archives else "give the folder that holds the domains"


# --- class folders -------------------------------------------------------------------------------------------


def _check_class_folders(found: Scan, section: Section) -> None:
    splits = domain_folders(found)
    for split, domains in splits.items():
        section.fact(f"{split or 'domains'}", f"{number(len(domains), 'folder')}: {', '.join(domains[:12]) or 'none'}")
    _check_loose(found, splits, section)
    _check_depth(found, splits, section)
    domains = next(iter(splits.values()))
    if len(domains) == 1 and not _wrapper(found):
        section.problem(
            f"there is a single domain, {domains[0]!r}: a translation needs at least two",
            fix="put the images of each domain into a folder of its own, beside this one",
        )
    for names in _alike_names(domains):
        section.warning("folders whose names differ in letter case or spaces only are different domains", names)
    held_out = next((split for split in ("val", "test") if split in splits), None)
    if held_out and set(splits["train"]) != set(splits[held_out]):
        for one, other in (("train", held_out), (held_out, "train")):
            if missing := sorted(set(splits[one]) - set(splits[other])):
                section.problem(
                    f"domains of {one}/ that {other}/ does not have", missing, "add the folders, or remove these"
                )


def _check_loose(found: Scan, splits: dict[str, list[str]], section: Section) -> None:
    """Report images that are not in the folder of a domain."""
    for split in splits:
        loose = found.loose(split)
        place = f"{split}/" if split else "the root"
        if not loose:
            continue
        if splits[split]:
            section.problem(
                f"{number(len(loose), 'image')} in {place} beside the domains {verb(len(loose))} not read",
                loose,
                "move them into the folder of their domain",
            )
        elif groups := prefixes(loose):
            first = next(iter(groups))
            section.problem(
                f"all images are in {place}, without a folder for each domain; their names suggest the domains "
                + ", ".join(f"{name} ({count:,})" for name, count in groups.items()),
                fix=f"make a folder for each, as: mkdir {first} && mv {first}*.* {first}/",
            )
        else:
            section.problem(
                f"all {len(loose):,} images are in {place}, without a folder for each domain",
                loose,
                "make a folder for each domain, as cat/ and dog/; pairs side by side in one file: data=paired; a table "
                "of attributes: data=celeba",
            )


def prefixes(names: Sequence[str]) -> dict[str, int]:
    """Return the words with which file names begin and how often, if two to fifty of them explain most of the names.

    >>> prefixes(["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg"])
    {'cat': 2, 'dog': 2}
    >>> prefixes(["000001.jpg", "000002.jpg"])
    {}
    """
    matches = (PREFIX.match(os.path.basename(name)) for name in names)
    groups = Counter(match[1] for match in matches if match)
    frequent = {name: count for name, count in sorted(groups.items()) if count > 1}
    return frequent if 2 <= len(frequent) <= 50 and sum(frequent.values()) >= 0.9 * len(names) else {}


def _wrapper(found: Scan) -> str | None:
    """Return the only folder of the root if the domains or splits are in it, else None."""
    top = list(found.top())
    if len(top) != 1 or top[0] in SPLITS or found.loose():
        return None
    inside = found.below(top[0])
    return top[0] if not found.loose(top[0]) and len(inside) >= (1 if set(inside) & set(SPLITS) else 2) else None


def _check_depth(found: Scan, splits: dict[str, list[str]], section: Section) -> None:
    """Report folders that are nested deeper than the layout needs."""
    if wrapper := _wrapper(found):
        inner = os.path.join(found.root, wrapper)
        section.problem(f"the domains are one folder deeper, in {wrapper}/", fix=f"data.root={inner}")
        return
    for split, domains in splits.items():
        start = f"{split}/" if split else ""
        nested = {
            name: [f"{name}/{inner}/" for inner in inside]
            for name in domains
            if (inside := sorted(found.below(f"{start}{name}")))
        }
        if nested:
            folders = [folder for each in nested.values() for folder in each]
            count = sum(sum(found.below(f"{start}{name}").values()) for name in nested)
            section.note(
                f"{number(count, 'image')} {f'in {split}/ ' if split else ''}are in folders inside a domain; all of "
                "them belong to that domain",
                folders,
                "move these folders up if they are domains themselves",
            )


def _alike_names(names: Sequence[str]) -> Iterator[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"[\s_-]", "", name).lower(), []).append(name)
    return (group for group in groups.values() if len(group) > 1)


# --- every layout --------------------------------------------------------------------------------------------


def _check_other_splits(found: Scan, section: Section) -> None:
    top = found.top()
    for name in top:
        meant = OTHER_SPELLINGS.get(name.lower())
        if meant and meant not in top and ("train" in top or meant == "train"):
            section.problem(
                f"the folder {name}/ with {number(top[name], 'image')} is not read as a split",
                fix=f"rename it to {meant}/",
            )


def _check_hidden(found: Scan, section: Section) -> None:
    if found.hidden:
        section.note(
            f"{number(len(found.hidden), 'image', 'are')} hidden or in hidden folders and not read", found.hidden
        )


def _check_skipped(found: Scan, section: Section) -> None:
    """Report files that are not read: images under a wrong suffix, and kinds of files by their suffix."""
    disguised = dict(images_by_content(found))
    kinds = Counter(disguised.values())
    for kind in sorted(set(kinds) & {"JPEG", "PNG", "WEBP", "BMP", "TIFF"}):
        names = [name for name, value in disguised.items() if value == kind]
        suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(kind, kind.lower())
        section.problem(
            f"{number(len(names), 'file', 'hold')} a {kind} image, and their suffix hides that",
            names,
            f"rename them to *.{suffix}",
        )
    for suffix, names in sorted(found.skipped.items()):
        others = [
            name for name in names if disguised.get(name, suffix.upper()) in (suffix.upper(), "GIF", "HEIC", "AVIF")
        ]
        if suffix in TABLES or not others:
            continue
        if suffix in ARCHIVES:
            section.note(f"{number(len(others), 'archive', 'are')} not unpacked", others)
        elif suffix in TO_CONVERT:
            section.warning(
                f"{number(len(others), 'file')} with the suffix .{suffix} {verb(len(others))} not read",
                others,
                TO_CONVERT[suffix],
            )
        else:
            section.note(
                f"{number(len(others), 'file')} with {f'the suffix .{suffix}' if suffix else 'no suffix'} "
                f"{verb(len(others))} not read",
                others,
            )


def wrong_suffixes(names: Sequence[str], folder: str, unreadable: dict[int, str]) -> dict[str, str]:
    """Return, for images that do not decode, a hint by their first bytes: a web page, or an archive."""
    hints = {}
    for index in list(unreadable)[:200]:
        path = os.path.join(folder, names[index])
        try:
            with opened(path) as file:
                head = file.read(64).lstrip().lower()
        except UserError:
            continue
        if head.startswith((b"<!doctype", b"<html", b"<?xml")):
            hints[names[index]] = "a web page, most likely the error page of a download"
        elif head.startswith(b"version https://git-lfs"):
            hints[names[index]] = "a pointer of Git LFS; run: git lfs pull"
        elif format_of(path) in ("HEIC", "AVIF"):
            hints[names[index]] = f"a {format_of(path)} image; convert it to JPEG"
    return hints


def usual_aspect(found: Scan, at_most: int = 32) -> float | None:
    """Return the median ratio of width to height of a few images directly in train/ or the root; None without any."""
    ratios = []
    for name in (found.loose("train") or found.loose())[:at_most]:
        path = os.path.join(found.root, name)
        try:
            with explained(path), Image.open(path) as image:
                ratios.append(image.width / image.height)
        except ImageError:
            continue
    return statistics.median(ratios) if ratios else None
