"""Views turn the items of a data set into the rows of a model's batch, as a pure function of (seed, position).

A position counts the samples of an endless stream. Every number that a sample needs is drawn from (seed,
stream, position), so any process can make any batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from translate.data.counter import integers, normal


class Draw(IntEnum):
    """The independent streams of random numbers of a position; a number, once used, never changes its meaning."""

    DOMAIN = 0
    ITEM = 1
    TARGET = 2
    REFERENCE = 3
    REFERENCE2 = 4
    CODE = 5
    CODE2 = 6
    AUGMENT = 7
    AUGMENT_REFERENCE = 8
    AUGMENT_REFERENCE2 = 9


class ReferenceRows(NamedTuple):
    """Rows of a ``ReferenceBatch`` before pictures are fetched; n is the number of positions."""

    image: np.ndarray  # (n,) rows of the data set
    domain: np.ndarray  # (n,) int64
    target: np.ndarray  # (n,) int64
    reference: np.ndarray  # (n,) rows
    reference2: np.ndarray  # (n,) rows, another one than `reference` unless the domain has only one
    code: np.ndarray  # (n, latent_size) float32
    code2: np.ndarray  # (n, latent_size) float32


@dataclass(frozen=True)
class ReferenceView:
    """Class-balanced sources and targets with two references and two codes each (StarGAN v2).

    A source's domain is uniform over domains and its item uniform within the domain, with replacement; so are the
    target domain, which may equal the source's, and the references. All are drawn anew at every position.
    """

    domain: np.ndarray  # (N,) int64: the domain of every row
    num_domains: int
    latent_size: int
    seed: int

    needs = ("domain",)

    def __post_init__(self) -> None:
        members = [np.flatnonzero(self.domain == d) for d in range(self.num_domains)]
        object.__setattr__(self, "_members", np.concatenate(members))
        counts = np.array([len(m) for m in members])
        assert counts.min() > 0, counts  # the data set has refused an empty domain
        object.__setattr__(self, "_counts", counts)
        object.__setattr__(self, "_starts", np.concatenate([[0], np.cumsum(counts)[:-1]]))

    def _member(self, domain: np.ndarray, rank: np.ndarray) -> np.ndarray:
        return self._members[self._starts[domain] + rank]  # type: ignore[attr-defined]

    def draw(self, positions: np.ndarray) -> ReferenceRows:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        counts: np.ndarray = self._counts  # type: ignore[attr-defined]
        source = integers(self.seed, Draw.DOMAIN, positions, self.num_domains)
        target = integers(self.seed, Draw.TARGET, positions, self.num_domains)
        item = integers(self.seed, Draw.ITEM, positions, counts[source])
        first = integers(self.seed, Draw.REFERENCE, positions, counts[target])
        others = np.maximum(counts[target] - 1, 1)
        step = 1 + integers(self.seed, Draw.REFERENCE2, positions, others)
        second = (first + step) % counts[target]
        return ReferenceRows(
            image=self._member(source, item),
            domain=source,
            target=target,
            reference=self._member(target, first),
            reference2=self._member(target, second),
            code=normal(self.seed, Draw.CODE, positions, self.latent_size),
            code2=normal(self.seed, Draw.CODE2, positions, self.latent_size),
        )


VIEWS = {"reference": ReferenceView}


def balanced_rows(domain: np.ndarray, num_domains: int, count: int) -> np.ndarray:
    """Return up to ``count`` rows, the first ones of each domain in turn: a fixed, balanced choice."""
    members: Sequence[np.ndarray] = [np.flatnonzero(domain == d) for d in range(num_domains)]
    per_domain = -(-count // num_domains)
    rows = [m[k] for k in range(per_domain) for m in members if k < len(m)]
    return np.array(rows[:count], dtype=np.int64)
