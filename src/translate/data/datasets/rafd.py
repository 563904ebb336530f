"""RaFD: faces with eight expressions, recognized by the official file names, or in class folders."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from translate.data.datasets.base import (
    ImageFiles,
    Split,
    check_split,
    check_val_fraction,
    choose_domains,
    find_root,
    require_images,
    split_names,
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

    `root` holds the files with their official names, at any depth: Rafd090_01_Caucasian_female_angry_frontal.jpg
    is camera angle, person, group, sex, expression, gaze. Files of other names are left out. `angles` chooses among
    the cameras 0, 45, 90 (front), 135 and 180; 45, 90 and 135 are the 4,824 images of StarGAN v1.
    RaFD has no official split. `val_fraction` of the persons is held out, by the hash of their numbers, so that no
    face of the validation split is trained on (StarGAN v1 splits images at random).
    Without such a name, or with a folder train/, `root` holds class folders as for the data set folder: then the
    folders, and `val_fraction` of the images, make domains and splits, and `angles` has no effect.
    `crop`: the side of a centred square in pixels. The 256 of the official code suits files that were cropped around
    the face, "square" the upright ones that RaFD distributes. "none" squashes.
    UserError for an unknown angle, angles without files, a single person, an expression that a split lacks, and all
    errors of the data set folder.
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
        split = check_split(split)
        home = find_root(root)
        if not angles or set(angles) - set(ANGLES):
            raise UserError(key="angles", found=list(angles), expected=f"some of {', '.join(map(str, ANGLES))}")
        self.num_persons: int | None = None  # unknown for class folders
        shots = [] if os.path.isdir(os.path.join(home, "train")) else _shots(home)
        if shots:
            check_val_fraction(val_fraction)
            persons = _persons(shots, split, val_fraction, home)
            self.num_persons = len(persons)
            self.domains = choose_domains(EXPRESSIONS, domains, "RaFD")
            shots = _chosen(shots, angles, home)
            shots = [shot for shot in shots if shot.person in persons and shot.expression in self.domains]
            names = [shot.name for shot in shots]
            labels = np.array([self.domains.index(shot.expression) for shot in shots], np.int64)
            require_images(labels, self.domains, home, split, "add images")
        else:
            folders = Folder(root, crop, val_fraction, split=split, domains=domains)
            assert folders.domain is not None
            self.domains, names, labels = folders.domains, folders.names, folders.domain
        super().__init__(home, names, crop)
        self.domain = labels

    def summary(self) -> str:
        """Return `Dataset.summary` and the number of persons, if the file names hold it."""
        persons = "" if self.num_persons is None else f"; {self.num_persons} persons"
        return f"{super().summary()}{persons}"


class _Shot(NamedTuple):
    name: str  # relative to the root
    angle: int
    person: str
    expression: str


def _shots(home: str) -> list[_Shot]:
    """Return the files with an official name."""
    shots = []
    for name in list_images(home):
        match = _NAME.fullmatch(name.rpartition("/")[2])
        if match:
            shots.append(_Shot(name, int(match["angle"]), match["person"], match["expression"].lower()))
    return shots


def _persons(shots: Sequence[_Shot], split: Split, val_fraction: float, home: str) -> set[str]:
    """Return the persons of a split."""
    persons = sorted({shot.person for shot in shots})
    if len(persons) < 2:
        raise UserError(f"{home} has images of a single person, too few for train and val", key="root")
    return set(split_names(persons, "person", val_fraction, split))


def _chosen(shots: Sequence[_Shot], angles: Sequence[int], home: str) -> list[_Shot]:
    """Return the shots of the cameras at these angles."""
    chosen = [shot for shot in shots if shot.angle in angles]
    if not chosen:
        existing = ", ".join(map(str, sorted({shot.angle for shot in shots})))
        raise UserError(
            f"{home} has no image at them", key="angles", found=list(angles), expected=f"some of {existing}"
        )
    return chosen
