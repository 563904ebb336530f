"""Accumulators of a stream of images, whose memory does not grow with the stream and which can be merged.

Every accumulator takes rows with the *positions* of their images in the stream. Several processes that each see some
positions, in any order and in batches of any size, end with the state that one process would have. For feature
statistics this holds up to the rounding of float64.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

PENDING = 512
"""Rows of features that wait for one update of their statistics: 4 MiB of 2048 features in float32."""

_HASH = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Accumulator(Protocol):
    """The state of a stream. Two accumulators of the same ``key`` have the same state after the same rows."""

    @property
    def key(self) -> str:
        """Return the kind of the accumulator and its settings as a text."""
        ...

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Add rows (n, ...) of the images at positions (n,)."""
        ...

    def merge(self, other: "Accumulator") -> None:
        """Add the state of another accumulator of the same kind; no position may be in both."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the state."""
        ...

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load a state that `state_dict` has returned."""
        ...

    def __len__(self) -> int:
        """Return the number of rows that were added."""
        ...


class FeatureStatistics:
    """Mean and covariance of features in float64, updated by many rows at a time.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979: the
    sums are about the mean, so nothing cancels. Merging two accumulators and adding rows are the same formula. An
    update costs as much as the covariance has entries, so rows wait, in float32 and on their device, until there are
    `PENDING`; the device multiplies them.
    """

    key = "moments"

    def __init__(self) -> None:
        self._count = 0  # rows in the statistics
        self._mean = torch.zeros(0, dtype=torch.float64)  # (D,)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)  # (D, D) sum of products of deviations
        self._pending: list[Tensor] = []
        self._num_pending = 0
        self._root: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of rows that were added."""
        return self._count + self._num_pending

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Add features (n, D); their positions do not matter."""
        del positions
        self._root = None
        self._pending.append(rows.detach().clone())
        self._num_pending += len(rows)
        if self._num_pending >= PENDING:
            self._join_pending()

    def merge(self, other: "Accumulator") -> None:
        """Add the state of another accumulator."""
        assert isinstance(other, FeatureStatistics)
        self._join_pending()
        other._join_pending()
        if other._count:
            self._join(other._count, other._mean, other._scatter)

    def _join_pending(self) -> None:
        """Add the rows that wait to the statistics. MPS has no float64."""
        if self._num_pending:
            rows = torch.cat(self._pending)
            values = rows.to("cpu" if rows.device.type == "mps" else rows.device, torch.float64)
            mean = values.mean(0)
            centred = values - mean
            self._join(len(values), mean.cpu(), (centred.T @ centred).cpu())
        self._pending, self._num_pending = [], 0

    def _join(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        self._root = None
        if not self._count:
            self._count, self._mean, self._scatter = count, mean.clone(), scatter.clone()
            return
        total = self._count + count
        shift = mean - self._mean
        self._scatter += scatter
        self._scatter.addr_(shift, shift, alpha=self._count * count / total)
        self._mean += shift * (count / total)
        self._count = total

    @property
    def mean(self) -> Tensor:
        """Return the mean (D,)."""
        self._join_pending()
        return self._mean

    @property
    def scatter(self) -> Tensor:
        """Return the sum of products of deviations from the mean (D, D)."""
        self._join_pending()
        return self._scatter

    def covariance(self) -> Tensor:
        """Return the unbiased covariance (D, D); of a single row it is zero."""
        return self.scatter / max(1, len(self) - 1)

    def root(self) -> Tensor:
        """Return the symmetric root of the covariance (D, D), computed once: real images are compared many times."""
        if self._root is None:
            values, vectors = torch.linalg.eigh(self.covariance())
            self._root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        return self._root

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the state."""
        return {"count": np.array(len(self)), "mean": self.mean.numpy(), "scatter": self.scatter.numpy()}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load a state that `state_dict` has returned."""
        self._pending, self._num_pending, self._root = [], 0, None
        self._count = int(arrays["count"])
        self._mean, self._scatter = (torch.from_numpy(arrays[name].copy()) for name in ("mean", "scatter"))


class Sample:
    """At most ``limit`` rows, drawn without replacement from the stream.

    The rows whose positions have the smallest hashes are kept. This is a uniform draw that does not depend on order,
    batches or processes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.key = f"sample {limit}"
        self.count = 0
        self.positions = np.zeros(0, np.int64)
        self.rows = torch.zeros(0, 0)

    def __len__(self) -> int:
        """Return the number of rows that were added, kept or not."""
        return self.count

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Add features (n, D) of the images at positions (n,)."""
        self.count += len(rows)
        self._join(rows.detach().to("cpu", torch.float32), np.asarray(positions, np.int64))

    def merge(self, other: "Accumulator") -> None:
        """Add the state of another accumulator."""
        assert isinstance(other, Sample)
        self.count += other.count
        if len(other.positions):
            self._join(other.rows, other.positions)

    def _join(self, rows: Tensor, positions: np.ndarray) -> None:
        if len(self.positions):
            rows, positions = torch.cat([self.rows, rows]), np.concatenate([self.positions, positions])
        order = np.lexsort((positions, _priority(positions)))[: self.limit]
        self.rows, self.positions = rows[torch.from_numpy(order)], positions[order]

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the state."""
        return {"count": np.array(self.count), "positions": self.positions, "rows": self.rows.numpy()}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load a state that `state_dict` has returned."""
        self.count, self.positions = int(arrays["count"]), arrays["positions"].copy()
        self.rows = torch.from_numpy(arrays["rows"].copy())


class Values:
    """One number for each position, or several."""

    key = "values"

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}  # a float, or a list of K

    def __len__(self) -> int:
        """Return the number of values that were added."""
        return len(self.values)

    def add(self, rows: Tensor, positions: np.ndarray) -> None:
        """Add values (n,) or (n, K) of positions (n,)."""
        self.values.update(zip(positions.tolist(), rows.detach().double().cpu().tolist(), strict=True))

    def merge(self, other: "Accumulator") -> None:
        """Add the state of another accumulator."""
        assert isinstance(other, Values)
        self.values.update(other.values)

    def in_order(self) -> np.ndarray:
        """Return the values (n,) or (n, K) float64 in the order of their positions."""
        return np.array([self.values[position] for position in sorted(self.values)], np.float64)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the state."""
        return {"positions": np.array(sorted(self.values), np.int64), "values": self.in_order()}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load a state that `state_dict` has returned."""
        self.values = dict(zip(arrays["positions"].tolist(), arrays["values"].tolist(), strict=True))


def merged(accumulators: Sequence[Accumulator]) -> Accumulator:
    """Merge several accumulators of one kind into the first and return it."""
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
