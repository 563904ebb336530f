"""The base classes of data sets, and the checks of the arguments that they share.

The keys of errors are names of arguments, such as ``root``; the caller puts the group of the configuration in front.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from PIL import Image

from translate.data.images import CROPS, Crop, Half, cut_half, decoded, resize
from translate.errors import Phrase, UserError, nearest, printable
from translate.sizes import ImageSize, SizeLike

Split = Literal["train", "val"]


@dataclass(frozen=True)
class LabelSet:
    """The labels of a data set as StarGAN v1 takes them: binary attributes, or classes of which one holds."""

    kind: Literal["attributes", "classes"]
    names: tuple[str, ...]
    items: np.ndarray  # (n,) the items that carry these labels
    values: np.ndarray  # (n, len(names)) float32, 0 or 1; a class is one-hot


class Dataset:
    """N items, numbered 0 ... N - 1: each an image, and whichever of domain, attributes and partner the set has.

    An item is the same whenever it is read. A data set knows nothing of batches, targets or augmentation: a *view*
    (translate.data.views) draws items, references and targets for every position of the sample stream, and makes them
    into the batch that a model declares. So a data set works with every model whose view needs no more than the set
    provides (its fact `provides`: domain, attributes, partner).

    A subclass takes its own keywords and then `*, split: "train" | "val", domains: Sequence[str] | None`, sets the
    attributes below, and defines `__len__`, `read`, `describe` and `fingerprint`. The constructor may list files, but
    it opens none, since the check of a configuration calls it. UserError for mistakes of the user.
    """

    domains: tuple[str, ...] = ()
    """Names of the domains; () for a data set without domains."""

    domain: np.ndarray | None = None
    """(N,) int64, an index into `domains` for every item; None without domains."""

    attribute_names: tuple[str, ...] = ()

    attributes: np.ndarray | None = None
    """(N, A) uint8, 0 or 1, in the order of `attribute_names`; None without attributes."""

    partner: np.ndarray | None = None
    """(N,) int64, the partner of every item in the other domain; None without pairs."""

    class_names: tuple[str, ...] = ()

    classes: np.ndarray | None = None
    """(N,) int64, an index into `class_names`: what an image shows in any domain, such as a digit; None where unknown.

    A translation should keep it. No model reads it; the metric class_accuracy does."""

    content: np.ndarray | None = None
    """(N, C) float32, known factors that a translation should keep (place, size, pose); None where unknown."""

    style: np.ndarray | None = None
    """(N, F) float32, known factors that a translation may change (colours); None where unknown."""

    may_fail: bool = True
    """Whether `read` can raise ImageError. The scan for unreadable images skips a data set with False."""

    def __len__(self) -> int:
        """Return N."""
        raise NotImplementedError

    def read(self, index: int, size: SizeLike) -> np.ndarray:
        """Return image `index` as (height, width, 3) uint8 RGB. Several threads call this at once.

        `size` is a number for a square, else [height, width]; `ImageSize.of` takes both.
        translate.data.images.ImageError for a bad file.
        """
        raise NotImplementedError

    def read_many(self, indices: Sequence[int] | np.ndarray, size: SizeLike) -> np.ndarray:
        """Return images as (n, height, width, 3) uint8; override where many at once are cheaper."""
        images = np.empty((len(indices), *ImageSize.of(size), 3), np.uint8)
        for row, index in enumerate(indices):
            images[row] = self.read(int(index), size)
        return images

    def read_sizes(self, indices: Sequence[int] | np.ndarray, sizes: Sequence[SizeLike]) -> list[np.ndarray]:
        """Return images at each of several sizes; override where decoding once for all sizes is cheaper."""
        return [self.read_many(indices, size) for size in sizes]

    def read_whole(self, index: int, size: SizeLike) -> np.ndarray:
        """Return an image at its own size, (H, W, 3) uint8; a set that draws its images draws it at `size`."""
        return self.read(index, size)

    def describe(self, index: int) -> str:
        """Return a name by which a person finds the item: a path, or "critters cat 12"."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return a hexadecimal digest of all that the images depend on: names, sizes, times, arguments."""
        raise NotImplementedError

    def label_sets(self, choice: str | None = None) -> tuple[LabelSet, ...]:
        """Return the labels for StarGAN v1: one set, or one for each component of a joint data set.

        `choice` is "attributes", "domain", or None: attributes where there are any, else the domain.
        UserError if the data set has no such labels.
        """
        items = np.arange(len(self))
        if self.attributes is not None and choice != "domain":
            return (LabelSet("attributes", self.attribute_names, items, self.attributes.astype(np.float32)),)
        if self.domain is not None and len(self.domains) and choice != "attributes":
            return (LabelSet("classes", self.domains, items, np.eye(len(self.domains), dtype=np.float32)[self.domain]),)
        raise UserError("the data set has no such labels", key="labels", found=choice)

    def epoch_size(self) -> int:
        """Return the number of samples in an epoch: the images of the largest domain, or all without domains."""
        if self.domain is not None and len(self.domains):
            return int(np.bincount(self.domain, minlength=len(self.domains)).max())
        return len(self)

    def nested_folders(self) -> dict[str, list[str]]:
        """Return the folders inside the folder of each domain that has any; {} for a data set without such folders."""
        return {}

    def summary(self) -> str:
        """Return one line for the log: the number of items, in all and of each domain."""
        line = f"{len(self):,} images"
        if self.domain is not None:
            counts = np.bincount(self.domain, minlength=len(self.domains))
            line += ", " + ", ".join(f"{name} {count:,}" for name, count in zip(self.domains, counts, strict=True))
        return line


class ImageFiles(Dataset):
    """A data set of image files: `names`, relative to the folder `home`, one for each item.

    `halves` gives the half of the file for every item, where files hold two images side by side; else None.
    """

    def __init__(self, home: str, names: Sequence[str], crop: str | int, halves: Sequence[Half] | None = None) -> None:
        """Open no file; a subclass sets the labels."""
        assert halves is None or len(halves) == len(names), (len(halves), len(names))
        self.home = home
        self.names = list(names)
        self.crop = check_crop(crop)
        self.halves = None if halves is None else list(halves)
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.names)

    def read(self, index: int, size: SizeLike) -> np.ndarray:
        """Decode the file, see translate.data.images."""
        image: np.ndarray = self.read_many([index], size)[0]
        return image

    def read_many(self, indices: Sequence[int] | np.ndarray, size: SizeLike) -> np.ndarray:
        """Decode files; a file of several items in a row is decoded once."""
        return self.read_sizes(indices, [size])[0]

    def read_sizes(self, indices: Sequence[int] | np.ndarray, sizes: Sequence[SizeLike]) -> list[np.ndarray]:
        """Decode files once for all sizes."""
        results = [np.empty((len(indices), *ImageSize.of(size), 3), np.uint8) for size in sizes]
        rows = enumerate(map(int, indices))
        for name, items in itertools.groupby(rows, key=lambda item: self.names[item[1]]):
            with decoded(os.path.join(self.home, name)) as whole:
                for row, index in items:
                    for images, size in zip(results, sizes, strict=True):
                        images[row] = self._pixels(whole, index, size)
        return results

    def _pixels(self, whole: Image.Image, index: int, size: SizeLike) -> np.ndarray:
        """Return the pixels (height, width, 3) of an item, of the image in its file."""
        half = whole if self.halves is None else cut_half(whole, self.halves[index])
        return resize(half, size, self.crop)

    def read_whole(self, index: int, size: SizeLike) -> np.ndarray:
        """Decode the file without a crop and at its own size; `size` is not needed."""
        del size
        with decoded(os.path.join(self.home, self.names[index])) as whole:
            return np.array(whole if self.halves is None else cut_half(whole, self.halves[index]))

    def describe(self, index: int) -> str:
        """Return the path, with unprintable bytes escaped, and the half of the file if items are halves."""
        path = printable(os.path.join(self.home, self.names[index]))
        return path if self.halves is None else f"{path} ({self.halves[index]})"

    def fingerprint(self) -> str:
        """Digest names, sizes and times of the files, examined at the first call; the folder does not count."""
        if self._fingerprint is None:
            digest = hashlib.sha256(f"files 1 {self.crop}".encode())
            for item, name in enumerate(self.names):
                try:
                    status = os.stat(os.path.join(self.home, name))
                    state = f"{status.st_size} {status.st_mtime_ns}"
                except OSError:
                    state = "missing"
                half = "" if self.halves is None else f"{self.halves[item]} "
                digest.update(os.fsencode(name) + f"\0{half}{state}\n".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def check_crop(crop: str | int) -> Crop:
    """Return the crop as its type; UserError for an unknown word and for a number below 1."""
    if crop in CROPS or (isinstance(crop, int) and crop > 0):
        return crop
    if isinstance(crop, str):
        raise UserError("unknown crop", key="crop", found=crop, known=CROPS)
    raise UserError(key="crop", found=crop, expected=f"{', '.join(CROPS)} or a number of pixels")


def held_out_names(names: Sequence[str], group: str, fraction: float) -> list[bool]:
    """Return for each name whether it is held out: about `fraction` of them, at least one, and not all.

    The hash of group and name alone decides. So the splits are the same on every machine, and a name stays in its
    split when others are added. There must be two names at least.
    """
    assert len(names) > 1, names
    ranks = [
        int.from_bytes(hashlib.blake2b(os.fsencode(f"{group}/{name}"), digest_size=8).digest()) / 2**64
        for name in names
    ]
    held_out = [rank < fraction for rank in ranks]
    if not any(held_out):
        held_out[int(np.argmin(ranks))] = True
    if all(held_out):
        held_out[int(np.argmax(ranks))] = False
    return held_out


def split_names(names: Sequence[str], group: str, fraction: float, split: Split) -> list[str]:
    """Return the names of a split, see `held_out_names`."""
    held_out = held_out_names(names, group, fraction)
    return [name for name, out in zip(names, held_out, strict=True) if out == (split == "val")]


def split_domain(names: Sequence[str], domain: str, fraction: float, split: Split, folder: str) -> list[str]:
    """Return the files of a domain in a split; UserError if the domain has a single one."""
    if len(names) < 2:
        raise UserError(
            f"domain {domain!r} in {folder} has too few images for train and val",
            key="root",
            found=Phrase("a single image"),
            fix="add images, or give folders for both splits",
        )
    return split_names(names, domain, fraction, split)


def check_val_fraction(fraction: float) -> None:
    """Raise UserError for a fraction outside (0, 1)."""
    if not 0 < fraction < 1:
        raise UserError(key="val_fraction", found=fraction, expected="a number between 0 and 1")


def find_root(root: str) -> str:
    """Return the absolute path of the folder of a data set; "~" is expanded."""
    if not root.strip():
        raise UserError("the text is empty", key="root", fix="give a value, or null for none")
    path = os.path.abspath(os.path.expanduser(root))
    if os.path.isdir(path):
        return path
    if os.path.exists(path):
        raise UserError(key="root", found=Phrase(f"the file {path}"), expected="a folder")
    parent, name = os.path.split(path)
    near = nearest(name, sorted(os.listdir(parent))) if os.path.isdir(parent) else None
    fix = f"give {os.path.join(parent, near)}, which has the nearest name" if near else ""
    raise UserError(f"there is no folder {path}", key="root", fix=fix)


def choose_domains(
    known: Sequence[str], wanted: Sequence[str] | None, place: str, key: str = "domains", word: str = "domain"
) -> tuple[str, ...]:
    """Return `wanted`, a subset of the known names in its own order, or all of them for None.

    `place` has the names; `key` is the argument that chooses, and `word` one of its values, for the errors. UserError
    for an empty list, an unknown name, and a name that occurs twice.
    """
    if wanted is None:
        return tuple(known)
    if not wanted:
        raise UserError(key=key, found=list(wanted), expected=f"some of {', '.join(known)}, or null for all of them")
    for name in wanted:
        if name not in known:
            raise UserError(f"{place} has no {word}", key=key, found=str(name), known=known)
    if len(set(wanted)) < len(wanted):
        raise UserError(f"a {word} occurs twice", key=key, found=Phrase(", ".join(wanted)))
    return tuple(wanted)


def choose_attributes(known: Sequence[str], wanted: Sequence[str] | None, place: str) -> list[int]:
    """Return the indices of the wanted attributes, in their own order, or of all; see `choose_domains`."""
    chosen = choose_domains(known, wanted, place, "attributes", "attribute")
    return [list(known).index(name) for name in chosen]


def require_images(labels: np.ndarray, domains: Sequence[str], place: str, split: Split, fix: str) -> None:
    """Raise UserError if a domain has no item in a split: ``labels`` (N,) are the domains of its items.

    ``fix`` is an alternative to leaving the domains out.
    """
    counts = np.bincount(labels, minlength=len(domains))
    empty = [name for name, count in zip(domains, counts, strict=True) if not count]
    if empty:
        rest = ",".join(name for name in domains if name not in empty)
        statement = f"{place} has no {split} image of {', '.join(map(repr, empty))}"
        raise UserError(statement, key="domains", fix=f"choose [{rest}], or {fix}")


def check_split(split: str) -> Split:
    """Return the split as its type; the program gives it, so another word is no mistake of the user."""
    assert split in ("train", "val"), split
    return cast(Split, split)
