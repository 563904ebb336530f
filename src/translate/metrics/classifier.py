"""The protocol `local`: a small judge, trained on the run's own training images and nothing else.

It needs no download, and its figures compare only with figures of the same data and image size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.registry.registry import METRICS


@dataclass(frozen=True)
class JudgedSet:
    """Labels that the judge learns: columns ``start`` to ``stop`` of its logits, attributes or classes."""

    kind: str  # "attributes": any number hold; "classes": one holds
    start: int
    stop: int

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of logits (n, K) for the rows whose labels (n, K) are known, not NaN."""
        logits, labels = logits[:, self.start : self.stop], labels[:, self.start : self.stop]
        known = ~labels[:, 0].isnan()
        if self.kind == "classes":
            each = F.cross_entropy(logits, labels.nan_to_num().argmax(1), reduction="none")
        else:
            each = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none").mean(1)
        return (each * known).sum() / known.sum().clamp(min=1)

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return which labels are read rightly from logits (n, K): (n, 1) for classes, (n, stop - start) else."""
        logits, labels = logits[:, self.start : self.stop], labels[:, self.start : self.stop]
        if self.kind == "classes":
            return logits.argmax(1, keepdim=True) == labels.argmax(1, keepdim=True)
        return (logits > 0) == (labels > 0.5)


class Judge(nn.Module):
    """Small convolutional network that reads an image's labels and its known factors, if there are any."""

    def __init__(self, num_labels: int, num_factors: int, width: int = 24) -> None:
        super().__init__()

        def halving(before: int, after: int) -> list[nn.Module]:
            return [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]

        self.trunk = nn.Sequential(
            *halving(3, width),
            *halving(width, 2 * width),
            *halving(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(4),  # a fixed number of places, so that place itself can be read
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
"""Batch k of training examples: images (B, 3, S, S), labels (B, K), 0, 1 or NaN where not known, and standardised
factors (B, F), where F may be 0."""


@dataclass(frozen=True)
class Predictions:
    """What the judge read in images."""

    logits: Tensor  # (n, K)
    factors: Tensor  # (n, F)


@METRICS.register(
    "local",
    protocol="local",
    reads="judge",
    figures={
        "domain accuracy": "higher",
        "label accuracy": "higher",
        "content kept (R2)": "higher",
        "style followed (R2)": "higher",
        "distance between codes": "higher",
        "PSNR to the partner": "higher",
    },
)
class Local:
    """Labels followed, content kept and style followed, as a judge trained on the run's own images sees them.

    The judge learns for ``num_iterations`` batches. ``num_sources`` validation images are translated to every other
    domain, or with every attribute changed; by a model with guides, once for each of them.
    """

    protocol = "local"

    def __init__(self, num_sources: int = 90, num_iterations: int = 300, learning_rate: float = 2e-3) -> None:
        self.num_sources, self.num_iterations, self.learning_rate = num_sources, num_iterations, learning_rate
        self.judge: Judge | None = None

    def fit(self, examples: Examples, sets: Sequence[JudgedSet], num_factors: int, device: torch.device) -> None:
        """Train the judge."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            judge = Judge(sets[-1].stop, num_factors).to(device)
        optimizer = torch.optim.Adam(judge.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))
        for k in range(self.num_iterations):
            images, labels, factors = (part.to(device) for part in examples(k))
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * (1 - k / self.num_iterations)
            logits, read = judge(images)
            loss = torch.stack([labelled.loss(logits, labels) for labelled in sets]).sum()
            if num_factors:
                loss = loss + F.mse_loss(read, factors)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.judge = judge.eval()

    @torch.no_grad()
    def read(self, images: Tensor) -> Predictions:
        """Return what the judge reads in images (n, 3, S, S)."""
        assert self.judge is not None, "fit first"
        parts = [self.judge(part.clamp(-1, 1)) for part in images.split(64)]
        return Predictions(torch.cat([logits for logits, _ in parts]), torch.cat([factors for _, factors in parts]))

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return the judge's features (n, 128) of pictures (n, S, S, 3) uint8."""
        assert self.judge is not None, "fit first"
        device = next(self.judge.parameters()).device
        images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return torch.cat([self.judge.trunk(part) for part in images.split(64)])


def explained(found: Tensor, wanted: Tensor) -> float:
    """Return the share of the variance of ``wanted`` (n, F) that ``found`` explains, R squared, the mean over factors.

    1 is a perfect reading, 0 that of someone who always says the mean; it can be negative.

    >>> explained(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]]))
    1.0
    """
    rest = (found - wanted).double().square().mean(0)
    spread = (wanted - wanted.mean(0)).double().square().mean(0)
    return (1 - rest / spread.clamp(min=1e-12)).mean().item()


def distance(first: Tensor, second: Tensor) -> float:
    """Return the mean Euclidean distance between the rows of two (n, F) tensors."""
    return (first - second).double().square().sum(1).sqrt().mean().item()
