"""RaFD: faces with eight expressions, told by their published file names, or class folders."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

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
from translate.data.datasets.folder import Folder
from translate.data.images import list_images
from translate.errors import UserError
from translate.registry.registry import DATASETS

EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
ANGLES = (0, 45, 90, 135, 180)  # 90 is from the front

_NAME = re.compile(
    rf"rafd(?P<angle>\d{{3}})_(?P<person>\d+)_.+_(?P<expression>{'|'.join(EXPRESSIONS)})_[a-z]+\.\w+", re.IGNORECASE
)


@DATASETS.register("rafd", provides=("domain",))
class RaFD(ImageFiles):
    """RaFD (Langner et al., 2010): 67 persons with eight expressions, which are the domains.

    `root` holds the files by their published names, at any depth: Rafd090_01_Caucasian_female_angry_frontal.jpg
    is camera angle, person, group, sex, expression, gaze. Files of other names are left out. `angles` says
    which of the cameras 0, 45, 90 (front), 135, 180 to take; 45, 90 and 135 are StarGAN v1's 4,824 images.
    RaFD has no split. A share of the persons, `val_fraction`, is held out, chosen by the hash of their numbers, so
    that no face of the validation part has been trained on (StarGAN v1 divides images at random).
    Where there is no such name, or a folder train/, `root` holds class folders as for data=folder, and their
    names, split and `val_fraction` of images count; `angles` does not.
    `crop`: the side of a centred square in pixels; the published 256 is meant for files that were cropped
    about the face, "square" suits the upright ones that RaFD distributes. "none" squashes.
    Raises UserError for an unknown angle, angles that no file has, a single person, an expression that a part
    lacks, and what data=folder raises.
    """

    def __init__(
        self,
        root: str,
        angles: Sequence[int] = (45, 90, 135),
        crop: str | int = 256,
        val_fraction: float = 0.1,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """List the files; see the class."""
        part = check_split(split)
        home = find_root(root)
        if not angles or set(angles) - set(ANGLES):
            raise UserError(f"data.angles: found {list(angles)}, expected some of {', '.join(map(str, ANGLES))}")
        self.num_persons: int | None = None  # not known in class folders
        shots = [] if os.path.isdir(os.path.join(home, "train")) else _shots(home)
        if shots:
            check_share(val_fraction)
            persons = _persons(shots, part, val_fraction, home)
            self.num_persons = len(persons)
            self.domains = choose_domains(EXPRESSIONS, domains, "RaFD")
            shots = _chosen(shots, angles, home)
            shots = [shot for shot in shots if shot.person in persons and shot.expression in self.domains]
            names = [shot.name for shot in shots]
            labels = np.array([self.domains.index(shot.expression) for shot in shots], np.int64)
            _check_complete(labels, self.domains, part, home)
        else:
            folders = Folder(root, crop, val_fraction, split=split, domains=domains)
            assert folders.domain is not None
            self.domains, names, labels = folders.domains, folders.names, folders.domain
        super().__init__(home, names, crop)
        self.domain = labels

    def summary(self) -> str:
        """As `Dataset.summary`, and how many persons there are, where the names tell."""
        persons = "" if self.num_persons is None else f"; {self.num_persons} persons"
        return f"{super().summary()}{persons}"


class _Shot(NamedTuple):
    name: str  # relative to the root
    angle: int
    person: str
    expression: str


def _shots(home: str) -> list[_Shot]:
    """Return the files that have a published name."""
    found = []
    for name in list_images(home):
        match = _NAME.fullmatch(name.rpartition("/")[2])
        if match:
            found.append(_Shot(name, int(match["angle"]), match["person"], match["expression"].lower()))
    return found


def _persons(shots: Sequence[_Shot], part: Split, share: float, home: str) -> set[str]:
    """Return the persons of a part."""
    persons = sorted({shot.person for shot in shots})
    if len(persons) < 2:
        raise UserError(f"data.root: {home} has pictures of a single person, too few for train and val")
    held_out = held_out_names(persons, "person", share)
    return {person for person, out in zip(persons, held_out, strict=True) if out == (part == "val")}


def _chosen(shots: Sequence[_Shot], angles: Sequence[int], home: str) -> list[_Shot]:
    """Return what the cameras at these angles have taken."""
    chosen = [shot for shot in shots if shot.angle in angles]
    if not chosen:
        there = ", ".join(map(str, sorted({shot.angle for shot in shots})))
        raise UserError(f"data.angles: {home} has no picture at {', '.join(map(str, angles))}; there are {there}")
    return chosen


def _check_complete(labels: np.ndarray, domains: Sequence[str], part: Split, home: str) -> None:
    counts = np.bincount(labels, minlength=len(domains))
    missing = [name for name, count in zip(domains, counts, strict=True) if not count]
    if missing:
        raise UserError(
            f"data.root: {home} has no picture of {', '.join(missing)} in the {part} part; add pictures, or choose "
            "the expressions by data.domains"
        )
