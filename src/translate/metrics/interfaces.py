"""The interface of metrics: one protocol for each kind of input that a metric reads.

The registration of a metric names the kind, ``reads="features"``, and the scores that the metric gives. A metric with
pretrained weights also has ``prepare(weights, device)`` unless it reads features, which the evaluator computes. A
metric of translations with an attribute ``num_sources`` reads the first so many sources of each task (None: all).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from translate.metrics.accumulators import Accumulator
from translate.metrics.protocols import Scores

if TYPE_CHECKING:
    from translate.metrics.classifier import ClassifierLabels


class Features(Protocol):
    """A network that computes features."""

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return features (n, D) float32 of images (n, H, W, 3) uint8."""
        ...


class FeatureMetric(Protocol):
    """Compare the features of translations with those of real images of the target: ``reads="features"``."""

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of features (n, D), for either set."""
        ...

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the scores by name."""
        ...

    def warnings(self, fake: Accumulator, real: Accumulator) -> Iterable[str]:
        """Yield the reasons for which the scores may mislead, such as too few images."""
        ...


class SourceFeatureMetric(Protocol):
    """Compare features of translations with those of their sources and of real images: ``reads="source_features"``."""

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of the features of translations and sources side by side (n, 2 D)."""
        ...

    def real_accumulator(self) -> Accumulator:
        """Return an empty accumulator of the features (n, D) of real images of the target."""
        ...

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the scores by name."""
        ...

    def warnings(self, fake: Accumulator, real: Accumulator) -> Iterable[str]:
        """Yield the reasons for which the scores may mislead, such as too few images."""
        ...


class _ValueMetric(Protocol):
    """A metric that reads one value of each source or pair."""

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of the values."""
        ...

    def compute(self, values: Accumulator) -> Scores:
        """Return the scores by name."""
        ...

    def warnings(self, values: Accumulator) -> Iterable[str]:
        """Yield the reasons for which the scores may mislead."""
        ...


class OutputsMetric(_ValueMetric, Protocol):
    """Compare the translations of a source with each other: ``reads="outputs"``."""

    def read(self, outputs: list[Tensor]) -> Tensor:
        """Return a value (n,) for each source from its translations, each (n, 3, S, S) in about [-1, 1]."""
        ...


class SourcesMetric(_ValueMetric, Protocol):
    """Compare translations with their source: ``reads="sources"``."""

    def read(self, outputs: list[Tensor], sources: Tensor) -> Tensor:
        """Return a value (n,), or K of them (n, K), for each source (n, 3, S, S) in [-1, 1] from its translations."""
        ...


class PairsMetric(_ValueMetric, Protocol):
    """Compare translations with their targets in a data set of pairs: ``reads="pairs"``."""

    def read(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return a value (n,) for each pair of images (n, 3, S, S) in [0, 255], rounded to 8 bits."""
        ...


class WeightedMetric(Protocol):
    """A metric that reads pretrained weights by itself."""

    def prepare(self, weights: Path, device: torch.device) -> None:
        """Load the weights in a file."""
        ...


@dataclass(frozen=True)
class Predictions:
    """The predictions of a classifier for n images."""

    logits: Tensor  # (n, K)
    factors: Tensor  # (n, F)


class ClassifierMetric(Protocol):
    """Classify translations by a network that is trained on the run's own images: ``reads="classifier"``."""

    num_sources: int

    def classify(self, images: Tensor) -> Predictions:
        """Return the predictions for images (n, 3, S, S) in about [-1, 1]."""
        ...


class PredictionsMetric(Protocol):
    """Compare the labels that a model predicts with those of the data: ``reads="predictions"``."""

    def compute(self, logits: Tensor, labels: Tensor, sets: "Sequence[ClassifierLabels]") -> Scores:
        """Return the scores of logits (n, K) for labels (n, K): 0, 1, or NaN where they are not known."""
        ...


ValueMetric = OutputsMetric | SourcesMetric | PairsMetric
Metric = FeatureMetric | SourceFeatureMetric | ValueMetric | ClassifierMetric | PredictionsMetric


class Reads(StrEnum):
    """The kinds of input of a metric: the values of ``reads=`` in a registration."""

    FEATURES = "features"
    SOURCE_FEATURES = "source_features"
    OUTPUTS = "outputs"
    SOURCES = "sources"
    PAIRS = "pairs"
    CLASSIFIER = "classifier"
    PREDICTIONS = "predictions"
    CLASSES = "classes"
