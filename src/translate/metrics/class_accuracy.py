"""The metric of classes that translations keep, such as digits: accuracy by a classifier of the target domain."""

from collections.abc import Callable

import torch
from torch import Tensor

from translate.metrics.classifier import BATCH_SIZE, Classifier, ClassifierLabels, Local
from translate.registry.registry import METRICS

Examples = Callable[[int], tuple[Tensor, Tensor]]
"""Batch k of training examples: images (B, 3, S, S) and classes (B, K), one-hot."""


@METRICS.register("class_accuracy", protocol="local", reads="classes", scores={"class accuracy": "higher"})
class ClassAccuracy:
    """The fraction of translations that show the class of their source, such as a digit (DTN, section 5.1).

    For each target domain a classifier learns the classes of its real training images, for ``num_iterations`` batches,
    and of nothing else. ``num_sources`` validation images of every other domain are translated (null: all). The class
    of a source is known from the data set. The table has the scores of sources as they are, and of real images of the
    target.
    """

    def __init__(self, num_sources: int | None = None, num_iterations: int = 500, learning_rate: float = 2e-3) -> None:
        self.num_sources, self.num_iterations, self.learning_rate = num_sources, num_iterations, learning_rate

    def fit(self, examples: Examples, num_classes: int, device: torch.device) -> Classifier:
        """Return a classifier of images in eval mode, trained by Adam with a rate that falls linearly to 0."""

        def with_factors(batch: int) -> tuple[Tensor, Tensor, Tensor]:
            images, classes = examples(batch)
            return images, classes, classes[:, :0]

        trainer = Local(num_iterations=self.num_iterations, learning_rate=self.learning_rate)
        trainer.fit(with_factors, [ClassifierLabels("classes", 0, num_classes)], 0, device)
        assert trainer.classifier is not None
        return trainer.classifier

    @torch.no_grad()
    def correct(self, classifier: Classifier, images: Tensor, classes: Tensor) -> Tensor:
        """Return whether images (n, 3, S, S) in about [-1, 1] show their classes (n,): (n,) bool, on the CPU."""
        device = next(classifier.parameters()).device
        logits = [classifier(batch.to(device).clamp(-1, 1))[0] for batch in images.split(BATCH_SIZE)]
        return torch.cat(logits).argmax(1).cpu() == classes
