"""How far two sets of images are apart, as their features tell: FID, KID, and precision, recall, density, coverage.

All of it is computed in float64. Which features, which images and how they are prepared is said by the protocol, which
is part of every name.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from translate.metrics.accumulators import Accumulator, FeatureStatistics, Sample
from translate.registry.registry import METRICS

Figures = dict[str, float]

BLOCK = 2048  # rows of a matrix of distances that are computed at once


def frechet_distance(fake: FeatureStatistics, real: FeatureStatistics) -> float:
    """Return the squared Frechet (2-Wasserstein) distance between two Gaussians (Heusel et al. 2017, eq. 6).

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. The trace of the root is the sum of the roots of the eigenvalues
    of ``C2^(1/2) C1 C2^(1/2)``, which is symmetric and has those of ``C1 C2``: no complex numbers, and no root of a
    matrix that is not symmetric, which fails for fewer images than features.

    >>> one, two = FeatureStatistics(), FeatureStatistics()
    >>> one.add(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), np.arange(2))
    >>> two.add(torch.tensor([[3.0, 0.0], [5.0, 2.0]]), np.arange(2))
    >>> round(frechet_distance(one, two), 6)
    9.0
    """
    covariance, root = fake.covariance(), real.root()
    product = root @ covariance @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    shift = (fake.mean - real.mean).square().sum()
    return (shift + covariance.trace() + real.covariance().trace() - 2 * overlap).item()


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy of features (n, D) and (m, D) (Binkowski et al. 2018).

    The kernel is ``(a.b / D + 1)^3``; the estimate can be negative.

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> kernel_distance(x, x)
    -3.5
    """
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1).pow(3)

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))

    return (within(x) + within(y) - 2 * kernel(x, y).mean()).item()


def radii(x: Tensor, nearest: int) -> Tensor:
    """Return of each row of features (n, D) the distance (n,) to its ``nearest``-th nearest other row."""
    parts = [
        torch.cdist(block, x).kthvalue(nearest + 1, dim=1).values  # the nearest of all is the row itself
        for block in x.split(BLOCK)
    ]
    return torch.cat(parts)


def neighbourhoods(fake: Tensor, real: Tensor, nearest: int) -> Figures:
    """Return precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A set is described by balls around its rows (n, D) that reach to the ``nearest``-th neighbour. Precision: the share
    of fakes in any ball of a real image. Recall: the share of real images in any ball of a fake. Density: how many
    balls of real images a fake lies in, over ``nearest``. Coverage: the share of real images whose ball has a fake.
    """
    fake, real = fake.double(), real.double()
    real_radii, fake_radii = radii(real, nearest), radii(fake, nearest)
    in_real = torch.zeros(len(fake), dtype=torch.float64, device=fake.device)
    covered, recalled = [], []
    for block, reach in zip(real.split(BLOCK), real_radii.split(BLOCK), strict=True):
        apart = torch.cdist(block, fake)  # (b, fakes)
        inside = apart <= reach[:, None]
        in_real += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((apart <= fake_radii[None]).any(1))
    return {
        "precision": (in_real > 0).double().mean().item(),
        "recall": torch.cat(recalled).double().mean().item(),
        "density": (in_real.mean() / nearest).item(),
        "coverage": torch.cat(covered).double().mean().item(),
    }


# --- metrics ------------------------------------------------------------------------------------------------


class Fid:
    """Frechet distance between the features of translations and of real images of the target.

    ``weights`` is the file of the network whose features they are; null: fetched once into the cache.
    """

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    def accumulator(self) -> Accumulator:
        """Return what is kept of either set."""
        return FeatureStatistics()

    def figures(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Figures:
        """Return the distance; computed on the CPU, where float64 is the same everywhere."""
        del device
        assert isinstance(fake, FeatureStatistics)
        assert isinstance(real, FeatureStatistics)
        return {"FID": frechet_distance(fake, real)}

    def doubts(self, fake: Accumulator, real: Accumulator) -> Iterator[str]:
        """Yield what makes the figure doubtful."""
        assert isinstance(fake, FeatureStatistics)
        least, width = min(len(fake), len(real)), len(fake.mean)
        if least <= width:
            yield (
                f"FID of {least} images in {width} features: the covariance has not full rank and the figure is too "
                "large; compare it only with figures of as many images"
            )


class Kid:
    """Kernel distance between the features of translations and of real images of the target: mean over random subsets.

    ``num_subsets`` pairs of subsets of ``subset_size`` images (all, where there are fewer), drawn from at most ``kept``
    images of each set. ``weights`` is the file of the network; null: fetched once into the cache.
    """

    def __init__(
        self, num_subsets: int = 100, subset_size: int = 1000, kept: int = 10_000, weights: str | None = None
    ) -> None:
        self.num_subsets, self.subset_size, self.kept, self.weights = num_subsets, subset_size, kept, weights

    def accumulator(self) -> Accumulator:
        """Return what is kept of either set."""
        return Sample(self.kept)

    def figures(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Figures:
        """Return the mean over subsets, and their standard deviation."""
        assert isinstance(fake, Sample)
        assert isinstance(real, Sample)
        x, y = (_on(device, each.rows) for each in (fake, real))
        size = min(self.subset_size, len(x), len(y))
        if size < 2:
            return {"KID": float("nan"), "KID spread": float("nan")}
        draws = np.random.default_rng(0)
        found = []
        for _ in range(1 if size == len(x) == len(y) else self.num_subsets):
            chosen = [torch.from_numpy(draws.permutation(len(each))[:size]).to(each.device) for each in (x, y)]
            found.append(kernel_distance(x[chosen[0]], y[chosen[1]]))
        return {"KID": float(np.mean(found)), "KID spread": float(np.std(found))}

    def doubts(self, fake: Accumulator, real: Accumulator) -> Iterator[str]:
        """Yield what makes the figure doubtful."""
        least = min(len(fake), len(real))
        if least < self.subset_size:
            yield f"KID of {least} images, fewer than a subset of {self.subset_size}: it is right on average, but noisy"


class Prdc:
    """Precision and recall, density and coverage of translations against real images of the target.

    Neighbourhoods reach to the ``nearest``-th neighbour, among at most ``kept`` images of each set. ``weights`` is the
    file of the network; null: fetched once into the cache.
    """

    def __init__(self, nearest: int = 5, kept: int = 10_000, weights: str | None = None) -> None:
        self.nearest, self.kept, self.weights = nearest, kept, weights

    def accumulator(self) -> Accumulator:
        """Return what is kept of either set."""
        return Sample(self.kept)

    def figures(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Figures:
        """Return the four figures."""
        assert isinstance(fake, Sample)
        assert isinstance(real, Sample)
        if min(len(fake), len(real)) <= self.nearest:
            return dict.fromkeys(("precision", "recall", "density", "coverage"), float("nan"))
        return neighbourhoods(_on(device, fake.rows), _on(device, real.rows), self.nearest)

    def doubts(self, fake: Accumulator, real: Accumulator) -> Iterator[str]:
        """Yield what makes the figures doubtful."""
        fakes, reals = (min(self.kept, len(each)) for each in (fake, real))
        least = min(fakes, reals)
        if least < 1000:
            yield f"precision, recall, density and coverage of {least} images: balls around few images are large"
        if max(fakes, reals) > 2 * least:
            yield (
                f"precision, recall, density and coverage of {fakes} translations against {reals} real images: the "
                "figures depend on both numbers; compare them only at the same ones"
            )


def _on(device: torch.device, rows: Tensor) -> Tensor:
    return rows if device.type == "mps" else rows.to(device)  # which has no float64


@METRICS.register("fid_published", protocol="published", reads="features", figures={"FID": "lower"})
class FidPublished(Fid):
    """FID as the StarGAN v2 code computes it: torchvision's Inception, bilinear resize; compares with no other FID."""


@METRICS.register("fid_clean", protocol="clean", reads="features", figures={"FID": "lower"})
class FidClean(Fid):
    """FID as clean-fid computes it: the standard Inception weights, antialiased resize."""


@METRICS.register("fid_local", protocol="local", reads="features", figures={"FID": "lower"})
class FidLocal(Fid):
    """FID on features of the run's own judge: needs no download, compares only with runs on the same data."""

    def __init__(self) -> None:
        super().__init__()


@METRICS.register("kid_published", protocol="published", reads="features", figures={"KID": "lower"})
class KidPublished(Kid):
    """KID on the features of protocol `published`, which the StarGAN v2 paper does not report."""


@METRICS.register("kid_clean", protocol="clean", reads="features", figures={"KID": "lower"})
class KidClean(Kid):
    """KID as clean-fid computes it: the standard Inception weights, antialiased resize."""


@METRICS.register("kid_local", protocol="local", reads="features", figures={"KID": "lower"})
class KidLocal(Kid):
    """KID on features of the run's own judge: needs no download, compares only with runs on the same data."""

    def __init__(self, num_subsets: int = 100, subset_size: int = 1000, kept: int = 10_000) -> None:
        super().__init__(num_subsets, subset_size, kept)


@METRICS.register(
    "prdc_published",
    protocol="published",
    reads="features",
    figures={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
class PrdcPublished(Prdc):
    """Precision, recall, density, coverage on the features of protocol `published`."""


@METRICS.register(
    "prdc_clean",
    protocol="clean",
    reads="features",
    figures={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
class PrdcClean(Prdc):
    """Precision, recall, density, coverage on the features of protocol `clean`."""


@METRICS.register(
    "prdc_local",
    protocol="local",
    reads="features",
    figures={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
class PrdcLocal(Prdc):
    """Precision, recall, density, coverage on features of the run's own judge: compare only on the same data."""

    def __init__(self, nearest: int = 5, kept: int = 10_000) -> None:
        super().__init__(nearest, kept)
