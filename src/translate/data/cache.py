"""Decoded images of a data set at one or several sizes, in a memory-mapped file or decoded on demand.

A cache is two files in one folder. `<key>.u8` has N x height x width x 3 bytes; if images are stored at several sizes,
these of an image follow one another. `<key>.json` is written last and makes the cache valid. It has a checksum of each
image, which is compared when a process uses the image for the first time. The key is a digest of the
data set's fingerprint (names, sizes, times of the files), the image sizes and the layout, so data that changed has
another key and gets a new cache. A lock file lets one process build while others wait. Both files are written under
temporary names and then renamed, so a process that dies leaves no invalid cache. A cache can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import io
import json
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from translate.data.datasets.base import Dataset
from translate.data.decoding import Decoder, Unreadable, check_unreadable, log_unreadable
from translate.data.images import ImageError
from translate.errors import UserError
from translate.files.reading import read_object
from translate.files.writing import atomic_write
from translate.sizes import ImageSize, SizeLike

LAYOUT = 1  # change it when the bytes of a cache, or the decoding, change

_log = logging.getLogger("translate")


class StoredImages:
    """The items of a data set that decode, at one or several sizes, from a cache file or decoded on demand.

    ``sizes`` are the sizes, ``size`` is the first. ``indices`` (K,) int64 are the numbers of the items that decode,
    ascending. ``bad`` has (description, reason) of the others. ``path`` is the cache file or None. Worker processes
    receive an instance without its bytes and map the file themselves.
    """

    def __init__(
        self, dataset: Dataset, sizes: Sequence[ImageSize], unreadable: list[Unreadable], path: Path | None
    ) -> None:
        """Open; ``path`` is a valid cache of the data set at these sizes."""
        self.dataset = dataset
        self.sizes = tuple(sizes)
        self.size = self.sizes[0]
        self.path = path
        self.bad = [(dataset.describe(item), reason) for item, reason in unreadable]
        self.indices = np.delete(np.arange(len(dataset)), [item for item, _ in unreadable])
        self._map = None if path is None else self._mapped(path)
        self._checksums = None if path is None else _read_checksums(path, len(dataset))
        self._verified: np.ndarray | None = None  # of this process

    def __len__(self) -> int:
        """Return K."""
        return len(self.indices)

    def take(self, rows: np.ndarray, number: int = 0) -> np.ndarray:
        """Return a copy (n, height, width, 3) uint8 of the images at rows (n,) of ``indices``, in size ``number``."""
        items = self.indices[np.asarray(rows)]
        if self.path is None:
            return self._read(items, self.sizes[number])
        if self._map is None:  # in another process
            try:
                self._map = self._mapped(self.path)
            except FileNotFoundError as error:
                raise UserError(
                    f"the cache {self.path} was removed during the run", fix="resume the run, which builds it again"
                ) from error
        self._verify(self._map, items)
        stop = sum(size.area * 3 for size in self.sizes[: number + 1])
        start = stop - self.sizes[number].area * 3
        return self._map[items, start:stop].reshape(-1, *self.sizes[number], 3)

    def _verify(self, records: np.ndarray, items: np.ndarray) -> None:
        """Compare items with their checksums once in each process; UserError if the file has changed."""
        if self._checksums is None:
            return
        if self._verified is None:
            self._verified = np.zeros(len(self.dataset), bool)
        for item in items[~self._verified[items]]:
            if zlib.crc32(records[item]) != self._checksums[item]:
                assert self.path is not None
                with contextlib.suppress(OSError):
                    _notes_file(self.path).unlink(missing_ok=True)  # so that it is built again
                raise UserError(
                    f"the cache has changed on the disk: {self.dataset.describe(int(item))} is not as it was decoded",
                    key=str(self.path),
                    fix="repeat the command, or resume the run, which builds the cache again; if it happens often, "
                    "test the disk",
                )
            self._verified[item] = True

    def _mapped(self, path: Path) -> np.ndarray:
        record = sum(size.area * 3 for size in self.sizes)
        return np.asarray(np.memmap(path, np.uint8, "r", shape=(len(self.dataset), record)))

    def _read(self, items: np.ndarray, size: ImageSize) -> np.ndarray:
        try:
            return self.dataset.read_many(items, size.plain)
        except ImageError as error:
            name = self.dataset.describe(int(items[0])) if len(items) == 1 else "an image"
            description, reason = self._first_failure(items) or (name, error.reason)
            raise UserError(
                f"{description} could be read at the start of the run, now it {reason}",
                fix="restore the file, then resume the run",
            ) from error

    def _first_failure(self, items: np.ndarray) -> tuple[str, str] | None:
        for item in map(int, items):
            try:
                self.dataset.read(item, self.size.plain)
            except ImageError as error:
                return self.dataset.describe(item), error.reason
        return None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the bytes of the cache."""
        return self.__dict__ | {"_map": None, "_verified": None}


def open_images(
    dataset: Dataset,
    size: SizeLike,
    folder: Path | None,
    *,
    further_sizes: Sequence[SizeLike] = (),
    max_bad_fraction: float = 0.01,
    num_threads: int | None = None,
    progress: bool = True,
) -> StoredImages:
    """Decode a data set into a cache in ``folder``, or open an existing one; None decodes on demand.

    ``further_sizes`` are sizes at which every image is stored as well. Either way every file is decoded once, by
    ``num_threads`` threads (None: one a CPU of this process). Files that do not decode are left out and named in the
    log; they are tried again when a cache is opened. If the folder cannot be written or the disk is full, a warning
    says so and images are decoded on demand. Memory does not grow with the data set. ``progress`` shows a bar on a
    terminal. Raises UserError when more than ``max_bad_fraction`` of the files, or all files of a domain, do not
    decode.
    """
    _log.info("data: %s", dataset.summary())
    sizes = [ImageSize.of(each) for each in (size, *further_sizes)]
    decoder = Decoder(dataset, sizes, num_threads, progress)
    unreadable: list[Unreadable] | None = None
    path: Path | None = None
    if folder is not None:
        try:
            path, unreadable = _cached(decoder, Path(folder), max_bad_fraction)
        except _NoCacheError as error:
            _log.warning("no cache in %s (%s): images are decoded on demand, which is slower", folder, error)
            path, unreadable = None, error.unreadable
    if unreadable is None:
        unreadable = decoder.run(None) if dataset.may_fail else []
    check_unreadable(dataset, unreadable, max_bad_fraction)
    log_unreadable(dataset, unreadable, max_bad_fraction)
    return StoredImages(dataset, sizes, unreadable, path)


class _NoCacheError(Exception):
    """The cache cannot be written; ``unreadable`` is the result of the decoding, None if it is not complete."""

    def __init__(self, problem: str, unreadable: list[Unreadable] | None = None) -> None:
        super().__init__(problem)
        self.unreadable = unreadable


def cache_key(dataset: Dataset, size: SizeLike, *further_sizes: SizeLike) -> str:
    """Return the name of a data set's cache at one or several sizes, without a suffix."""
    sizes = " and ".join(str(ImageSize.of(each).plain) for each in (size, *further_sizes))
    content = f"{LAYOUT} {sizes} {len(dataset)} {dataset.fingerprint()}"
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def _notes_file(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_checksums(path: Path, num_items: int) -> np.ndarray | None:
    """Return the checksums (N,) uint32 of a valid cache's images; None for a cache of a version without any."""
    try:
        text = json.loads(_notes_file(path).read_text("utf-8")).get("checksums")
    except (OSError, ValueError):  # another process has removed the cache meanwhile
        return None
    return None if text is None else _checksums_of(text, num_items)


def _checksums_of(text: str, num_items: int) -> np.ndarray:
    """Return the checksums that a text of hexadecimal digits has; ValueError for another text."""
    checksums = np.frombuffer(bytes.fromhex(text), "<u4")
    if len(checksums) != num_items:
        raise ValueError("the number of checksums is wrong")
    return checksums


def _cached(decoder: Decoder, folder: Path, max_bad_fraction: float) -> tuple[Path, list[Unreadable]]:
    try:
        path = folder / f"{cache_key(decoder.dataset, *decoder.sizes)}.u8"
        unreadable = _unreadable_of_valid(decoder, path)
        if unreadable is None:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                unreadable = _unreadable_of_valid(decoder, path)  # another process may have built it meanwhile
                if unreadable is None:
                    unreadable = _build(decoder, path, max_bad_fraction)
        else:
            _log.info("data: cache %s", path)
    except (OSError, NotImplementedError) as error:  # file systems without locks raise the latter
        raise _NoCacheError(_reason(error)) from error
    return path, unreadable


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_suffix(".lock"))  # the file is never removed: two processes could then hold the lock
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("data: waiting for another process that builds %s", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _unreadable_of_valid(decoder: Decoder, path: Path) -> list[Unreadable] | None:
    """Return the unreadable items of a valid cache; None if it is absent or damaged, or if an item is readable now."""
    num_items = len(decoder.dataset)
    try:
        if not os.path.lexists(path.with_suffix(".json")):
            return None
        notes = read_object(path.with_suffix(".json"))
        unreadable = [(int(item), str(reason)) for item, reason in notes["bad"]]
        fits = [notes["layout"], notes["size"], notes["items"]] == [LAYOUT, _plain(decoder.sizes), num_items]
        numbers_fit = all(0 <= item < num_items for item, _ in unreadable)
        if "checksums" in notes:
            _checksums_of(notes["checksums"], num_items)
        if not fits or not numbers_fit or path.stat().st_size != decoder.num_bytes:
            return None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # any JSON, or none
        _log.warning("data: the notes of cache %s are damaged, it is built again", path)
        return None
    # The cause may have been the disk or a permission, and neither is part of the fingerprint.
    if any(decoder.failure(item) is None for item, _ in unreadable):
        _log.info("data: an image that could not be read now can be, the cache is built again")
        return None
    return unreadable


def _build(decoder: Decoder, path: Path, max_bad_fraction: float) -> list[Unreadable]:
    """Decode all items into ``path`` and return the unreadable ones; the caller holds the lock.

    Raises _NoCacheError, with the result of the complete decoding, if the disk becomes full meanwhile.
    """
    for leftover in glob.glob(f"{glob.escape(str(path.with_suffix('')))}.*.part"):  # of processes that died
        os.unlink(leftover)
    part = path.with_suffix(f".{os.getpid()}.part")
    path.with_suffix(".json").unlink(missing_ok=True)
    try:
        with open(part, "wb", buffering=0) as file:
            _reserve(file, decoder.num_bytes)
            writer = _FileWriter(file)
            unreadable = decoder.run(writer)
            if writer.problem is not None:
                raise _NoCacheError(writer.problem, unreadable)
            check_unreadable(decoder.dataset, unreadable, max_bad_fraction)  # a refused data set gets no cache
            os.fsync(file.fileno())
        os.replace(part, path)
        notes = {"layout": LAYOUT, "size": _plain(decoder.sizes), "items": len(decoder.dataset), "bad": unreadable}
        notes["checksums"] = np.array(writer.checksums, "<u4").tobytes().hex()
        atomic_write(path.with_suffix(".json"), json.dumps(notes))
        _log.info("data: cache %s, %.1f MB", path, decoder.num_bytes / 1e6)
        return unreadable
    finally:
        part.unlink(missing_ok=True)


def _plain(sizes: Sequence[ImageSize]) -> Any:
    """Return the size in the notes of a cache, or a list of sizes."""
    return sizes[0].plain if len(sizes) == 1 else [size.plain for size in sizes]


def _reserve(file: io.FileIO, size: int) -> None:
    """Reserve the bytes of a file, so that a full disk is noticed before the decoding; skip it where unsupported."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


class _FileWriter:
    """Appends images to a file and keeps their checksums; after the first failure it writes nothing more.

    It writes instead of mapping the file, since a full disk under a mapped file kills the process.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.problem: str | None = None
        self.checksums: list[int] = []

    def append(self, records: np.ndarray) -> None:
        self.checksums += [zlib.crc32(record) for record in np.ascontiguousarray(records)]
        remaining = np.ascontiguousarray(records).data.cast("B")
        try:
            while remaining and self.problem is None:
                remaining = remaining[self.file.write(remaining) :]
        except OSError as error:
            self.problem = _reason(error)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).lower()
