"""The protocol `local`: a small judge, trained on the run's own training images and nothing else.

It needs no download, and its figures compare only with figures of the same data and image size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.registry import METRICS


class Judge(nn.Module):
    """Small convolutional network that names an image's domain and reads its known factors, if there are any."""

    def __init__(self, num_domains: int, num_factors: int, width: int = 24) -> None:
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
        self.domain = nn.Linear(128, num_domains)
        self.factors = nn.Linear(128, num_factors)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and factors (B, F) of images (B, 3, S, S) in [-1, 1]."""
        h = self.trunk(x)
        return self.domain(h), self.factors(h)


Examples = Callable[[int], tuple[Tensor, Tensor, Tensor]]
"""Batch k of training examples: images (B, 3, S, S), domains (B,), standardised factors (B, F), F may be 0."""


@dataclass(frozen=True)
class Verdict:
    """What the judge read in images."""

    domain: Tensor  # (n,) int64
    factors: Tensor  # (n, F)


@METRICS.register("local")
class Local:
    """Domain accuracy, content kept and style followed, as a judge trained on the run's own images sees them.

    The judge learns for ``num_iterations`` batches. ``num_sources`` validation images are translated to every other
    domain, once guided by a latent code and once by a reference.
    """

    protocol = "local"

    def __init__(self, num_sources: int = 90, num_iterations: int = 300, learning_rate: float = 2e-3) -> None:
        self.num_sources, self.num_iterations, self.learning_rate = num_sources, num_iterations, learning_rate
        self.judge: Judge | None = None

    def fit(self, examples: Examples, num_domains: int, num_factors: int, device: torch.device) -> None:
        """Train the judge."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            judge = Judge(num_domains, num_factors).to(device)
        optimizer = torch.optim.Adam(judge.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))
        for k in range(self.num_iterations):
            images, domain, factors = examples(k)
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * (1 - k / self.num_iterations)
            logits, read = judge(images.to(device))
            loss = F.cross_entropy(logits, domain.to(device))
            if num_factors:
                loss = loss + F.mse_loss(read, factors.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.judge = judge.eval()

    @torch.no_grad()
    def read(self, images: Tensor) -> Verdict:
        """Return what the judge reads in images (n, 3, S, S)."""
        assert self.judge is not None, "fit first"
        parts = [self.judge(part.clamp(-1, 1)) for part in images.split(64)]
        return Verdict(
            torch.cat([logits.argmax(1) for logits, _ in parts]), torch.cat([factors for _, factors in parts])
        )


def accuracy(found: Tensor, wanted: Tensor) -> float:
    """Return the share of equal entries of two (n,) tensors.

    >>> accuracy(torch.tensor([0, 1]), torch.tensor([0, 2]))
    0.5
    """
    return (found == wanted).double().mean().item()


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
