"""What a data set is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from translate.data.images import CROPS, read_image
from translate.errors import UserError, suggest

Split = Literal["train", "val"]


class Dataset:
    """N items, numbered 0 ... N - 1, each a picture and whichever of domain and attributes the data set has.

    An *item* is what lies on the disk (or what a procedural world draws): one picture with its labels, the
    same whenever it is asked for. It knows nothing of batches, targets or augmentation. A *view*
    (translate.data.views) makes items into the batch that a model declares: it draws items, references and
    targets for every position of the sample stream. So a data set is written once and serves every model
    whose view needs no more than it gives (the registry's fact `gives`: domain, attributes, partner).

    A subclass takes its own keywords and then `*, split: "train" | "val", domains: Sequence[str] | None`,
    sets the labels below, and defines `__len__`, `read`, `describe` and `fingerprint`. Constructing one lists
    files but opens and examines none, since the check of a config does it. What the user did wrong raises
    translate.errors.UserError.
    """

    domains: tuple[str, ...] = ()
    """Names of the domains; () for a data set without domains."""

    domain: np.ndarray | None = None
    """(N,) int64, an index into `domains` for every item; None without domains."""

    attribute_names: tuple[str, ...] = ()

    attributes: np.ndarray | None = None
    """(N, A) uint8, 0 or 1, in the order of `attribute_names`; None without attributes."""

    content: np.ndarray | None = None
    """(N, C) float32 known factors that a translation should keep (place, size, pose); None where unknown."""

    style: np.ndarray | None = None
    """(N, F) float32 known factors that a translation may change (colours); None where unknown."""

    may_fail: bool = True
    """Whether `read` can raise ImageError; a procedural data set says False and is spared the scan."""

    def __len__(self) -> int:
        """Return N."""
        raise NotImplementedError

    def read(self, index: int, size: int) -> np.ndarray:
        """Return picture `index` as (size, size, 3) uint8 RGB. Called from several threads at once.

        Raises translate.data.images.ImageError for a bad file.
        """
        raise NotImplementedError

    def read_many(self, indices: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
        """Return pictures as (n, size, size, 3) uint8; override where many at once are cheaper."""
        pictures = np.empty((len(indices), size, size, 3), np.uint8)
        for row, index in enumerate(indices):
            pictures[row] = self.read(int(index), size)
        return pictures

    def describe(self, index: int) -> str:
        """Return what a person finds the item by: a path, or "critters cat 12"."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return a hexadecimal digest of all that a picture depends on: names, sizes, times, arguments."""
        raise NotImplementedError

    def summary(self) -> str:
        """Return one line for the log: how many items, and how many a domain."""
        line = f"{len(self):,} images"
        if self.domain is not None:
            counts = np.bincount(self.domain, minlength=len(self.domains))
            line += ", " + ", ".join(f"{name} {count:,}" for name, count in zip(self.domains, counts, strict=True))
        return line


class ImageFiles(Dataset):
    """A data set whose items are image files: `names`, relative to the folder `home`, one an item."""

    def __init__(self, home: str, names: Sequence[str], crop: str) -> None:
        """Take what is known without opening a file; a subclass sets the labels."""
        if crop not in CROPS:
            raise UserError(f"data.crop: expected one of {', '.join(CROPS)}, found {crop!r}{suggest(str(crop), CROPS)}")
        self.home = home
        self.names = list(names)
        self.crop = crop
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.names)

    def read(self, index: int, size: int) -> np.ndarray:
        """Decode the file, see translate.data.images.read_image."""
        return read_image(os.path.join(self.home, self.names[index]), size, self.crop)

    def describe(self, index: int) -> str:
        """Return the path, printable whatever bytes are in it."""
        path = os.path.join(self.home, self.names[index])
        return path.encode("utf-8", "backslashreplace").decode()

    def fingerprint(self) -> str:
        """Digest names, sizes and times of the files, examined at the first call; the folder may move."""
        if self._fingerprint is None:
            digest = hashlib.sha256(f"files 1 {self.crop}".encode())
            for name in self.names:
                try:
                    status = os.stat(os.path.join(self.home, name))
                    found = f"{status.st_size} {status.st_mtime_ns}"
                except OSError:
                    found = "missing"
                digest.update(os.fsencode(name) + f"\0{found}\n".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def find_root(root: str) -> str:
    """Return the absolute path of the folder that the user named as data.root; "~" is expanded."""
    path = os.path.abspath(os.path.expanduser(root))
    if os.path.isdir(path):
        return path
    if os.path.exists(path):
        raise UserError(f"data.root: {path} is a file, expected a folder")
    parent, name = os.path.split(path)
    near = suggest(name, sorted(os.listdir(parent))) if os.path.isdir(parent) else ""
    raise UserError(f"data.root: there is no folder {path}{near}")


def choose_domains(found: Sequence[str], wanted: Sequence[str] | None, place: str) -> tuple[str, ...]:
    """Return `wanted` (a subset, in its order) or all that was found. Raises UserError for wrong names."""
    if wanted is None:
        return tuple(found)
    if not wanted:
        raise UserError(f"data.domains is empty; {place} has {', '.join(found)} (null takes them all)")
    for name in wanted:
        if name not in found:
            near = suggest(str(name), found) or f"; there are {', '.join(found)}"
            raise UserError(f"data.domains: {place} has no domain {str(name)!r}{near}")
    if len(set(wanted)) < len(wanted):
        raise UserError(f"data.domains names a domain twice: {', '.join(wanted)}")
    return tuple(wanted)


def check_split(split: str) -> Split:
    """Return the split as its type; another word is our mistake, since no configuration holds it."""
    assert split in ("train", "val"), split
    return cast(Split, split)
