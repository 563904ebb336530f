"""Decode all images of a data set once, with threads and bounded memory, and refuse a set with too many bad files."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from tqdm import tqdm

from translate.console import is_interactive
from translate.data.datasets.base import Dataset
from translate.data.images import ImageError
from translate.errors import Phrase, UserError
from translate.sizes import ImageSize

_log = logging.getLogger("translate")
_CHUNK_BYTES = 4 << 20
_CHUNK_ITEMS = 64
_MAX_THREADS = 32

Unreadable = tuple[int, str]
"""The number of an item that does not decode, and the reason."""


class Writer(Protocol):
    """A destination of decoded images."""

    def append(self, records: np.ndarray) -> None:
        """Take the next images (n, bytes of all sizes) uint8, in the order of the items."""


class Decoder:
    """Decodes all items in order, a few chunks ahead of the writer, so memory does not grow with the data set."""

    def __init__(self, dataset: Dataset, sizes: Sequence[ImageSize], num_threads: int | None, progress: bool) -> None:
        """Take the sizes at which each image is decoded; ``num_threads`` None is one a CPU of this process."""
        self.dataset = dataset
        self.sizes = tuple(sizes)
        self.num_threads = num_threads or _available_cpus()
        self.progress = progress
        self.record_bytes = sum(size.area * 3 for size in self.sizes)
        self.num_bytes = len(dataset) * self.record_bytes

    def run(self, writer: Writer | None) -> list[Unreadable]:
        """Decode every item, hand the images to the writer, and return the items that do not decode."""
        total, names = len(self.dataset), " and ".join(map(str, self.sizes))
        terminal = self.progress and is_interactive()
        if not terminal:
            _log.info("data: decoding %s images to %s px with %d threads", f"{total:,}", names, self.num_threads)
        begin = time.perf_counter()
        unreadable: list[Unreadable] = []
        with tqdm(total=total, desc=f"decoding to {names} px", unit=" images", disable=not terminal) as bar:
            for records, failed in self._chunks():
                unreadable += failed
                if writer is not None:
                    writer.append(records)
                bar.update(len(records))
        seconds = time.perf_counter() - begin
        _log.info(
            "data: decoded %s images in %.1f s (%.0f images/s), %s unreadable",
            f"{total:,}", seconds, total / max(seconds, 1e-9), f"{len(unreadable):,}",
        )  # fmt: skip
        return unreadable

    def failure(self, item: int) -> str | None:
        """Return the reason why an item does not decode, or None if it does."""
        try:
            self.dataset.read(item, self.sizes[0].plain)
        except ImageError as error:
            return error.reason
        return None

    def _chunks(self) -> Iterator[tuple[np.ndarray, list[Unreadable]]]:
        length = max(1, min(_CHUNK_ITEMS, _CHUNK_BYTES // self.record_bytes))
        starts = range(0, len(self.dataset), length)
        waiting: deque[Future[tuple[np.ndarray, list[Unreadable]]]] = deque()
        pool = ThreadPoolExecutor(self.num_threads, thread_name_prefix="decode")
        try:
            for start in starts:
                waiting.append(pool.submit(self._chunk, start, min(start + length, len(self.dataset))))
                if len(waiting) > 2 * self.num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _chunk(self, start: int, stop: int) -> tuple[np.ndarray, list[Unreadable]]:
        """Decode items start ... stop - 1; an unreadable one is black in the images and in the list."""
        try:
            return self._records(np.arange(start, stop)), []
        except ImageError:
            pass
        records = np.zeros((stop - start, self.record_bytes), np.uint8)
        unreadable: list[Unreadable] = []
        for item in range(start, stop):
            try:
                records[item - start] = self._records(np.array([item]))[0]
            except ImageError as error:
                unreadable.append((item, error.reason))
        return records, unreadable

    def _records(self, items: np.ndarray) -> np.ndarray:
        """Return the images of items, each image's sizes after one another (n, bytes)."""
        images = self.dataset.read_sizes(items, [size.plain for size in self.sizes])
        for each, size in zip(images, self.sizes, strict=True):
            assert each.dtype == np.uint8 and each.shape == (len(items), *size, 3), (each.dtype, each.shape)
        if len(images) == 1:
            return images[0].reshape(len(items), -1)
        return np.concatenate([each.reshape(len(items), -1) for each in images], axis=1)


def check_unreadable(dataset: Dataset, unreadable: list[Unreadable], max_bad_fraction: float) -> None:
    """Raise UserError if more than ``max_bad_fraction`` of the items do not decode, or all of a domain."""
    if not unreadable:
        return
    descriptions = _descriptions(dataset, unreadable[:3])
    names = "; ".join(descriptions) + (f" and {len(unreadable) - 3:,} more" if len(unreadable) > 3 else "")
    total = len(dataset)
    if len(unreadable) > max_bad_fraction * total:
        raise UserError(
            f"too many images cannot be read: {names}",
            key="max_bad_fraction",
            found=Phrase(f"{len(unreadable):,} of {total:,} images ({len(unreadable) / total:.1%})"),
            expected=f"at most {max_bad_fraction:.1%}",
            fix="repair or remove these images, or raise max_bad_fraction",
        )
    if dataset.domain is not None:
        readable = np.delete(dataset.domain, [item for item, _ in unreadable])
        counts = np.bincount(readable, minlength=len(dataset.domains))
        for domain, count in zip(dataset.domains, counts, strict=True):
            if not count:
                raise UserError(
                    f"no image of domain {domain!r} can be read: {names}", fix="repair or replace the images"
                )


def log_unreadable(dataset: Dataset, unreadable: list[Unreadable], max_bad_fraction: float) -> None:
    """Name every item that does not decode in the log."""
    for line in _descriptions(dataset, unreadable):
        _log.warning("data: left out: %s", line)
    if unreadable:
        _log.warning(
            "data: %s of %s images left out (max_bad_fraction allows %.1f %%)",
            f"{len(unreadable):,}", f"{len(dataset):,}", 100 * max_bad_fraction,
        )  # fmt: skip


def _descriptions(dataset: Dataset, unreadable: list[Unreadable]) -> list[str]:
    return [f"{dataset.describe(item)} {reason}" for item, reason in unreadable]


def _available_cpus() -> int:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, _MAX_THREADS)
