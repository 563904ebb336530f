"""Several data sets joined, each with labels of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from translate.data.datasets.base import Dataset, LabelSet, check_split
from translate.errors import UserError
from translate.registry.registry import DATASETS


@DATASETS.register("joint", provides=("attributes",), nested="parts")
class Joint(Dataset):
    """Several data sets joined, whose labels stand side by side, such as CelebA's attributes and RaFD's expressions.

    `parts` maps names to data sets, each a mapping of `name` (a key of DATASETS), the arguments, and where
    wanted `domains` and `labels`, as they stand below `data` for a single one. The items are those of all
    parts, one part after the other. There are no domains: a model takes the labels, a set for each part.
    Raises UserError for fewer than two parts, for domains or labels that are not said of a part, and for what
    is wrong in a part, which it names.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """Open the parts; see the class."""
        check_split(split)
        if len(parts) < 2:
            raise UserError(f"data.parts: found {', '.join(parts) or 'none'}, expected two data sets or more")
        if domains:
            raise UserError(f"data.domains: found {', '.join(domains)}; {_say_of_a_part('domains', parts)}")
        self.parts: dict[str, Dataset] = {}
        self._labels: dict[str, str | None] = {}
        for part, node in parts.items():
            arguments = {key: value for key, value in node.items() if key not in ("name", "labels")}
            with _blamed_on(part):
                self.parts[part] = DATASETS.get(node["name"])(**arguments, split=split)
            self._labels[part] = node.get("labels")
        self._starts = np.cumsum([0, *map(len, self.parts.values())])
        self.may_fail = any(dataset.may_fail for dataset in self.parts.values())

    def __len__(self) -> int:
        """Return N, the items of all parts together."""
        return int(self._starts[-1])

    def read(self, index: int, size: int) -> np.ndarray:
        """Return the picture of the part that the item belongs to."""
        dataset, own = self._locate(index)
        return dataset.read(own, size)

    def read_many(self, indices: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
        """Return pictures, those of each part read together."""
        items = np.asarray(indices, dtype=np.int64)
        pictures = np.empty((len(items), size, size, 3), np.uint8)
        parts = np.searchsorted(self._starts, items, side="right") - 1
        for part, dataset in enumerate(self.parts.values()):
            rows = np.flatnonzero(parts == part)
            if len(rows):
                pictures[rows] = dataset.read_many(items[rows] - self._starts[part], size)
        return pictures

    def describe(self, index: int) -> str:
        """Return what the part says of the item."""
        dataset, own = self._locate(index)
        return dataset.describe(own)

    def fingerprint(self) -> str:
        """Digest the parts' fingerprints."""
        found = " ".join(dataset.fingerprint() for dataset in self.parts.values())
        return hashlib.sha256(f"joint {found}".encode()).hexdigest()

    def label_sets(self, choice: str | None = None) -> tuple[LabelSet, ...]:
        """Return the labels of every part; each chooses for itself, so `choice` must be None (UserError)."""
        if choice is not None:
            raise UserError(f"data.labels: found {choice}; {_say_of_a_part('labels', self.parts)}")
        found = []
        for start, (part, dataset) in zip(self._starts[:-1], self.parts.items(), strict=True):
            with _blamed_on(part):
                found += [replace(s, items=s.items + start) for s in dataset.label_sets(self._labels[part])]
        return tuple(found)

    def epoch_size(self) -> int:
        """Return how many samples make an epoch of the part with the longest one."""
        return max(dataset.epoch_size() for dataset in self.parts.values())

    def summary(self) -> str:
        """Return one line for the log: how many items, and what each part says of itself."""
        parts = "; ".join(f"{part}: {dataset.summary()}" for part, dataset in self.parts.items())
        return f"{len(self):,} images; {parts}"

    def _locate(self, index: int) -> tuple[Dataset, int]:
        """Return the part that an item belongs to, and its number there."""
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return list(self.parts.values())[part], int(index - self._starts[part])


def _say_of_a_part(key: str, parts: Mapping[str, Any]) -> str:
    first = next(iter(parts))
    return f"joined data sets have {key} of their own; write data.{key}=null, and choose by data.parts.{first}.{key}"


@contextmanager
def _blamed_on(part: str) -> Iterator[None]:
    """Let what is wrong in a part name the part: data.root becomes data.parts.celeba.root."""
    try:
        yield
    except UserError as error:
        text = re.sub(r"(?<![\w./-])data\.(?=[a-z])", f"data.parts.{part}.", str(error))
        raise UserError(text if text.startswith("data.parts.") else f"data.parts.{part}: {text}") from error
