"""The side of the real images: tallied once, kept by data, protocol and weights.

Statistics are one file each, `<key>.npz` in the folder `statistics` of the cache. The key is a digest of all that they
depend on, so a file that no longer fits is not found. A file can be deleted at any time.
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
from translate.evaluation.processes import Group
from translate.evaluation.streaming import read_real
from translate.files import atomic_write
from translate.metrics.accumulators import Accumulator
from translate.metrics.features import Features

log = logging.getLogger("translate")

LAYOUT = 1  # change it when what is kept, or how real pictures are prepared, changes
FOLDER = "statistics"


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the digest of facts that statistics depend on."""
    text = json.dumps({"layout": LAYOUT, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def load(path: Path, accumulator: Accumulator) -> bool:
    """Fill a tally from a file; False where there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            accumulator.restore({name: arrays[name] for name in arrays.files})
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        log.warning("%s is damaged; the statistics are computed again", path)
        return False
    return True


def save(path: Path, accumulator: Accumulator) -> None:
    """Keep a tally in a file; a folder that cannot be written to means that it is not kept."""
    content = io.BytesIO()
    np.savez(content, **accumulator.arrays())  # type: ignore[arg-type] # the stub takes `allow_pickle` for one of them
    try:
        atomic_write(path, content.getvalue(), durable=True)
    except OSError as error:
        log.warning("statistics of real images are not kept: %s cannot be written (%s)", path, error)


def pictures_of(
    dataset: Dataset, items: np.ndarray, size: int, shard: Shard, batch_size: int = 64
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield this shard's pictures (n, size, size, 3) uint8 with their positions among ``items``.

    They are decoded at ``size``, so that nothing is resized twice; files that cannot be read are left out.
    """
    mine = np.arange(shard.rank, len(items), shard.count)

    def read(position: int) -> np.ndarray | None:
        try:
            return dataset.read(int(items[position]), size)
        except ImageError:
            return None  # the scan of the data has named it

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(workers) as threads:
        for start in range(0, len(mine), batch_size):
            positions = mine[start : start + batch_size]
            found = list(zip(threads.map(read, positions.tolist()), positions.tolist(), strict=True))
            good = [(picture, position) for picture, position in found if picture is not None]
            if good:
                yield np.stack([picture for picture, _ in good]), np.array([position for _, position in good])


def tallied(
    dataset: Dataset,
    items: np.ndarray,
    size: int,
    accumulators: Mapping[str, Callable[[], Accumulator]],
    features: Features,
    facts: Mapping[str, Any] | None,
    cache: Path | None,
    group: Group,
) -> dict[str, Accumulator]:
    """Return tallies of real pictures, from the cache where all processes of the group find them there.

    ``tallies`` makes them by key, a text that tells all their settings. ``facts`` tell what the features depend on;
    None: they are not kept, since they belong to this run alone.
    """
    made = {name: make() for name, make in accumulators.items()}
    paths: dict[str, Path] = {}
    if cache is not None and facts is not None:
        digest = hashlib.sha256(items.tobytes()).hexdigest()
        about = {**facts, "data": dataset.fingerprint(), "items": digest, "size": size}
        paths = {name: cache / FOLDER / f"{key_of({**about, 'tally': name})}.npz" for name in made}
    mine = {name for name, path in paths.items() if load(path, made[name])}
    kept = set.intersection(*group.collect(mine))
    missing = {name: accumulators[name]() for name in made if name not in kept}
    if missing:
        read_real(pictures_of(dataset, items, size, group.shard), missing, features)
        for name, accumulator in group.merged(missing).items():
            made[name] = accumulator
            if name in paths and group.shard.rank == 0:
                save(paths[name], accumulator)
    return made
