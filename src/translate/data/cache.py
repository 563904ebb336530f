"""Pictures of a data set at one size, each file decoded once into a memory-mapped array.

A cache is two files in one folder: `<key>.u8`, N x size x size x 3 bytes, and `<key>.json`, which is written
last and makes it valid. The key is a digest of the data set's fingerprint (names, sizes, times of the files),
the size and the layout, so a cache that no longer fits is not found and a new one is built. A lock file lets
one process build while others wait. Everything is written under another name and moved into place, so a
process that dies leaves nothing that looks whole. A cache can be deleted at any time.
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
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from translate.data.datasets.base import Dataset
from translate.data.images import ImageError
from translate.errors import UserError
from translate.files import atomic_write

LAYOUT = 1  # change it when the bytes of a cache, or how pictures are decoded, change

_log = logging.getLogger("translate")
_CHUNK_BYTES = 4 << 20
_CHUNK_ITEMS = 64
_Bad = tuple[int, str]  # item, reason


class Pictures:
    """The items of a data set that decode, at one size, from a cache file or decoded on demand.

    `indices`: (K,) int64, ascending, the numbers of the items that decode. `bad`: (description, reason) of
    the others. `path`: the cache file, or None. Can be sent to worker processes; each maps the file for
    itself.
    """

    def __init__(self, dataset: Dataset, size: int, bad: list[_Bad], path: Path | None) -> None:
        """Open; `bad` holds the item numbers and reasons, `path` a whole cache."""
        self.dataset = dataset
        self.size = size
        self.path = path
        self.bad = [(dataset.describe(item), reason) for item, reason in bad]
        self.indices = np.delete(np.arange(len(dataset)), [item for item, _ in bad])
        self._map = None if path is None else self._mapped(path)

    def __len__(self) -> int:
        """Return K."""
        return len(self.indices)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, size, size, 3) uint8, a copy, for (n,) rows into `indices`."""
        items = self.indices[np.asarray(rows)]
        if self.path is None:
            return self._read(items)
        if self._map is None:  # in another process
            self._map = self._mapped(self.path)
        return self._map[items]

    def _mapped(self, path: Path) -> np.ndarray:
        return np.asarray(np.memmap(path, np.uint8, "r", shape=(len(self.dataset), self.size, self.size, 3)))

    def _read(self, items: np.ndarray) -> np.ndarray:
        try:
            return self.dataset.read_many(items, self.size)
        except ImageError as error:
            names = (
                self.dataset.describe(int(items[0])) if len(items) == 1 else _culprit(self.dataset, items, self.size)
            )
            raise UserError(
                f"{names} could be read when the run started, now it {error.reason}; put the file back as it was, and "
                "go on by resume=RUN_FOLDER"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the bytes of the cache."""
        return self.__dict__ | {"_map": None}


def open_pictures(
    dataset: Dataset,
    size: int,
    folder: Path | None,
    *,
    max_bad_share: float = 0.01,
    workers: int | None = None,
    progress: bool = True,
) -> Pictures:
    """Decode a data set into a cache in `folder`, or open the one that is there; with None, decode on demand.

    Either way every file is decoded once, by `workers` threads (None: as many as this process may use CPUs),
    and those that cannot be are set aside and named in the log; when a cache is opened they are tried again.
    A folder that cannot be written to, or a full disk, means on demand, with one warning. Memory does not
    grow with the data set. `progress`: a bar, on a terminal. Raises UserError when more than `max_bad_share`
    of the files are bad, or all of a domain.
    """
    _log.info("data: %s", dataset.summary())
    scan = _Scan(dataset, size, workers, progress)
    bad: list[_Bad] | None = None
    path: Path | None = None
    if folder is not None:
        try:
            path, bad = _cached(scan, Path(folder), max_bad_share)
        except _NoCache as problem:
            _log.warning("no cache in %s (%s): pictures are decoded on demand, which is slower", folder, problem)
            path, bad = None, problem.bad
    if bad is None:
        bad = scan.run(None) if dataset.may_fail else []
    _judge(dataset, bad, max_bad_share)
    return Pictures(dataset, size, bad, path)


class _NoCache(Exception):
    """The cache cannot be written; `bad` is the result of the scan when it was finished all the same."""

    def __init__(self, problem: str, bad: list[_Bad] | None = None) -> None:
        super().__init__(problem)
        self.bad = bad


def cache_key(dataset: Dataset, size: int) -> str:
    """Return the name of a data set's cache at a size, without an ending."""
    return hashlib.sha256(f"{LAYOUT} {size} {len(dataset)} {dataset.fingerprint()}".encode()).hexdigest()[:24]


def _cached(scan: _Scan, folder: Path, max_bad_share: float) -> tuple[Path, list[_Bad]]:
    dataset, size = scan.dataset, scan.size
    try:
        path = folder / f"{cache_key(dataset, size)}.u8"
        bad = _valid(scan, path)
        if bad is None:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                bad = _valid(scan, path)  # another process may have built it meanwhile
                if bad is None:
                    bad = _build(scan, path, max_bad_share)
        else:
            _log.info("data: cache %s", path)
    except (OSError, NotImplementedError) as error:  # file systems without locks raise the latter
        raise _NoCache(_problem(error)) from error
    return path, bad


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_suffix(".lock"))  # stays there: to remove it would let two processes in
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("data: another process is building %s, waiting for it", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _valid(scan: _Scan, path: Path) -> list[_Bad] | None:
    """Return a cache's bad items, or None where it is missing or damaged, or a bad file has become good."""
    try:
        notes = json.loads(path.with_suffix(".json").read_text("utf-8"))
        bad = [(int(item), str(reason)) for item, reason in notes["bad"]]
        fits = [notes["layout"], notes["size"], notes["items"]] == [LAYOUT, scan.size, len(scan.dataset)]
        if not fits or path.stat().st_size != scan.bytes or not all(0 <= item < len(scan.dataset) for item, _ in bad):
            return None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # any JSON, or none
        _log.warning("data: the notes of cache %s are damaged, it is built again", path)
        return None
    # The state of the disk or a permission may have been at fault, and neither shows in a fingerprint.
    if any(scan.try_one(item) is None for item, _ in bad):
        _log.info("data: a file that could not be read now can be, the cache is built again")
        return None
    return bad


def _build(scan: _Scan, path: Path, max_bad_share: float) -> list[_Bad]:
    """Decode everything into `path`; only for who holds the lock.

    Raises _NoCache, with the result of the complete scan, if the disk fills up on the way.
    """
    for left in glob.glob(f"{glob.escape(str(path.with_suffix('')))}.*.part"):  # of processes that died
        os.unlink(left)
    part = path.with_suffix(f".{os.getpid()}.part")
    path.with_suffix(".json").unlink(missing_ok=True)
    try:
        with open(part, "wb", buffering=0) as file:
            _reserve(file, scan.bytes)
            writer = _Writer(file)
            bad = scan.run(writer)
            if writer.problem is not None:
                raise _NoCache(writer.problem, bad)
            _judge(scan.dataset, bad, max_bad_share, say=False)  # too many bad files: nothing is kept
            os.fsync(file.fileno())
        os.replace(part, path)
        notes = {"layout": LAYOUT, "size": scan.size, "items": len(scan.dataset), "bad": bad}
        atomic_write(path.with_suffix(".json"), json.dumps(notes))
        _log.info("data: cache %s, %.1f MB", path, scan.bytes / 1e6)
        return bad
    finally:
        part.unlink(missing_ok=True)


def _reserve(file: io.FileIO, size: int) -> None:
    """Let a full disk show now, not at the end of the scan; where the file system cannot say, do nothing."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


class _Writer:
    """Appends pictures to a file; after the first failure it remembers the problem and swallows the rest.

    Writes instead of mapping, since a full disk under a mapped file kills the process.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.problem: str | None = None

    def append(self, pictures: np.ndarray) -> None:
        left = np.ascontiguousarray(pictures).data.cast("B")
        try:
            while left and self.problem is None:
                left = left[self.file.write(left) :]
        except OSError as error:
            self.problem = _problem(error)


class _Scan:
    """Decodes all items in order, a few chunks ahead of the writer, so that memory stays bounded."""

    def __init__(self, dataset: Dataset, size: int, workers: int | None, progress: bool) -> None:
        self.dataset = dataset
        self.size = size
        self.workers = workers or _cpus()
        self.progress = progress
        self.bytes = len(dataset) * size * size * 3

    def run(self, writer: _Writer | None) -> list[_Bad]:
        total = len(self.dataset)
        terminal = self.progress and sys.stderr.isatty()
        if not terminal:
            _log.info("data: decoding %s images to %d px with %d threads", f"{total:,}", self.size, self.workers)
        begin = time.perf_counter()
        bad: list[_Bad] = []
        with tqdm(total=total, desc=f"decoding to {self.size} px", unit=" images", disable=not terminal) as bar:
            for items, pictures, failed in self._chunks():
                bad += failed
                if writer is not None:
                    writer.append(pictures)
                bar.update(items)
        seconds = time.perf_counter() - begin
        _log.info(
            "data: decoded %s images in %.1f s (%.0f images/s), %s set aside",
            f"{total:,}", seconds, total / max(seconds, 1e-9), f"{len(bad):,}",
        )  # fmt: skip
        return bad

    def try_one(self, item: int) -> str | None:
        """Return why an item does not decode, or None."""
        try:
            self.dataset.read(item, self.size)
        except ImageError as error:
            return error.reason
        return None

    def _chunks(self) -> Iterator[tuple[int, np.ndarray, list[_Bad]]]:
        length = max(1, min(_CHUNK_ITEMS, _CHUNK_BYTES // (self.size * self.size * 3)))
        starts = range(0, len(self.dataset), length)
        waiting: deque[Future[tuple[int, np.ndarray, list[_Bad]]]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        try:
            for start in starts:
                waiting.append(pool.submit(self._chunk, start, min(start + length, len(self.dataset))))
                if len(waiting) > 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _chunk(self, start: int, stop: int) -> tuple[int, np.ndarray, list[_Bad]]:
        """Decode items start ... stop - 1; bad ones are black and listed."""
        try:
            pictures = self.dataset.read_many(np.arange(start, stop), self.size)
            assert pictures.dtype == np.uint8 and pictures.shape == (stop - start, self.size, self.size, 3), (
                pictures.shape
            )
            return stop - start, pictures, []
        except ImageError:
            pass
        pictures = np.zeros((stop - start, self.size, self.size, 3), np.uint8)
        bad: list[_Bad] = []
        for item in range(start, stop):
            try:
                pictures[item - start] = self.dataset.read(item, self.size)
            except ImageError as error:
                bad.append((item, error.reason))
        return stop - start, pictures, bad


def _judge(dataset: Dataset, bad: list[_Bad], max_bad_share: float, *, say: bool = True) -> None:
    """Name the bad files in the log; raise UserError if there are too many."""
    if not bad:
        return
    named = [f"{dataset.describe(item)} {reason}" for item, reason in bad]
    total = len(dataset)
    if len(bad) > max_bad_share * total:
        more = f" and {len(bad) - 3:,} more" if len(bad) > 3 else ""
        raise UserError(
            f"data.max_bad_fraction: {len(bad):,} of {total:,} images ({len(bad) / total:.1%}) cannot be used, "
            f"more than the {max_bad_share:.1%} that is allowed: {'; '.join(named[:3])}{more}; "
            "repair or remove them, or raise data.max_bad_fraction"
        )
    if dataset.domain is not None:
        good = np.delete(dataset.domain, [item for item, _ in bad])
        for name, count in zip(dataset.domains, np.bincount(good, minlength=len(dataset.domains)), strict=True):
            if not count:
                raise UserError(f"data: no image of domain {name!r} can be used: {'; '.join(named[:3])}")
    if say:
        for line in named:
            _log.warning("data: set aside: %s", line)
        _log.warning("data: %s of %s images set aside (data.max_bad_fraction allows %.1f %%)",
                     f"{len(bad):,}", f"{total:,}", 100 * max_bad_share)  # fmt: skip


def _culprit(dataset: Dataset, items: np.ndarray, size: int) -> str:
    for item in items:
        try:
            dataset.read(int(item), size)
        except ImageError:
            return dataset.describe(int(item))
    return "an image"


def _problem(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).lower()


def _cpus() -> int:
    counted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(counted, 32)
