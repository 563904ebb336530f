"""The images of a data set that the doctor examines: names, splits, domains, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from translate.config.datasets import OpenDatasets
from translate.data.datasets.base import Dataset, ImageFiles
from translate.doctor import inspection, layout
from translate.doctor.scan import Scan
from translate.sizes import ImageSize


@dataclass(frozen=True)
class Items:
    """The images that are examined: names, and for each the split, the domain and how it is read."""

    names: list[str]
    folder: str  # of the names; "" if they are no files
    splits: np.ndarray  # (N,) 0 training, 1 validation
    domains: tuple[str, ...]
    domain: np.ndarray  # (N,) index into domains; -1 without one
    examine: inspection.Examine

    def __len__(self) -> int:
        return len(self.names)


def items_of(datasets: OpenDatasets, size: ImageSize) -> Items:
    """Return the images of both splits of an open data set; a file of two items is one image."""
    train, val = datasets
    if isinstance(train, ImageFiles) and isinstance(val, ImageFiles) and train.home == val.home:
        return _of_files(train, val)
    both: list[Dataset] = [train, val]
    examiners = [inspection.of_dataset(each, size) for each in both]
    count = len(train)
    return Items(
        [each.describe(index) for each in both for index in range(len(each))],
        "",
        np.repeat([0, 1], [len(each) for each in both]),
        tuple(train.domains),
        np.concatenate([_domain(each) for each in both]),
        lambda index: examiners[index >= count](index if index < count else index - count),
    )


def _of_files(train: ImageFiles, val: ImageFiles) -> Items:
    files: dict[str, tuple[int, int]] = {}
    for split, each in enumerate((train, val)):
        for name, domain in zip(each.names, _domain(each).tolist(), strict=True):
            files.setdefault(name, (split, domain if each.halves is None else -1))
    names = list(files)
    splits, domains = (np.array(column) for column in zip(*files.values(), strict=True))
    return Items(names, train.home, splits, tuple(train.domains), domains, inspection.of_files(train.home, names))


def _domain(dataset: Dataset) -> np.ndarray:
    return np.full(len(dataset), -1) if dataset.domain is None else dataset.domain


def items_of_scan(found: Scan) -> Items:
    """Return all images of a folder that cannot be opened as a data set, by split and folder where there are any."""
    splits, labels = [], []
    for name in found.images:
        parts = name.split("/")[:-1]
        split = parts[0] if parts and parts[0] in layout.SPLITS else ""
        splits.append(int(split in ("val", "test")))
        labels.append("/".join(parts[1:2] if split else parts[:1]))
    domains = sorted({label for label in labels if label})
    number_of = {name: index for index, name in enumerate(domains)}
    return Items(
        found.images,
        found.root,
        np.array(splits, np.int64),
        tuple(domains),
        np.array([number_of.get(label, -1) for label in labels], np.int64),
        inspection.of_files(found.root, found.images),
    )
