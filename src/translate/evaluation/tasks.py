"""Translation tasks: which images are translated to which targets, and which real images they are compared with."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.datasets.base import LabelSet
from translate.data.labels import changed, conditions
from translate.data.module import DataModule
from translate.data.views.base import takes_labels
from translate.evaluation.classifier_labels import label_sets
from translate.metrics.classifier import ClassifierLabels
from translate.registry.registry import VIEWS

HIGH_RESOLUTION = "high_resolution"
"""The view whose sources are whole images, reduced."""


def _no_rows() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class ExpectedLabels:
    """The labels that the classifier of metric `local` should predict for the translations of a task."""

    labels: ClassifierLabels  # the set to which the changed labels belong
    values: Tensor  # (n, K) 0 or 1
    columns: tuple[int, ...]  # of `ClassifierLabels.correct`: the labels that were changed


@dataclass(frozen=True)
class TranslationTask:
    """Sources, a target for each, and the real images of the target.

    Tasks of streamed metrics are one ordered pair of domains, or one attribute in one direction. Tasks of the metric
    `local` have ``expected`` labels instead of real images.
    """

    name: str  # "cat -> dog", "without Smiling -> with"
    number: int  # the key of the random draws
    sources: np.ndarray  # (n,) rows of the validation images
    targets: Tensor  # (n,) domains, (n, K) labels or (n, 2) routes: the argument of `translate`
    references: np.ndarray = field(default_factory=_no_rows)  # (m,) rows of the validation images that have the target
    reals: np.ndarray = field(default_factory=_no_rows)  # (k,) items of the training part that have the target
    expected: ExpectedLabels | None = None

    @property
    def target_domain(self) -> int:
        """Return the target of a task of one pair of domains."""
        return int(self.targets[0].flatten()[-1])

    def first(self, limit: int | None) -> "TranslationTask":
        """Return the task with its first sources alone, at most ``limit``; None: all."""
        return replace(self, sources=self.sources[:limit], targets=self.targets[:limit])


# --- streamed metrics ---------------------------------------------------------------------------------------


def translation_tasks(data: DataModule, only_target: int | None = None) -> list[TranslationTask]:
    """Return every ordered pair of domains or classes, and every attribute in both directions.

    A model with one target, or of pairs, has the tasks to it alone. A model of images without domains has one task with
    all images. Each of several joint data sets keeps to its own labels.
    """
    items = data.images("val").indices
    if not VIEWS.facts(data.view).get("needs"):
        return [TranslationTask("all images", 0, np.arange(len(items)), torch.zeros(len(items), dtype=torch.int64))]
    if not takes_labels(data.view):
        assert data.train.domain is not None
        assert data.val.domain is not None
        only_target = 1 if data.view == "paired" else only_target
        pairs = [pair for pair in _ordered_pairs(len(data.domains)) if only_target in (None, pair[1])]
        return [
            _domain_task(number, pair, data, data.val.domain[items], data.train.domain)
            for number, pair in enumerate(pairs)
        ]
    tasks: list[TranslationTask] = []
    for number, (held_out, train) in enumerate(zip(data.label_sets("val"), data.label_sets("train"), strict=True)):
        widths = [len(labels.names) for labels in data.label_sets("val")]
        make = _class_tasks if held_out.kind == "classes" else _attribute_tasks
        tasks += make(len(tasks), number, widths, _by_row(held_out, items), train)
    return tasks


def _ordered_pairs(count: int) -> list[tuple[int, int]]:
    """Return all pairs of different numbers, those of one target together."""
    return [(source, target) for target in range(count) for source in range(count) if source != target]


def _domain_task(
    number: int, pair: tuple[int, int], data: DataModule, held_out: np.ndarray, train: np.ndarray
) -> TranslationTask:
    source, target = pair
    names, sources = data.domains, np.flatnonzero(held_out == source)
    domains = torch.full((len(sources),), source), torch.full((len(sources),), target)
    return TranslationTask(
        name=f"{names[source]} -> {names[target]}",
        number=number,
        sources=sources,
        targets=_targets(data, *domains),
        references=np.flatnonzero(held_out == target),
        reals=np.flatnonzero(train == target),
    )


def _targets(data: DataModule, source: Tensor, target: Tensor) -> Tensor:
    """Return domains (n,) as a model takes them: alone, or as routes (n, 2) if it needs the domain of the source."""
    return torch.stack([source, target], dim=1) if VIEWS.facts(data.view).get("routes") else target


@dataclass(frozen=True)
class _LabelsByRow:
    """The labels of a set by row of the validation images; NaN for a row of another data set."""

    names: tuple[str, ...]
    table: np.ndarray  # (rows, K)


def _by_row(labels: LabelSet, items: np.ndarray) -> _LabelsByRow:
    row_of = {int(item): row for row, item in enumerate(items)}
    table = np.full((len(items), len(labels.names)), np.nan, np.float32)
    for item, values in zip(labels.items, labels.values, strict=True):
        if int(item) in row_of:
            table[row_of[int(item)]] = values
    return _LabelsByRow(labels.names, table)


def _class_tasks(
    first: int, number: int, widths: list[int], held_out: _LabelsByRow, train: LabelSet
) -> Iterator[TranslationTask]:
    classes = np.where(np.isnan(held_out.table[:, 0]), -1, np.nan_to_num(held_out.table).argmax(1))
    train_classes = train.values.argmax(1)
    for place, (source, target) in enumerate(_ordered_pairs(len(held_out.names))):
        sources = np.flatnonzero(classes == source)
        one_hot = torch.eye(len(held_out.names))[target].expand(len(sources), -1)
        yield TranslationTask(
            name=f"{held_out.names[source]} -> {held_out.names[target]}",
            number=first + place,
            sources=sources,
            targets=conditions(one_hot, number, widths),
            references=np.flatnonzero(classes == target),
            reals=train.items[train_classes == target],
        )


def _attribute_tasks(
    first: int, number: int, widths: list[int], held_out: _LabelsByRow, train: LabelSet
) -> Iterator[TranslationTask]:
    place = 0
    for column, name in enumerate(held_out.names):
        for present in (0, 1):
            sources = np.flatnonzero(held_out.table[:, column] == present)
            targets = changed(torch.from_numpy(held_out.table[sources]), column, held_out.names)
            kept = targets[:, column] == 1 - present  # a hair colour is not removed, see `changed`
            if not kept.any():
                continue
            yield TranslationTask(
                name=f"with {name} -> without" if present else f"without {name} -> with",
                number=first + place,
                sources=sources[kept.numpy()],
                targets=conditions(targets[kept], number, widths),
                references=np.flatnonzero(held_out.table[:, column] == 1 - present),
                reals=train.items[train.values[:, column] == 1 - present],
            )
            place += 1


# --- the metric `local` -------------------------------------------------------------------------------------


def classifier_tasks(data: DataModule, num_sources: int, only_target: int | None = None) -> list[TranslationTask]:
    """Return the tasks of metric `local`: every source to every other domain, or with every attribute changed.

    A model with one target, or of pairs, has the other domains as sources. Images of another data set have no class in
    this one. They take part with classes in turn.
    """
    held_out = data.held_out(num_sources)
    rows, domain, label = _rows_of(data, held_out.items), held_out.domain, held_out.label
    if data.view == "paired":
        only_target = 1
    if only_target is not None:
        others = domain != only_target
        rows, domain, label = rows[others.numpy()], domain[others], label[others]
    sets = label_sets(data)
    widths = [labels.stop - labels.start for labels in sets]
    tasks: list[TranslationTask] = []

    def add(name: str, sources: np.ndarray, targets: Tensor, expected: ExpectedLabels) -> None:
        tasks.append(TranslationTask(name, len(tasks), sources, targets, expected=expected))

    for number, (labels, width) in enumerate(zip(sets, widths, strict=True)):
        own = label[:, labels.start : labels.stop]
        known = torch.ones_like(domain, dtype=torch.bool) if len(sets) == 1 else label[:, sum(widths) + number] == 1
        if labels.kind == "classes":
            in_turn = torch.arange(len(rows)) % width
            classes = domain if len(sets) == 1 else torch.where(known, own.argmax(1), in_turn)
            for shift in range(1, width):
                target = (classes + shift) % width
                values = conditions(F.one_hot(target, width).float(), number, widths)
                expected = ExpectedLabels(labels, values[:, : sum(widths)], (0,))
                targets = _targets(data, classes, target) if len(sets) == 1 else values
                add(f"class + {shift}", rows, targets, expected)
        else:
            for column, name in enumerate(data.label_sets("val")[number].names):
                values = conditions(changed(own[known], column, data.label_sets("val")[number].names), number, widths)
                expected = ExpectedLabels(labels, values[:, : sum(widths)], (column,))
                add(f"{name} changed", rows[known.numpy()], values, expected)
    return tasks


def _rows_of(data: DataModule, items: np.ndarray) -> np.ndarray:
    """Return the rows (n,) of the validation images of some items."""
    row_of = {int(item): row for row, item in enumerate(data.images("val").indices)}
    return np.array([row_of[int(item)] for item in items])
