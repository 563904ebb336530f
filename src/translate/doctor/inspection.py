"""Examine every image of a data set: whether it decodes, its format, size and mode, and digests that find duplicates.

Images are decoded in threads and leave a few hundred bytes each, so memory does not grow with their size.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from tqdm import tqdm

from translate.console import is_interactive
from translate.data.datasets.base import Dataset
from translate.data.images import ImageError, decoded, read_file
from translate.sizes import ImageSize

THUMBNAIL = 8  # side
MAX_THREADS = 32
ALIKE_BITS = 6  # of the 64 of a hash, in which near-duplicates may differ
ALIKE_MEAN = 4.0  # mean absolute difference of their thumbnails, of 255
BLANK = 3  # the range of values of a thumbnail below which an image has one colour
MAX_COMPARISONS = 4_000_000_000


@dataclass(frozen=True)
class ImageFacts:
    """The facts of one image; ``error`` is the reason why it does not decode, "" if it does."""

    error: str = ""
    format: str = ""
    mode: str = ""
    bits: int = 8  # of a channel
    width: int = 0
    height: int = 0
    animated: bool = False
    digest: bytes = b""  # of the file's bytes
    hash: int = 0  # 64 bits: whether brightness rises from one cell to the next
    thumbnail: bytes = b""  # 8 x 8 x 3


Examine = Callable[[int], ImageFacts]
"""Return the facts of image i. Several threads call this at once."""


def of_files(folder: str, names: Sequence[str]) -> Examine:
    """Return the function that examines files."""

    def examine(index: int) -> ImageFacts:
        try:
            content = read_file(os.path.join(folder, names[index]))
        except ImageError as error:
            return ImageFacts(error.reason)
        return facts_of(content)

    return examine


def of_dataset(dataset: Dataset, size: ImageSize) -> Examine:
    """Return the function that examines the items of a data set without files, as they are decoded."""

    def examine(index: int) -> ImageFacts:
        try:
            pixels = dataset.read(index, size.plain)
        except ImageError as error:
            return ImageFacts(error.reason)
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        return _described(
            Image.fromarray(pixels), ImageFacts(mode="RGB", width=size.width, height=size.height, digest=digest)
        )

    return examine


def facts_of(content: bytes) -> ImageFacts:
    """Return the facts of an encoded image."""
    digest = hashlib.blake2b(content, digest_size=16).digest()
    try:
        with decoded(io.BytesIO(content)) as image:
            with Image.open(io.BytesIO(content)) as header:  # `decoded` has accepted the format
                kind, mode = header.format or "", header.mode
                bits, animated = _bits(header), getattr(header, "n_frames", 1) > 1
            about = ImageFacts("", kind, mode, bits, image.width, image.height, animated, digest)
            return _described(image, about)
    except ImageError as error:
        return ImageFacts(error.reason, digest=digest)


def _bits(image: Image.Image) -> int:
    """Return the bits of a channel; Pillow reads RGB of 16 bits as 8, so the codec's arguments are asked too."""
    if image.mode == "1":
        return 1
    if image.mode in ("I", "F"):
        return 16 if image.format == "PNG" else 32
    tiles = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else ""
    return 16 if image.mode.startswith("I;16") or ("16" in str(arguments) and image.format in ("PNG", "TIFF")) else 8


def _described(image: Image.Image, facts: ImageFacts) -> ImageFacts:
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    thumbnail = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes()
    changes = {"hash": int.from_bytes(bits.tobytes()), "thumbnail": thumbnail}
    return ImageFacts(**{**facts.__dict__, **changes})


@dataclass
class Inspection:
    """The facts of all images, as arrays over their numbers."""

    width: np.ndarray  # (N,) int32; 0 if unreadable
    height: np.ndarray
    digest: np.ndarray  # (N,) 16 bytes
    hash: np.ndarray  # (N,) uint64
    thumbnail: np.ndarray  # (N, 192) uint8
    errors: dict[int, str] = field(default_factory=dict)
    modes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    format_of: dict[str, list[int]] = field(default_factory=dict)  # the first images of each format
    bits: dict[int, list[int]] = field(default_factory=dict)  # depth other than 8 -> images
    animated: list[int] = field(default_factory=list)

    @classmethod
    def empty(cls, count: int) -> Inspection:
        """Return the inspection of so many images, none of which has been examined."""
        cells = THUMBNAIL * THUMBNAIL * 3
        side = np.zeros(count, np.int32)
        return cls(
            side, side.copy(), np.zeros(count, "S16"), np.zeros(count, np.uint64), np.zeros((count, cells), np.uint8)
        )

    def readable(self) -> np.ndarray:
        """Return the numbers of the images that decode."""
        return np.flatnonzero(self.width > 0)

    def blank(self) -> np.ndarray:
        """Return the numbers of the images of a single colour."""
        rows = self.readable()
        cells = self.thumbnail[rows].reshape(len(rows), -1, 3).astype(np.int16)
        spread = (cells.max(1) - cells.min(1)).max(1) if len(rows) else np.zeros(0)
        return rows[spread < BLANK]

    def add(self, index: int, facts: ImageFacts) -> None:
        """Store the facts of an image."""
        if facts.error:
            self.errors[index] = facts.error
            return
        self.width[index], self.height[index] = facts.width, facts.height
        self.digest[index], self.hash[index] = facts.digest, facts.hash
        self.thumbnail[index] = np.frombuffer(facts.thumbnail, np.uint8)
        self.modes[facts.mode] += 1
        self.formats[facts.format] += 1
        if facts.bits != 8:
            self.bits.setdefault(facts.bits, []).append(index)
        if facts.animated:
            self.animated.append(index)


def inspect(count: int, examine: Examine, num_threads: int | None = None) -> Inspection:
    """Examine so many images in threads, a few ahead, with a progress bar on a terminal."""
    result = Inspection.empty(count)
    threads = num_threads or _available_cpus()
    with tqdm(total=count, desc="examining", unit=" images", disable=not is_interactive(), leave=False) as bar:
        for index, facts in _in_threads(count, examine, threads):
            result.add(index, facts)
            bar.update()
    return result


def _in_threads(count: int, examine: Examine, threads: int) -> Iterator[tuple[int, ImageFacts]]:
    waiting: deque[tuple[int, Future[ImageFacts]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="examine")
    try:
        for index in range(count):
            waiting.append((index, pool.submit(examine, index)))
            if len(waiting) > 4 * threads:
                number, future = waiting.popleft()
                yield number, future.result()
        while waiting:
            number, future = waiting.popleft()
            yield number, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _available_cpus() -> int:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, MAX_THREADS)


# --- duplicates ---------------------------------------------------------------------------------------------


def duplicates(inspection: Inspection) -> list[list[int]]:
    """Return the groups of images whose files have equal bytes."""
    groups: dict[bytes, list[int]] = {}
    for index in inspection.readable().tolist():
        groups.setdefault(inspection.digest[index], []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(inspection: Inspection) -> tuple[list[list[int]], bool]:
    """Return the groups of images that look alike but have other bytes, and whether all pairs were compared.

    Two images are alike if their hashes differ in at most `ALIKE_BITS` of 64 and their thumbnails by at most
    `ALIKE_MEAN` of 255 on average. The mean brightness then differs by no more, so images are sorted by brightness and
    compared within that distance; blank images are left out.
    """
    rows = np.setdiff1d(inspection.readable(), inspection.blank())
    if len(rows):
        _, first = np.unique(inspection.digest[rows], return_index=True)
        rows = rows[np.sort(first)]
    brightness = inspection.thumbnail[rows].mean(1) if len(rows) else np.zeros(0)
    order = np.argsort(brightness, kind="stable")
    rows, brightness = rows[order], brightness[order]
    hashes = inspection.hash[rows]
    parents: dict[int, int] = {}
    compared, complete = 0, True
    for offset in range(1, len(rows)):
        near = brightness[offset:] - brightness[:-offset] <= ALIKE_MEAN
        if not near.any():
            break
        compared += len(near)
        if compared > MAX_COMPARISONS:
            complete = False
            break
        near &= popcount(hashes[offset:] ^ hashes[:-offset]) <= ALIKE_BITS
        for place in np.flatnonzero(near).tolist():
            a, b = int(rows[place]), int(rows[place + offset])
            if _thumbnail_difference(inspection, a, b) <= ALIKE_MEAN:
                _join(parents, a, b)
    groups: dict[int, list[int]] = {}
    for index in sorted(parents):
        groups.setdefault(_root(parents, index), []).append(index)
    return list(groups.values()), complete


def _thumbnail_difference(inspection: Inspection, a: int, b: int) -> float:
    first, second = (inspection.thumbnail[index].astype(np.int16) for index in (a, b))
    return float(np.abs(first - second).mean())


def _root(parents: dict[int, int], index: int) -> int:
    while parents.setdefault(index, index) != index:
        parents[index] = index = parents[parents[index]]
    return index


def _join(parents: dict[int, int], a: int, b: int) -> None:
    first, second = sorted((_root(parents, a), _root(parents, b)))
    parents[second] = first


def popcount(values: np.ndarray) -> np.ndarray:
    """Return the number of ones in each value of an array of uint64.

    >>> popcount(np.array([0, 7, 2**64 - 1], np.uint64)).tolist()
    [0, 3, 64]
    """
    pairs, fours, bytes_ = (np.uint64(mask) for mask in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    values = values - ((values >> np.uint64(1)) & pairs)
    values = (values & fours) + ((values >> np.uint64(2)) & fours)
    values = (values + (values >> np.uint64(4))) & bytes_
    result: np.ndarray = (values * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return result
