"""Measure the time and memory of training a configuration on this machine, by a few iterations on a few images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from translate.config.datasets import OpenDatasets
from translate.config.length import seconds_of
from translate.config.schema import RunConfig
from translate.data.datasets.base import Dataset
from translate.data.images import ImageError
from translate.data.transforms import stored_sizes
from translate.doctor.report import Section, number
from translate.profiling.timing import Length, measure_speed
from translate.sizes import ImageSize, SizeLike
from translate.training.callbacks.progress import duration

LENGTH = Length(warmup=1, iterations=3)
EACH = 24  # images of each domain that the measurement decodes
LONG = 7 * 24 * 3600.0  # seconds


class Few(Dataset):
    """The first readable images of each domain of a data set, pairs kept together."""

    def __init__(self, dataset: Dataset, size: SizeLike) -> None:
        self._dataset = dataset
        self._rows = rows = np.array(_readable(dataset, _candidates(dataset), size), np.int64)
        self.domains, self.attribute_names = dataset.domains, dataset.attribute_names
        self.domain = None if dataset.domain is None else dataset.domain[rows]
        self.attributes = None if dataset.attributes is None else dataset.attributes[rows]
        self.partner = None if dataset.partner is None else np.searchsorted(rows, dataset.partner[rows])

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, index: int, size: SizeLike) -> np.ndarray:
        """Read the image from the data set."""
        return self._dataset.read(int(self._rows[index]), size)

    def describe(self, index: int) -> str:
        """Return the data set's name of the image."""
        return self._dataset.describe(int(self._rows[index]))

    def fingerprint(self) -> str:
        """Return the digest of the data set and the chosen rows."""
        return f"{self._dataset.fingerprint()} {self._rows.tolist()}"


def _candidates(dataset: Dataset) -> list[list[int]]:
    """Return rows by domain, more than are needed; a pair is one entry of two rows in the same list."""
    if dataset.partner is not None:
        pairs = sorted({tuple(sorted(pair)) for pair in enumerate(dataset.partner.tolist())})
        return [[row for pair in pairs[: 4 * EACH] for row in pair]]
    if dataset.domain is None or not dataset.domains:
        return [list(range(min(len(dataset), 4 * EACH)))]
    return [np.flatnonzero(dataset.domain == d)[: 4 * EACH].tolist() for d in range(len(dataset.domains))]


def _readable(dataset: Dataset, groups: list[list[int]], size: SizeLike) -> list[int]:
    rows: list[int] = []
    step = 1 if dataset.partner is None else 2
    for group in groups:
        kept: list[int] = []
        for start in range(0, len(group), step):
            try:
                for row in group[start : start + step]:
                    dataset.read(row, size)
            except ImageError:
                continue
            kept += group[start : start + step]
            if len(kept) >= EACH * step:
                break
        rows += kept
    return sorted(rows)


def measure(config: RunConfig, datasets: OpenDatasets, section: Section) -> None:
    """Add the measured speed, and the time, memory and disk that the whole run needs."""
    size = _stored(config)[0]
    if type(datasets.train).label_sets is Dataset.label_sets:  # a joint set has labels of its own, and is taken whole
        datasets = OpenDatasets(*(Few(each, size.plain) for each in datasets))
    trainer = replace(config.trainer, devices=1, num_nodes=1)
    data = replace(config.data, cache=None, num_workers=0)
    speed = measure_speed(replace(config, trainer=trainer, data=data), LENGTH, datasets)
    budget = None if config.iterations or config.budget is None else seconds_of(config.budget)
    iterations = config.iterations if budget is None else round(budget / speed.seconds)
    total = speed.seconds * iterations
    section.fact(
        "configuration", f"{config.model.name}, {ImageSize.of(data.image_size)} px, batches of {data.batch_size}"
    )
    section.fact("device", speed.device)
    section.fact("an iteration", f"{speed.seconds:.3g} s, median of {LENGTH.iterations}")
    section.fact("the run", f"{number(iterations, 'iteration')} in {duration(total)}, without evaluations")
    section.fact("memory", f"{speed.peak_bytes / 1e9:.2f} GB at the peak of these iterations")
    if total > LONG:
        section.warning(
            f"training would take {total / 86400:.0f} days here",
            fix="a small model (model=stargan_v2_small), a smaller data.image_size, fewer iterations, or a GPU",
        )


def disk_of_cache(count: int, config: RunConfig) -> int:
    """Return the bytes of the decoded images of a data set of so many images."""
    return count * sum(size.area * 3 for size in _stored(config))


def _stored(config: RunConfig) -> tuple[ImageSize, ...]:
    """Return the sizes of decoded training images."""
    data = config.data
    return stored_sizes(data.augment, data.image_size, data.load_size, data.crop_until)
