"""Distances between two sets of images by their features: FID, KID, and precision, recall, density, coverage.

All scores are computed in float64. The protocol in the name of a metric defines features, images and preprocessing.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from translate.metrics.accumulators import Accumulator, FeatureStatistics, Sample
from translate.metrics.protocols import Scores
from translate.registry.registry import METRICS

BLOCK = 2048  # rows of a distance matrix that are computed at once


def frechet_distance(fake: FeatureStatistics, real: FeatureStatistics) -> float:
    """Return the squared Frechet (2-Wasserstein) distance between two Gaussians (Heusel et al. 2017, eq. 6).

    ``FID = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. The trace of the root is the sum of the roots of the
    eigenvalues of ``C2^(1/2) C1 C2^(1/2)``, which is symmetric and has the eigenvalues of ``C1 C2``. So no complex
    numbers appear. The root of a matrix that is not symmetric would fail for fewer images than features.

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

    The kernel is ``k(a, b) = (a.b / D + 1)^3``. The estimate can be negative.

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
    """Return the distance (n,) of each row of features (n, D) to its ``nearest``-th nearest other row."""
    distances = [
        torch.cdist(block, x).kthvalue(nearest + 1, dim=1).values  # the nearest row is the row itself
        for block in x.split(BLOCK)
    ]
    return torch.cat(distances)


def neighbourhoods(fake: Tensor, real: Tensor, nearest: int) -> Scores:
    """Return precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A set is described by balls around its rows (n, D) whose radius is the distance to the ``nearest``-th neighbour.
    Precision is the share of fakes inside a ball of a real image, recall the share of real images inside a ball of a
    fake. Density is the mean number of balls of real images around a fake, over ``nearest``. Coverage is the share of
    real images whose ball holds a fake.
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

    ``weights`` is the file of the network that computes the features; null: fetched once into the cache.
    """

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of features, for either set."""
        return FeatureStatistics()

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the distance, computed on the CPU, whose float64 results do not depend on the device."""
        del device
        assert isinstance(fake, FeatureStatistics)
        assert isinstance(real, FeatureStatistics)
        return {"FID": frechet_distance(fake, real)}

    def warnings(self, fake: Accumulator, real: Accumulator) -> Iterator[str]:
        """Yield the reasons for which the score may mislead."""
        assert isinstance(fake, FeatureStatistics)
        least, width = min(len(fake), len(real)), len(fake.mean)
        if least <= width:
            yield (
                f"FID of {least} images in {width} features: the covariance does not have full rank and the "
                "score is too large; compare it only with scores of as many images"
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
        """Return an empty accumulator of features, for either set."""
        return Sample(self.kept)

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the mean over subsets, and their standard deviation."""
        assert isinstance(fake, Sample)
        assert isinstance(real, Sample)
        x, y = (_on(device, each.rows) for each in (fake, real))
        size = min(self.subset_size, len(x), len(y))
        if size < 2:
            return {"KID": float("nan"), "KID spread": float("nan")}
        draws = np.random.default_rng(0)
        distances = []
        for _ in range(1 if size == len(x) == len(y) else self.num_subsets):
            chosen = [torch.from_numpy(draws.permutation(len(each))[:size]).to(each.device) for each in (x, y)]
            distances.append(kernel_distance(x[chosen[0]], y[chosen[1]]))
        return {"KID": float(np.mean(distances)), "KID spread": float(np.std(distances))}

    def warnings(self, fake: Accumulator, real: Accumulator) -> Iterator[str]:
        """Yield the reasons for which the score may mislead."""
        least = min(len(fake), len(real))
        if least < self.subset_size:
            yield f"KID of {least} images, fewer than a subset of {self.subset_size}: it is unbiased, but noisy"


class Prdc:
    """Precision and recall, density and coverage of translations against real images of the target.

    Neighbourhoods reach to the ``nearest``-th neighbour, among at most ``kept`` images of each set. ``weights`` is the
    file of the network; null: fetched once into the cache.
    """

    def __init__(self, nearest: int = 5, kept: int = 10_000, weights: str | None = None) -> None:
        self.nearest, self.kept, self.weights = nearest, kept, weights

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of features, for either set."""
        return Sample(self.kept)

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the four scores."""
        assert isinstance(fake, Sample)
        assert isinstance(real, Sample)
        if min(len(fake), len(real)) <= self.nearest:
            return dict.fromkeys(("precision", "recall", "density", "coverage"), float("nan"))
        return neighbourhoods(_on(device, fake.rows), _on(device, real.rows), self.nearest)

    def warnings(self, fake: Accumulator, real: Accumulator) -> Iterator[str]:
        """Yield the reasons for which the scores may mislead."""
        fakes, reals = (min(self.kept, len(each)) for each in (fake, real))
        least = min(fakes, reals)
        if least < 1000:
            yield f"precision, recall, density and coverage of {least} images: the balls around few images are large"
        if max(fakes, reals) > 2 * least:
            yield (
                f"precision, recall, density and coverage of {fakes} translations against {reals} real images: the "
                "scores depend on both numbers; compare them only at the same numbers"
            )


def _on(device: torch.device, rows: Tensor) -> Tensor:
    return rows if device.type == "mps" else rows.to(device)  # MPS has no float64


@METRICS.register("fid_official", protocol="official", reads="features", scores={"FID": "lower"})
class FidOfficial(Fid):
    """FID as the official StarGAN v2 code computes it (torchvision's Inception, bilinear resize)."""


@METRICS.register("fid_clean", protocol="clean", reads="features", scores={"FID": "lower"})
class FidClean(Fid):
    """FID as clean-fid computes it: the standard Inception weights, antialiased resize."""


@METRICS.register("fid_pytorch_fid", protocol="pytorch_fid", reads="features", scores={"FID": "lower"})
class FidPytorchFid(Fid):
    """FID as pytorch-fid computes it on the test images of both domains: compare with the papers of CUT and later."""


@METRICS.register("fid_local", protocol="local", reads="features", scores={"FID": "lower"})
class FidLocal(Fid):
    """FID on features of the run's own classifier: needs no download, compares only with runs on the same data."""

    def __init__(self) -> None:
        super().__init__()


@METRICS.register("kid_official", protocol="official", reads="features", scores={"KID": "lower"})
class KidOfficial(Kid):
    """KID on the features of protocol `official`; the StarGAN v2 paper does not report it."""


@METRICS.register("kid_clean", protocol="clean", reads="features", scores={"KID": "lower"})
class KidClean(Kid):
    """KID as clean-fid computes it: the standard Inception weights, antialiased resize."""


@METRICS.register("kid_pytorch_fid", protocol="pytorch_fid", reads="features", scores={"KID": "lower"})
class KidPytorchFid(Kid):
    """KID on the features and images of protocol `pytorch_fid`: unbiased, where FID of so few images is too large."""


@METRICS.register("kid_local", protocol="local", reads="features", scores={"KID": "lower"})
class KidLocal(Kid):
    """KID on features of the run's own classifier: needs no download, compares only with runs on the same data."""

    def __init__(self, num_subsets: int = 100, subset_size: int = 1000, kept: int = 10_000) -> None:
        super().__init__(num_subsets, subset_size, kept)


@METRICS.register(
    "prdc_official",
    protocol="official",
    reads="features",
    scores={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
class PrdcOfficial(Prdc):
    """Precision, recall, density, coverage on the features of protocol `official`."""


@METRICS.register(
    "prdc_clean",
    protocol="clean",
    reads="features",
    scores={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
class PrdcClean(Prdc):
    """Precision, recall, density, coverage on the features of protocol `clean`."""


@METRICS.register(
    "prdc_local",
    protocol="local",
    reads="features",
    scores={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
class PrdcLocal(Prdc):
    """Precision, recall, density, coverage on features of the run's own classifier: compare only on the same data."""

    def __init__(self, nearest: int = 5, kept: int = 10_000) -> None:
        super().__init__(nearest, kept)
