"""What a data set is."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from translate.data.images import CROPS, Crop, Half, cut_half, open_rgb, resize
from translate.errors import UserError, printable, suggest

Split = Literal["train", "val"]


@dataclass(frozen=True)
class LabelSet:
    """The labels of a data set as StarGAN v1 takes them: binary attributes, or classes of which one holds."""

    kind: Literal["attributes", "classes"]
    names: tuple[str, ...]
    items: np.ndarray  # (n,) the items that carry these labels
    values: np.ndarray  # (n, len(names)) float32, 0 or 1; a class is one-hot


class Dataset:
    """N items, numbered 0 ... N - 1, each a picture and whichever of domain and attributes the data set has.

    An *item* is what lies on the disk (or what a procedural world draws): one picture with its labels, the
    same whenever it is asked for. It knows nothing of batches, targets or augmentation. A *view*
    (translate.data.views) makes items into the batch that a model declares: it draws items, references and
    targets for every position of the sample stream. So a data set is written once and serves every model
    whose view needs no more than the set provides (its fact `provides`: domain, attributes, partner).

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

    partner: np.ndarray | None = None
    """(N,) int64, the item that belongs to each, in the other domain; None without pairs."""

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

    def label_sets(self, choice: str | None = None) -> tuple[LabelSet, ...]:
        """Return the labels for StarGAN v1: one set, or one for each part of a joint data set.

        `choice` is "attributes", "domain", or None: attributes where there are any, else the domain.
        Raises UserError when the data set has no such labels.
        """
        items = np.arange(len(self))
        if self.attributes is not None and choice != "domain":
            return (LabelSet("attributes", self.attribute_names, items, self.attributes.astype(np.float32)),)
        if self.domain is not None and len(self.domains) and choice != "attributes":
            return (LabelSet("classes", self.domains, items, np.eye(len(self.domains), dtype=np.float32)[self.domain]),)
        raise UserError(f"data.labels: found {choice!r}, but the data set has no such labels")

    def epoch_size(self) -> int:
        """Return how many samples make an epoch: the images of the largest domain, or all without domains."""
        if self.domain is not None and len(self.domains):
            return int(np.bincount(self.domain, minlength=len(self.domains)).max())
        return len(self)

    def summary(self) -> str:
        """Return one line for the log: how many items, and how many a domain."""
        line = f"{len(self):,} images"
        if self.domain is not None:
            counts = np.bincount(self.domain, minlength=len(self.domains))
            line += ", " + ", ".join(f"{name} {count:,}" for name, count in zip(self.domains, counts, strict=True))
        return line


class ImageFiles(Dataset):
    """A data set whose items are image files: `names`, relative to the folder `home`, one an item.

    `halves`, where given, says of every item which of two pictures side by side in its file it is.
    """

    def __init__(self, home: str, names: Sequence[str], crop: str | int, halves: Sequence[Half] | None = None) -> None:
        """Take what is known without opening a file; a subclass sets the labels."""
        assert halves is None or len(halves) == len(names), (len(halves), len(names))
        self.home = home
        self.names = list(names)
        self.crop = check_crop(crop)
        self.halves = None if halves is None else list(halves)
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.names)

    def read(self, index: int, size: int) -> np.ndarray:
        """Decode the file, see translate.data.images."""
        picture: np.ndarray = self.read_many([index], size)[0]
        return picture

    def read_many(self, indices: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
        """Decode files; one that several items in a row are parts of is decoded once."""
        pictures = np.empty((len(indices), size, size, 3), np.uint8)
        rows = enumerate(map(int, indices))
        for name, items in itertools.groupby(rows, key=lambda item: self.names[item[1]]):
            whole = open_rgb(os.path.join(self.home, name))
            for row, index in items:
                image = whole if self.halves is None else cut_half(whole, self.halves[index])
                pictures[row] = resize(image, size, self.crop)
        return pictures

    def describe(self, index: int) -> str:
        """Return the path, printable whatever bytes are in it, and which half of the file it is."""
        path = printable(os.path.join(self.home, self.names[index]))
        return path if self.halves is None else f"{path} ({self.halves[index]})"

    def fingerprint(self) -> str:
        """Digest names, sizes and times of the files, examined at the first call; the folder may move."""
        if self._fingerprint is None:
            digest = hashlib.sha256(f"files 1 {self.crop}".encode())
            for item, name in enumerate(self.names):
                try:
                    status = os.stat(os.path.join(self.home, name))
                    found = f"{status.st_size} {status.st_mtime_ns}"
                except OSError:
                    found = "missing"
                half = "" if self.halves is None else f"{self.halves[item]} "
                digest.update(os.fsencode(name) + f"\0{half}{found}\n".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def check_crop(crop: str | int) -> Crop:
    """Return the user's data.crop as its type; UserError for another word and for a number below 1."""
    if crop in CROPS or (isinstance(crop, int) and crop > 0):
        return crop
    near = suggest(crop, CROPS) if isinstance(crop, str) else ""
    raise UserError(f"data.crop: expected {', '.join(CROPS)} or a number of pixels, found {crop!r}{near}")


def held_out_names(names: Sequence[str], group: str, share: float) -> list[bool]:
    """Return of each name whether it is held out: `share` of them about, one at least, and not all.

    A name's hash alone decides (with that of its group, such as the domain), so the parts are the same on every
    machine and a name never changes sides when others are added. There are two names at least.
    """
    assert len(names) > 1, names
    ranks = [
        int.from_bytes(hashlib.blake2b(os.fsencode(f"{group}/{name}"), digest_size=8).digest()) / 2**64
        for name in names
    ]
    held_out = [rank < share for rank in ranks]
    if not any(held_out):
        held_out[int(np.argmin(ranks))] = True
    if all(held_out):
        held_out[int(np.argmax(ranks))] = False
    return held_out


def take_share(names: Sequence[str], domain: str, share: float, part: Split, folder: str) -> list[str]:
    """Return this part's names of a domain's files, see `held_out_names`; UserError for a single one."""
    if len(names) < 2:
        raise UserError(
            f"data.root: domain {domain!r} in {folder} has a single image, too few for train and val; "
            "add images, or give folders for both"
        )
    held_out = held_out_names(names, domain, share)
    return [name for name, out in zip(names, held_out, strict=True) if out == (part == "val")]


def check_share(share: float) -> None:
    """Raise UserError for a data.val_fraction that is no share."""
    if not 0 < share < 1:
        raise UserError(f"data.val_fraction: expected a number between 0 and 1, found {share}")


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


def choose_domains(
    found: Sequence[str], wanted: Sequence[str] | None, place: str, where: str = "data.domains", word: str = "domain"
) -> tuple[str, ...]:
    """Return `wanted` (a subset, in its order) or all that was found. Raises UserError for wrong names.

    `where` is the key that holds them and `word` what they are, for the messages.
    """
    if wanted is None:
        return tuple(found)
    if not wanted:
        raise UserError(f"{where} is empty; {place} has {', '.join(found)} (null takes them all)")
    for name in wanted:
        if name not in found:
            near = suggest(str(name), found) or f"; there are {', '.join(found)}"
            raise UserError(f"{where}: {place} has no {word} {str(name)!r}{near}")
    if len(set(wanted)) < len(wanted):
        raise UserError(f"{where} names one twice: {', '.join(wanted)}")
    return tuple(wanted)


def choose_attributes(found: Sequence[str], wanted: Sequence[str] | None, place: str) -> list[int]:
    """Return the numbers of the attributes `wanted`, in its order, or of all. Raises UserError for wrong names."""
    chosen = choose_domains(found, wanted, place, "data.attributes", "attribute")
    return [list(found).index(name) for name in chosen]


def check_split(split: str) -> Split:
    """Return the split as its type; another word is our mistake, since no configuration holds it."""
    assert split in ("train", "val"), split
    return cast(Split, split)
