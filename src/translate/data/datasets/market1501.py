"""Market-1501: persons before six cameras, which are the domains."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import ImageFiles, check_split, choose_domains, find_root
from translate.data.images import list_images
from translate.errors import UserError
from translate.registry.registry import DATASETS

_SPLITS = {"train": ("bounding_box_train",), "val": ("bounding_box_test", "query")}
_NAME = re.compile(r"(?P<person>-1|\d{4})_c(?P<camera>\d+)s\d+_\d+_\d+\.\w+")
_JUNK = ("-1", "0000")  # boxes that show a person badly, and boxes that show none


@DATASETS.register("market1501", provides=("domain",))
class Market1501(ImageFiles):
    """Market-1501 (Zheng et al., ICCV 2015), for translation between cameras: c1, c2, ... are the domains.

    `root` holds bounding_box_train/ and bounding_box_test/ (or query/ in its place) with the official names:
    0002_c1s1_000451_03.jpg is person 2 before camera 1. Files of person -1 (junk) and 0000 (distractors) and files of
    other names are left out. The two splits show different persons. `domains` chooses cameras, as [c1,c3]. `crop` is
    "none": the boxes are 64 wide and 128 high, and an image size of that aspect ratio, such as [256, 128], keeps their
    proportions. To a square they are squeezed.
    UserError for a root that is no folder, a missing split, a split without usable files, and a camera that a split
    lacks.
    """

    def __init__(
        self, root: str, crop: str | int = "none", *, split: str, domains: Sequence[str] | None = None
    ) -> None:
        """List the files; see the class."""
        split = check_split(split)
        home = find_root(root)
        folders = {name: _find(home, spellings) for name, spellings in _SPLITS.items()}
        cameras = {name: _boxes(home, folder) for name, folder in folders.items()}
        known = sorted(set().union(*cameras.values()), key=lambda camera: int(camera[1:]))
        self.domains = choose_domains(known, domains, home)
        for name, boxes in cameras.items():
            missing = ", ".join(camera for camera in self.domains if camera not in boxes)
            if missing:
                place = os.path.join(home, folders[name])
                raise UserError(f"{place} has no image of camera {missing}", key="domains", fix="choose other cameras")
        chosen = cameras[split]
        super().__init__(home, [name for camera in self.domains for name in chosen[camera]], crop)
        self.domain = np.repeat(np.arange(len(self.domains)), [len(chosen[camera]) for camera in self.domains])


def _find(home: str, spellings: Sequence[str]) -> str:
    """Return the folder of a split."""
    for folder in spellings:
        if os.path.isdir(os.path.join(home, folder)):
            return folder
    raise UserError(f"{home} has no folder {' or '.join(spellings)}", key="root", expected="the folders of Market-1501")


def _boxes(home: str, folder: str) -> dict[str, list[str]]:
    """Return the usable files of a folder by camera."""
    boxes: dict[str, list[str]] = {}
    for name in list_images(os.path.join(home, folder)):
        match = _NAME.fullmatch(name.rpartition("/")[2])
        if match and match["person"] not in _JUNK:
            boxes.setdefault(f"c{match['camera']}", []).append(f"{folder}/{name}")
    if not boxes:
        raise UserError(f"{os.path.join(home, folder)} has no file named as 0002_c1s1_000451_03.jpg", key="root")
    return boxes
