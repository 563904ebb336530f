"""Which images are translated to what, and with which real images the results are compared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from translate.data.datasets.base import LabelSet
from translate.data.labels import changed, conditions
from translate.data.module import DataModule


@dataclass(frozen=True)
class Route:
    """One ordered pair of domains, or one attribute in one direction."""

    name: str  # "cat -> dog", "without Smiling -> with"
    number: int  # keys the random draws
    sources: np.ndarray  # (n,) rows of the validation pictures
    target: Callable[[np.ndarray], Tensor]  # of some of the rows: what `translate` takes
    references: np.ndarray  # (m,) rows of the validation pictures that have the target
    reals: np.ndarray  # (k,) items of the training part that have the target


def routes(data: DataModule) -> list[Route]:
    """Return every ordered pair of domains or classes, and every attribute both ways.

    For a model of pairs it is the one way that it translates; of joint data sets each keeps to its own labels.
    """
    items = data.images("val").indices
    if data.view != "labelled":
        assert data.train.domain is not None
        assert data.val.domain is not None
        pairs = [(0, 1)] if data.view == "paired" else _ordered(len(data.domains))
        return [
            _to_domain(number, pair, data.domains, data.val.domain[items], data.train.domain)
            for number, pair in enumerate(pairs)
        ]
    found: list[Route] = []
    for number, (held, train) in enumerate(zip(data.label_sets("val"), data.label_sets("train"), strict=True)):
        widths = [len(labels.names) for labels in data.label_sets("val")]
        kind = _of_classes if held.kind == "classes" else _of_attributes
        found += kind(len(found), number, widths, _on_rows(held, items), train)
    return found


def _ordered(count: int) -> list[tuple[int, int]]:
    """Return all pairs of different numbers, those of one target together."""
    return [(source, target) for target in range(count) for source in range(count) if source != target]


def _to_domain(
    number: int, pair: tuple[int, int], names: tuple[str, ...], held: np.ndarray, train: np.ndarray
) -> Route:
    source, target = pair
    return Route(
        name=f"{names[source]} -> {names[target]}",
        number=number,
        sources=np.flatnonzero(held == source),
        target=lambda rows: torch.full((len(rows),), target, dtype=torch.int64),
        references=np.flatnonzero(held == target),
        reals=np.flatnonzero(train == target),
    )


@dataclass(frozen=True)
class _Rows:
    """The labels of a set, by row of the pictures: NaN where a row is another data set's."""

    names: tuple[str, ...]
    table: np.ndarray  # (rows, K)


def _on_rows(labels: LabelSet, items: np.ndarray) -> _Rows:
    row_of = {int(item): row for row, item in enumerate(items)}
    table = np.full((len(items), len(labels.names)), np.nan, np.float32)
    for item, values in zip(labels.items, labels.values, strict=True):
        if int(item) in row_of:
            table[row_of[int(item)]] = values
    return _Rows(labels.names, table)


def _of_classes(first: int, number: int, widths: list[int], held: _Rows, train: LabelSet) -> Iterator[Route]:
    kinds = np.where(np.isnan(held.table[:, 0]), -1, np.nan_to_num(held.table).argmax(1))
    trained = train.values.argmax(1)
    for place, (source, target) in enumerate(_ordered(len(held.names))):

        def told(rows: np.ndarray, target: int = target) -> Tensor:
            one_hot = torch.eye(len(held.names))[target]
            return conditions(one_hot.expand(len(rows), -1), number, widths)

        yield Route(
            name=f"{held.names[source]} -> {held.names[target]}",
            number=first + place,
            sources=np.flatnonzero(kinds == source),
            target=told,
            references=np.flatnonzero(kinds == target),
            reals=train.items[trained == target],
        )


def _of_attributes(first: int, number: int, widths: list[int], held: _Rows, train: LabelSet) -> Iterator[Route]:
    place = 0
    for column, name in enumerate(held.names):
        for has in (0, 1):
            sources = np.flatnonzero(held.table[:, column] == has)
            wanted = changed(torch.from_numpy(held.table[sources]), column, held.names)
            sources = sources[(wanted[:, column] == 1 - has).numpy()]  # a hair colour is not taken away
            if not len(sources):
                continue

            def target(rows: np.ndarray, column: int = column) -> Tensor:
                told = changed(torch.from_numpy(held.table[rows]), column, held.names)
                return conditions(told, number, widths)

            yield Route(
                name=f"with {name} -> without" if has else f"without {name} -> with",
                number=first + place,
                sources=sources,
                target=target,
                references=np.flatnonzero(held.table[:, column] == 1 - has),
                reals=train.items[train.values[:, column] == 1 - has],
            )
            place += 1
