"""The scores of a model that predicts labels: of all validation images, and of each label by itself."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from translate import signals
from translate.data.module import DataModule
from translate.evaluation.classifier_labels import label_sets, label_table
from translate.metrics.classifier import ClassifierLabels
from translate.metrics.interfaces import PredictionsMetric
from translate.metrics.protocols import Scores

BATCH_SIZE = 64  # images that are classified at once


class PredictingModel(Protocol):
    """A model that predicts labels."""

    @property
    def device(self) -> torch.device:
        """Return the device of the networks."""
        ...

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of images (B, 3, H, W) in [-1, 1]."""
        ...


def scores_of_predictions(
    metric: PredictionsMetric, model: PredictingModel, data: DataModule, batch_size: int = BATCH_SIZE
) -> tuple[dict[str, Scores], Scores]:
    """Return the scores of each attribute or class by name, and those of all validation images."""
    logits = predictions(model, data, batch_size)
    labels = torch.from_numpy(label_table(data, "val")[data.images("val").indices])
    sets = label_sets(data)
    names = [name for each in data.label_sets("val") for name in each.names]
    tasks = {}
    for label_set in sets:
        for column in range(label_set.start, label_set.stop):
            if label_set.kind == "attributes":
                rows, own = ~labels[:, column].isnan(), ClassifierLabels("attributes", column, column + 1)
            else:
                rows, own = labels[:, column] == 1, label_set
            if rows.any():
                scores = metric.compute(logits[rows], labels[rows], [own])
                tasks[names[column]] = {**scores, "images": float(rows.sum())}
    return tasks, metric.compute(logits, labels, sets)


def predictions(model: PredictingModel, data: DataModule, batch_size: int, limit: int | None = None) -> Tensor:
    """Return the logits (n, K) of the validation images, or of the first ``limit``, on the CPU."""
    rows = np.arange(len(data.images("val")))[:limit]
    logits = []
    for part in np.array_split(rows, range(batch_size, len(rows), batch_size)):
        signals.check()
        logits.append(model.predict(data.rows("val", part).image.to(model.device)).float().cpu())
    return torch.cat(logits)
