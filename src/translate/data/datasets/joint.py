"""Several data sets joined, each with its own labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from translate.data.datasets.base import Dataset, LabelSet, check_split
from translate.errors import Phrase, UserError, errors_inside
from translate.registry.registry import DATASETS
from translate.sizes import ImageSize, SizeLike


@DATASETS.register("joint", provides=("attributes",), nested="parts")
class Joint(Dataset):
    """Several data sets joined, each with its own set of labels, such as CelebA's attributes and RaFD's expressions.

    `parts` maps names to component data sets, each a mapping of `name` (a key of DATASETS), the arguments, and
    optionally `domains` and `labels`, as for a single data set. The items are those of all components in order. There
    are no domains: a model takes the labels, one set for each component.
    UserError for fewer than two components, for domains or labels of the whole, and for mistakes in a component, below
    the key `parts.NAME`.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """Open the components; see the class."""
        check_split(split)
        if len(parts) < 2:
            raise UserError(key="parts", found=Phrase(", ".join(parts) or "none"), expected="two data sets or more")
        if domains:
            raise _of_the_whole("domains", ", ".join(domains), parts)
        self.components: dict[str, Dataset] = {}
        self._labels: dict[str, str | None] = {}
        for name, node in parts.items():
            arguments = {key: value for key, value in node.items() if key not in ("name", "labels")}
            with errors_inside(f"parts.{name}"):
                self.components[name] = DATASETS.get(node["name"])(**arguments, split=split)
            self._labels[name] = node.get("labels")
        self._starts = np.cumsum([0, *map(len, self.components.values())])
        self.may_fail = any(dataset.may_fail for dataset in self.components.values())

    def __len__(self) -> int:
        """Return N, the number of items of all components."""
        return int(self._starts[-1])

    def read(self, index: int, size: SizeLike) -> np.ndarray:
        """Return the image of an item, read by its component."""
        dataset, own = self._locate(index)
        return dataset.read(own, size)

    def read_many(self, indices: Sequence[int] | np.ndarray, size: SizeLike) -> np.ndarray:
        """Return images; those of each component are read together."""
        return self.read_sizes(indices, [size])[0]

    def read_sizes(self, indices: Sequence[int] | np.ndarray, sizes: Sequence[SizeLike]) -> list[np.ndarray]:
        """Return images at each of several sizes; those of each component are read together."""
        items = np.asarray(indices, dtype=np.int64)
        results = [np.empty((len(items), *ImageSize.of(size), 3), np.uint8) for size in sizes]
        components = np.searchsorted(self._starts, items, side="right") - 1
        for number, dataset in enumerate(self.components.values()):
            rows = np.flatnonzero(components == number)
            if len(rows):
                own = dataset.read_sizes(items[rows] - self._starts[number], sizes)
                for images, part in zip(results, own, strict=True):
                    images[rows] = part
        return results

    def describe(self, index: int) -> str:
        """Return the description of an item by its component."""
        dataset, own = self._locate(index)
        return dataset.describe(own)

    def fingerprint(self) -> str:
        """Digest the fingerprints of the components."""
        fingerprints = " ".join(dataset.fingerprint() for dataset in self.components.values())
        return hashlib.sha256(f"joint {fingerprints}".encode()).hexdigest()

    def label_sets(self, choice: str | None = None) -> tuple[LabelSet, ...]:
        """Return the labels of every component; each has its own choice, so `choice` must be None (UserError)."""
        if choice is not None:
            raise _of_the_whole("labels", choice, self.components)
        label_sets = []
        for start, (name, dataset) in zip(self._starts[:-1], self.components.items(), strict=True):
            with errors_inside(f"parts.{name}"):
                label_sets += [replace(s, items=s.items + start) for s in dataset.label_sets(self._labels[name])]
        return tuple(label_sets)

    def epoch_size(self) -> int:
        """Return the number of samples in an epoch of the component with the longest one."""
        return max(dataset.epoch_size() for dataset in self.components.values())

    def summary(self) -> str:
        """Return one line for the log: the number of items, and the summary of each component."""
        summaries = "; ".join(f"{name}: {dataset.summary()}" for name, dataset in self.components.items())
        return f"{len(self):,} images; {summaries}"

    def _locate(self, index: int) -> tuple[Dataset, int]:
        """Return the component of an item, and the item's number there."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return list(self.components.values())[number], int(index - self._starts[number])


def _of_the_whole(key: str, found: str, components: Mapping[str, Any]) -> UserError:
    """Return the error of an argument that is given for the joint data set instead of its components."""
    return UserError(
        f"joined data sets have their own {key}",
        key=key,
        found=found,
        expected="null",
        fix=f"choose by parts.{next(iter(components))}.{key}",
    )
