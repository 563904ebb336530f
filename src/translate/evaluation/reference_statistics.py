"""Accumulated features of real images: computed once, kept in the cache by data, protocol and weights.

The cache has one file each, ``statistics/<key>.npz``. The key is a digest of all that the statistics depend on, so a
file that no longer applies is not found. A file can be deleted at any time.
"""

import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from translate.data.datasets.base import Dataset
from translate.data.images import ImageError
from translate.data.module import Shard
from translate.evaluation.processes import Processes
from translate.evaluation.streaming import read_real
from translate.files.reading import require_file
from translate.files.writing import atomic_write
from translate.metrics.accumulators import Accumulator
from translate.metrics.interfaces import Features
from translate.sizes import ImageSize, SizeLike

log = logging.getLogger("translate")

FORMAT = 2  # change it when the content of the files or the preprocessing of real images changes
FOLDER = "statistics"


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the digest of the facts that statistics depend on."""
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def load(path: Path, accumulator: Accumulator) -> bool:
    """Fill an accumulator from a file; return False for a missing or damaged one."""
    if not os.path.lexists(path):
        return False
    try:
        require_file(path)
        with np.load(path, allow_pickle=False) as arrays:
            accumulator.load_state_dict({name: arrays[name] for name in arrays.files})
    except (AttributeError, TypeError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        log.warning("%s is damaged; the statistics are computed again", path)
        return False
    return True


def save(path: Path, accumulator: Accumulator) -> None:
    """Write an accumulator to a file; warn about a folder that cannot be written."""
    content = io.BytesIO()
    np.savez(content, **accumulator.state_dict())  # type: ignore[arg-type] # the stub reserves `allow_pickle`
    try:
        atomic_write(path, content.getvalue(), durable=True)
    except OSError as error:
        log.warning("statistics of real images are not kept: %s cannot be written (%s)", path, error)


def images_of(
    dataset: Dataset, items: np.ndarray, size: SizeLike, shard: Shard, batch_size: int = 64
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield this shard's images (n, height, width, 3) uint8 with their positions among ``items``.

    Images are decoded at ``size``, so that they are resized once. Files that cannot be read are left out.
    """
    own, plain = np.arange(shard.rank, len(items), shard.count), ImageSize.of(size).plain

    def read(position: int) -> np.ndarray | None:
        try:
            return dataset.read(int(items[position]), plain)
        except ImageError:
            return None  # the scan of the data has reported it

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(workers) as threads:
        for start in range(0, len(own), batch_size):
            positions = own[start : start + batch_size]
            images = zip(threads.map(read, positions.tolist()), positions.tolist(), strict=True)
            readable = [(image, position) for image, position in images if image is not None]
            if readable:
                yield np.stack([image for image, _ in readable]), np.array([position for _, position in readable])


def reference_statistics(
    dataset: Dataset,
    items: np.ndarray,
    size: SizeLike,
    makers: Mapping[str, Callable[[], Accumulator]],
    network: Features,
    facts: Mapping[str, Any] | None,
    cache: Path | None,
    processes: Processes,
) -> dict[str, Accumulator]:
    """Return accumulators with the features of real images, from the cache where all processes find them there.

    ``makers`` make empty accumulators by key, a text of all their settings. ``facts`` are the facts that the features
    depend on; with None nothing is kept, since the features belong to this run alone.
    """
    accumulators = {key: make() for key, make in makers.items()}
    paths: dict[str, Path] = {}
    if cache is not None and facts is not None:
        digest = hashlib.sha256(items.tobytes()).hexdigest()
        dependencies = {**facts, "data": dataset.fingerprint(), "items": digest, "size": ImageSize.of(size).plain}
        paths = {key: cache / FOLDER / f"{key_of({**dependencies, 'accumulator': key})}.npz" for key in makers}
    own = {key for key, path in paths.items() if load(path, accumulators[key])}
    loaded = set.intersection(*processes.all_gather(own))
    missing = {key: make() for key, make in makers.items() if key not in loaded}
    if missing:
        read_real(images_of(dataset, items, size, processes.shard), missing, network)
        for key, accumulator in processes.merged(missing).items():
            accumulators[key] = accumulator
            if key in paths and processes.is_first:
                save(paths[key], accumulator)
    return accumulators
