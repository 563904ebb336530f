"""What is kept of a stream of images while it passes: sums that can be merged, in memory that does not grow with it.

Every tally takes rows with the *positions* of their images in the stream, so that several processes that each saw some
positions, in whatever order and in batches of whatever size, end with what one would have had (moments: up to the
rounding of float64).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

_HASH = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Accumulator(Protocol):
    """What is kept of a stream; two of the same ``key`` keep the same of the same rows."""

    @property
    def key(self) -> str:
        """Return what tells the kind of the tally and its settings."""
        ...

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Take rows (n, ...) of the images at positions (n,)."""
        ...

    def merge(self, other: "Accumulator") -> None:
        """Take all that another tally of the same kind has taken; no position may be in both."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state."""
        ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state that `arrays` has returned."""
        ...

    def __len__(self) -> int:
        """Return how many rows were taken."""
        ...


class FeatureStatistics:
    """Mean and covariance of features in float64, updated batch by batch.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979: the
    sums are about the mean, so nothing cancels, and merging two tallies is the same formula as adding a batch.
    """

    key = "moments"

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)  # (D,)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)  # (D, D) sum of products of deviations
        self._root: Tensor | None = None

    def __len__(self) -> int:
        """Return how many rows were taken."""
        return self.count

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Take features (n, D); their positions do not matter."""
        del positions
        values = rows.detach().to("cpu", torch.float64)
        mean = values.mean(0)
        centred = values - mean
        self._join(len(values), mean, centred.T @ centred)

    def merge(self, other: "Accumulator") -> None:
        """Take what another has taken."""
        assert isinstance(other, FeatureStatistics)
        if other.count:
            self._join(other.count, other.mean, other.scatter)

    def _join(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        self._root = None
        if not self.count:
            self.count, self.mean, self.scatter = count, mean.clone(), scatter.clone()
            return
        total = self.count + count
        shift = mean - self.mean
        self.scatter += scatter
        self.scatter += torch.outer(shift, shift) * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def covariance(self) -> Tensor:
        """Return the unbiased covariance (D, D); of a single row it is zero."""
        return self.scatter / max(1, self.count - 1)

    def root(self) -> Tensor:
        """Return the symmetric root of the covariance (D, D), computed once: real images are compared with often."""
        if self._root is None:
            values, vectors = torch.linalg.eigh(self.covariance())
            self._root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        return self._root

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state."""
        return {"count": np.array(self.count), "mean": self.mean.numpy(), "scatter": self.scatter.numpy()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state that `arrays` has returned."""
        self.count, self._root = int(arrays["count"]), None
        self.mean, self.scatter = (torch.from_numpy(arrays[name].copy()) for name in ("mean", "scatter"))


class Sample:
    """At most ``limit`` rows, drawn without replacement from all that pass, the same ones whoever saw them.

    A position's hash decides: the rows with the smallest ones are kept, which is a uniform draw whose result does not
    depend on order, batches or processes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.key = f"sample {limit}"
        self.count = 0
        self.positions = np.zeros(0, np.int64)
        self.rows = torch.zeros(0, 0)

    def __len__(self) -> int:
        """Return how many rows were taken, kept or not."""
        return self.count

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Take features (n, D) of the images at positions (n,)."""
        self.count += len(rows)
        self._join(rows.detach().to("cpu", torch.float32), np.asarray(positions, np.int64))

    def merge(self, other: "Accumulator") -> None:
        """Take what another has taken."""
        assert isinstance(other, Sample)
        self.count += other.count
        if len(other.positions):
            self._join(other.rows, other.positions)

    def _join(self, rows: Tensor, positions: np.ndarray) -> None:
        if len(self.positions):
            rows, positions = torch.cat([self.rows, rows]), np.concatenate([self.positions, positions])
        order = np.lexsort((positions, _priority(positions)))[: self.limit]
        self.rows, self.positions = rows[torch.from_numpy(order)], positions[order]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state."""
        return {"count": np.array(self.count), "positions": self.positions, "rows": self.rows.numpy()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state that `arrays` has returned."""
        self.count, self.positions = int(arrays["count"]), arrays["positions"].copy()
        self.rows = torch.from_numpy(arrays["rows"].copy())


class Values:
    """One number for each position."""

    key = "values"

    def __init__(self) -> None:
        self.found: dict[int, float] = {}

    def __len__(self) -> int:
        """Return how many numbers were taken."""
        return len(self.found)

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Take numbers (n,) of positions (n,)."""
        self.found.update(zip(positions.tolist(), rows.detach().double().cpu().tolist(), strict=True))

    def merge(self, other: "Accumulator") -> None:
        """Take what another has taken."""
        assert isinstance(other, Values)
        self.found.update(other.found)

    def in_order(self) -> np.ndarray:
        """Return the numbers (n,) float64 in the order of their positions."""
        return np.array([self.found[position] for position in sorted(self.found)], np.float64)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state."""
        return {"positions": np.array(sorted(self.found), np.int64), "values": self.in_order()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state that `arrays` has returned."""
        self.found = dict(zip(arrays["positions"].tolist(), arrays["values"].tolist(), strict=True))


def merged(accumulators: Sequence[Accumulator]) -> Accumulator:
    """Return the first of several tallies of one kind after it has taken all others."""
    first, *others = accumulators
    for other in others:
        first.merge(other)
    return first


def _priority(positions: np.ndarray) -> np.ndarray:
    """Return a fixed random number for each position (n,), by the mixer of SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = positions.astype(np.uint64) + _HASH[0]
        z = (z ^ (z >> np.uint64(30))) * _HASH[1]
        z = (z ^ (z >> np.uint64(27))) * _HASH[2]
        mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
