"""Views turn the items of a data set into the rows of a model's batch, as a pure function of (seed, position).

A position counts the samples of an endless stream. Every number that a sample needs is drawn from (seed,
stream, position), so any process can make any batch.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from translate.data.datasets.base import Dataset
from translate.data.philox import integers, normal, uniform
from translate.errors import UserError


class Draw(IntEnum):
    """The independent streams of random numbers of a position; a number, once used, never changes its meaning.

    ``MIX`` is drawn in the steps of StarGAN v1 and CycleGAN, ``POOL`` in that of CycleGAN, the others by the data.
    """

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
    ORDER = 10
    ITEM_B = 11
    AUGMENT_B = 12
    MIX = 13
    POOL = 14


PART_STREAMS = 1_000
"""Streams of part p of a joint data set begin here times p, so its draws are independent of the other parts'."""


@dataclass(frozen=True)
class Feed:
    """What views are made from: the labels of every row (an item that can be read) and the run's numbers."""

    dataset: Dataset
    items: np.ndarray  # (N,) the item of every row
    batch_size: int  # of all processes together
    latent_size: int
    labels: str | None  # which labels `labelled` takes, see Dataset.label_sets
    seed: int

    @property
    def domain(self) -> np.ndarray:
        """Return the domain of every row (N,)."""
        assert self.dataset.domain is not None  # the check has seen to it
        return self.dataset.domain[self.items]

    def rows_of(self, items: np.ndarray) -> np.ndarray:
        """Return the row of each item, -1 where it cannot be read."""
        rows = np.full(len(self.dataset), -1, dtype=np.int64)
        rows[self.items] = np.arange(len(self.items))
        return rows[items]


class View(Protocol):
    """Rows of a model's batch as a pure function of positions."""

    needs: ClassVar[tuple[str, ...]]
    """What a data set must give, every one of them; "domain|attributes" is either."""

    num_domains_needed: ClassVar[tuple[int, int | None]]
    """The least and the greatest number of domains, None for any."""

    pictures: ClassVar[Mapping[str, Draw]]
    """The fields that are rows of pictures, each with the stream of its augmentation."""

    @classmethod
    def of(cls, feed: Feed) -> "View":
        """Return the view of a data set; UserError where nothing that it could show can be read."""
        ...

    def draw(self, positions: np.ndarray) -> Any:
        """Return a named tuple of arrays, a row for each position (n,); or a tuple of such, one a part."""
        ...


@functools.lru_cache(maxsize=8)
def _order(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    """Return a permutation of 0 ... count - 1 that belongs to an epoch."""
    return np.argsort(uniform(seed, stream, epoch * count + np.arange(count), 2) @ [1.0, 2.0**-32], kind="stable")


def shuffled(seed: int, stream: int, positions: np.ndarray, count: int) -> np.ndarray:
    """Return for each position (n,) one of ``count`` things, each once an epoch, in an order of the epoch's own."""
    epochs, ranks = np.divmod(positions, count)
    found = np.empty(len(positions), dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        found[here] = _order(seed, stream, int(epoch), count)[ranks[here]]
    return found


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

    needs: ClassVar[tuple[str, ...]] = ("domain",)
    num_domains_needed: ClassVar[tuple[int, int | None]] = (2, None)
    pictures: ClassVar[Mapping[str, Draw]] = {
        "image": Draw.AUGMENT,
        "reference": Draw.AUGMENT_REFERENCE,
        "reference2": Draw.AUGMENT_REFERENCE2,
    }

    @classmethod
    def of(cls, feed: Feed) -> "ReferenceView":
        """Return the view of a data set with domains."""
        return cls(feed.domain, len(feed.dataset.domains), feed.latent_size, feed.seed)

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


class LabelledRows(NamedTuple):
    """Rows of a ``LabelledBatch`` before pictures are fetched; n is the number of positions."""

    image: np.ndarray  # (n,) rows of the data set
    label: np.ndarray  # (n, K) float32, the labels of the image: 0 or 1
    target: np.ndarray  # (n, K) float32, the labels to translate to


@dataclass(frozen=True)
class LabelledView:
    """Images with their labels, and the labels of the same batch in another order as targets (StarGAN v1).

    Each part of a joint data set has a batch of its own at every iteration. Images come in epochs: each once, in an
    order that is drawn anew. The targets are a permutation over the whole batch of all processes.
    """

    rows: tuple[np.ndarray, ...]  # of every part, (N_p,)
    labels: tuple[np.ndarray, ...]  # of every part, (N_p, K_p) float32
    batch_size: int
    seed: int

    needs: ClassVar[tuple[str, ...]] = ("domain|attributes",)
    num_domains_needed: ClassVar[tuple[int, int | None]] = (2, None)
    pictures: ClassVar[Mapping[str, Draw]] = {"image": Draw.AUGMENT}

    @classmethod
    def of(cls, feed: Feed) -> "LabelledView":
        """Return the view of a data set with attributes or domains, or of several joined."""
        rows, labels = [], []
        for part in feed.dataset.label_sets(feed.labels):
            found = feed.rows_of(part.items)
            rows.append(found[found >= 0])
            labels.append(part.values[found >= 0])
            if not len(rows[-1]):
                named = f"{', '.join(part.names[:3])}{', ...' if len(part.names) > 3 else ''}"
                raise UserError(f"data: none of the images with the labels {named} can be read; repair or replace them")
        return cls(tuple(rows), tuple(labels), feed.batch_size, feed.seed)

    def draw(self, positions: np.ndarray) -> tuple[LabelledRows, ...]:
        """Return the rows of samples at ``positions`` (n,) of the stream, for each part."""
        return tuple(self._draw_part(part, positions) for part in range(len(self.rows)))

    def _draw_part(self, part: int, positions: np.ndarray) -> LabelledRows:
        base, count = part * PART_STREAMS, len(self.rows[part])
        item = shuffled(self.seed, base + Draw.ORDER, positions, count)
        target = np.empty((len(positions), self.labels[part].shape[1]), np.float32)
        batches = positions // self.batch_size
        for batch in np.unique(batches):  # targets are drawn from the whole batch, of which this may be a slice
            whole = batch * self.batch_size + np.arange(self.batch_size)
            chance = uniform(self.seed, base + Draw.TARGET, whole, 1)[:, 0]
            partner = shuffled(self.seed, base + Draw.ORDER, whole[np.argsort(chance, kind="stable")], count)
            here = batches == batch
            target[here] = self.labels[part][partner[positions[here] - whole[0]]]
        return LabelledRows(self.rows[part][item], self.labels[part][item], target)


class UnpairedRows(NamedTuple):
    """Rows of an ``UnpairedBatch`` before pictures are fetched; n is the number of positions."""

    a: np.ndarray  # (n,) rows of the first domain
    b: np.ndarray  # (n,) rows of the second domain


@dataclass(frozen=True)
class UnpairedView:
    """An image of each of two domains (CycleGAN): the first in epochs, the second drawn at random, as published."""

    a: np.ndarray  # (N_a,) rows
    b: np.ndarray  # (N_b,) rows
    seed: int

    needs: ClassVar[tuple[str, ...]] = ("domain",)
    num_domains_needed: ClassVar[tuple[int, int | None]] = (2, 2)
    pictures: ClassVar[Mapping[str, Draw]] = {"a": Draw.AUGMENT, "b": Draw.AUGMENT_B}

    @classmethod
    def of(cls, feed: Feed) -> "UnpairedView":
        """Return the view of a data set with two domains."""
        return cls(np.flatnonzero(feed.domain == 0), np.flatnonzero(feed.domain == 1), feed.seed)

    def draw(self, positions: np.ndarray) -> UnpairedRows:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        a = shuffled(self.seed, Draw.ORDER, positions, len(self.a))
        b = integers(self.seed, Draw.ITEM_B, positions, len(self.b))
        return UnpairedRows(self.a[a], self.b[b])


class PairedRows(NamedTuple):
    """Rows of a ``PairedBatch`` before pictures are fetched; n is the number of positions."""

    source: np.ndarray  # (n,) rows of the first domain
    target: np.ndarray  # (n,) rows of their partners


@dataclass(frozen=True)
class PairedView:
    """Pairs of an image of the first domain and its partner in the second (pix2pix), in epochs, cropped alike."""

    source: np.ndarray  # (N,) rows
    target: np.ndarray  # (N,) rows
    seed: int

    needs: ClassVar[tuple[str, ...]] = ("domain", "partner")
    num_domains_needed: ClassVar[tuple[int, int | None]] = (2, 2)
    pictures: ClassVar[Mapping[str, Draw]] = {"source": Draw.AUGMENT, "target": Draw.AUGMENT}

    @classmethod
    def of(cls, feed: Feed) -> "PairedView":
        """Return the view of a data set with two domains whose items have partners."""
        assert feed.dataset.partner is not None  # the check has seen to it
        source = np.flatnonzero(feed.domain == 0)
        target = feed.rows_of(feed.dataset.partner[feed.items[source]])
        if not (target >= 0).any():
            raise UserError("data: there is no pair of which both images can be read; repair or replace them")
        return cls(source[target >= 0], target[target >= 0], feed.seed)

    def draw(self, positions: np.ndarray) -> PairedRows:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        chosen = shuffled(self.seed, Draw.ORDER, positions, len(self.source))
        return PairedRows(self.source[chosen], self.target[chosen])


VIEWS: dict[str, type[View]] = {
    "reference": ReferenceView,
    "labelled": LabelledView,
    "unpaired": UnpairedView,
    "paired": PairedView,
}


def serves(view: type[View], gives: Sequence[str]) -> list[str]:
    """Return which needs of a view a data set that gives these labels does not meet."""
    return [need.replace("|", " or ") for need in view.needs if not set(need.split("|")) & set(gives)]


def balanced_rows(domain: np.ndarray, num_domains: int, count: int) -> np.ndarray:
    """Return up to ``count`` rows, the first ones of each domain in turn: a fixed, balanced choice."""
    members: Sequence[np.ndarray] = [np.flatnonzero(domain == d) for d in range(num_domains)]
    per_domain = -(-count // num_domains)
    rows = [m[k] for k in range(per_domain) for m in members if k < len(m)]
    return np.array(rows[:count], dtype=np.int64)
