"""The labels and factors of a data set that the classifier of metric `local` learns."""

import numpy as np

from translate.data.module import DataModule
from translate.data.views.base import takes_labels
from translate.metrics.classifier import ClassifierLabels


def label_sets(data: DataModule) -> list[ClassifierLabels]:
    """Return the label sets: those that the model translates, in a model of labels, else the domains."""
    if not takes_labels(data.view):
        return [ClassifierLabels("classes", 0, len(data.domains))]
    sets, start = [], 0
    for labels in data.label_sets("train"):
        sets.append(ClassifierLabels(labels.kind, start, start + len(labels.names)))
        start = sets[-1].stop
    return sets


def label_table(data: DataModule, part: str) -> np.ndarray:
    """Return the labels (N, K) of all items of "train" or "val": 0, 1, or NaN for labels of another data set."""
    if not takes_labels(data.view):
        dataset = data.train if part == "train" else data.val
        assert dataset.domain is not None
        return np.eye(len(data.domains), dtype=np.float32)[dataset.domain]
    sets, table = label_sets(data), data.label_table(part)
    num_labels = sets[-1].stop
    values = table[:, :num_labels].copy()
    if len(sets) > 1:  # a mask of the data set follows the labels
        for number, labels in enumerate(sets):
            values[table[:, num_labels + number] == 0, labels.start : labels.stop] = np.nan
    return values


def known_factors(data: DataModule, part: str) -> tuple[np.ndarray, int]:
    """Return the known factors (N, F) of all items, content first, and the number of content factors.

    Their unit is the standard deviation over the training part. F is 0 for a data set without known factors.
    """
    dataset, train = (getattr(data, name) for name in (part, "train"))
    if dataset.content is None:
        return np.zeros((len(dataset), 0), np.float32), 0
    table, reference = (np.concatenate([d.content, d.style], axis=1) for d in (dataset, train))
    scaled = (table - reference.mean(0)) / reference.std(0)
    return scaled.astype(np.float32), dataset.content.shape[1]
