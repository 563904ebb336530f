"""The metric of protocol `local`: a small classifier, trained on the run's own training images and nothing else.

It needs no download. Its scores compare only with scores of the same data and image size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.metrics.interfaces import Predictions
from translate.registry.registry import METRICS

BATCH_SIZE = 64  # images that the trained classifier reads at once


@dataclass(frozen=True)
class ClassifierLabels:
    """A set of labels that the classifier learns: columns ``start`` to ``stop`` of its logits."""

    kind: str  # "attributes": any number apply to an image; "classes": exactly one applies
    start: int
    stop: int

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of logits (n, K) over the rows whose labels (n, K) are known, not NaN."""
        logits, labels = logits[:, self.start : self.stop], labels[:, self.start : self.stop]
        known = ~labels[:, 0].isnan()
        if self.kind == "classes":
            losses = F.cross_entropy(logits, labels.nan_to_num().argmax(1), reduction="none")
        else:
            losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none").mean(1)
        return (losses * known).sum() / known.sum().clamp(min=1)

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return which labels are predicted correctly by logits (n, K): (n, 1) of classes, (n, stop - start) else."""
        logits, labels = logits[:, self.start : self.stop], labels[:, self.start : self.stop]
        if self.kind == "classes":
            return logits.argmax(1, keepdim=True) == labels.argmax(1, keepdim=True)
        return (logits > 0) == (labels > 0.5)


class Classifier(nn.Module):
    """Small convolutional network that predicts the labels of an image and its known factors, if there are any."""

    def __init__(self, num_labels: int, num_factors: int, width: int = 24) -> None:
        super().__init__()

        def halving(num_inputs: int, num_outputs: int) -> list[nn.Module]:
            convolution = nn.Conv2d(num_inputs, num_outputs, 3, stride=2, padding=1)
            return [convolution, nn.BatchNorm2d(num_outputs), nn.ReLU()]

        self.trunk = nn.Sequential(
            *halving(3, width),
            *halving(width, 2 * width),
            *halving(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(4),  # a fixed number of positions, so that a position itself can be predicted
            nn.Flatten(),
            nn.Linear(4 * width * 16, 128),
            nn.ReLU(),
        )
        self.labels = nn.Linear(128, num_labels)
        self.factors = nn.Linear(128, num_factors) if num_factors else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and factors (B, F) of images (B, 3, S, S) in [-1, 1]."""
        h = self.trunk(x)
        return self.labels(h), h[:, :0] if self.factors is None else self.factors(h)


Examples = Callable[[int], tuple[Tensor, Tensor, Tensor]]
"""Batch k of training examples: images (B, 3, S, S), labels (B, K) and standardized factors (B, F).

Labels are 0, 1 or NaN where they are not known. F may be 0.
"""


@METRICS.register(
    "local",
    protocol="local",
    reads="classifier",
    scores={
        "domain accuracy": "higher",
        "label accuracy": "higher",
        "content kept (R2)": "higher",
        "style followed (R2)": "higher",
        "distance between codes": "higher",
        "recall of real images": "higher",
        "coverage of real images": "higher",
        "PSNR to the partner": "higher",
    },
    keeps_source=("content kept (R2)", "recall of real images", "coverage of real images"),
)
class Local:
    """Accuracy of the target labels, content kept and style followed, by a classifier of the run's own images.

    The classifier trains for ``num_iterations`` batches. ``num_sources`` validation images are translated to every
    other domain, or with every attribute changed. A model with style inputs is evaluated once for each of them.
    """

    protocol = "local"

    def __init__(self, num_sources: int = 90, num_iterations: int = 300, learning_rate: float = 2e-3) -> None:
        self.num_sources, self.num_iterations, self.learning_rate = num_sources, num_iterations, learning_rate
        self.classifier: Classifier | None = None

    def fit(self, examples: Examples, sets: Sequence[ClassifierLabels], num_factors: int, device: torch.device) -> None:
        """Train the classifier by Adam with a learning rate that falls linearly to 0."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            classifier = Classifier(sets[-1].stop, num_factors).to(device)
        optimizer = torch.optim.Adam(classifier.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))
        for k in range(self.num_iterations):
            images, labels, factors = (tensor.to(device) for tensor in examples(k))
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * (1 - k / self.num_iterations)
            logits, predicted = classifier(images)
            loss = torch.stack([label_set.loss(logits, labels) for label_set in sets]).sum()
            if num_factors:
                loss = loss + F.mse_loss(predicted, factors)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.classifier = classifier.eval()

    @torch.no_grad()
    def classify(self, images: Tensor) -> Predictions:
        """Return the predictions for images (n, 3, S, S) in about [-1, 1]."""
        assert self.classifier is not None, "fit first"
        outputs = [self.classifier(batch.clamp(-1, 1)) for batch in images.split(BATCH_SIZE)]
        return Predictions(torch.cat([logits for logits, _ in outputs]), torch.cat([factors for _, factors in outputs]))

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Return the classifier's features (n, 128) of images (n, 3, S, S) in about [-1, 1], on the CPU."""
        assert self.classifier is not None, "fit first"
        device = next(self.classifier.parameters()).device
        parts = [self.classifier.trunk(batch.to(device).clamp(-1, 1)) for batch in images.split(BATCH_SIZE)]
        return torch.cat(parts).cpu()

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return the classifier's features (n, 128) of images (n, S, S, 3) uint8."""
        assert self.classifier is not None, "fit first"
        device = next(self.classifier.parameters()).device
        images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return torch.cat([self.classifier.trunk(batch) for batch in images.split(BATCH_SIZE)])


def r2_score(predictions: Tensor, targets: Tensor) -> float:
    """Return the coefficient of determination of predictions (n, F) of targets (n, F), the mean over factors.

    ``R2 = 1 - sum (p - t)^2 / sum (t - mean(t))^2``. It is 1 for exact predictions, 0 for the constant mean, and can be
    negative.

    >>> r2_score(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]]))
    1.0
    """
    residual = (predictions - targets).double().square().mean(0)
    variance = (targets - targets.mean(0)).double().square().mean(0)
    return (1 - residual / variance.clamp(min=1e-12)).mean().item()


def distance(first: Tensor, second: Tensor) -> float:
    """Return the mean Euclidean distance between the rows of two (n, F) tensors."""
    return (first - second).double().square().sum(1).sqrt().mean().item()
