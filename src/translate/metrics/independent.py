"""The metrics of protocol `independent`: features of a network that is no classifier of the run's domains.

The classifier of protocol `local` learned from the run's own images, and a generator that learned from the same images
fools it easily. These features know nothing of the run.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from translate.errors import UserError
from translate.metrics.accumulators import Accumulator, FeatureStatistics, Sample
from translate.metrics.distributions import Fid, Kid, Prdc
from translate.metrics.extractors import EXTRACTORS, WEIGHTS_OF
from translate.metrics.protocols import Scores
from translate.registry.registry import METRICS

KEPT = 1000  # sources of a task whose features are kept


class _Extracted:
    """The features of an extractor, which is part of the name of every score: "FID (faces)"."""

    extractor: str

    def _take(self, extractor: str) -> None:
        if extractor not in EXTRACTORS:
            raise UserError("unknown extractor", key="extractor", found=extractor, known=EXTRACTORS)
        self.extractor = extractor

    @property
    def weights_file(self) -> str | None:
        """Return the key of the released file of weights; None for an extractor without one."""
        return WEIGHTS_OF.get(self.extractor)

    def _named(self, scores: Scores) -> Scores:
        return {f"{name} ({self.extractor})": value for name, value in scores.items()}


@METRICS.register(
    "fid_independent",
    protocol="independent",
    reads="features",
    scores={"FID (gradients)": "lower", "FID (faces)": "lower", "FID (inception)": "lower"},
)
class FidIndependent(_Extracted, Fid):
    """Frechet distance on the features of an extractor: gradients, faces or inception.

    ``weights`` is the file of the extractor; null: fetched once, or that of the installed package.
    """

    def __init__(self, extractor: str = "gradients", weights: str | None = None) -> None:
        super().__init__(weights)
        self._take(extractor)

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the distance."""
        return self._named(super().compute(fake, real, device))


@METRICS.register(
    "kid_independent",
    protocol="independent",
    reads="features",
    scores={"KID (gradients)": "lower", "KID (faces)": "lower", "KID (inception)": "lower"},
)
class KidIndependent(_Extracted, Kid):
    """KID on the features of an extractor: gradients, faces or inception."""

    def __init__(
        self,
        extractor: str = "gradients",
        num_subsets: int = 100,
        subset_size: int = 1000,
        weights: str | None = None,
    ) -> None:
        super().__init__(num_subsets, subset_size, weights=weights)
        self._take(extractor)

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the distance."""
        scores = super().compute(fake, real, device)
        return {**self._named({"KID": scores["KID"]}), "KID spread": scores["KID spread"]}


@METRICS.register(
    "prdc_independent",
    protocol="independent",
    reads="features",
    scores={
        "precision (gradients)": "higher",
        "recall (gradients)": "higher",
        "density (gradients)": "higher",
        "coverage (gradients)": "higher",
        "precision (faces)": "higher",
        "recall (faces)": "higher",
        "density (faces)": "higher",
        "coverage (faces)": "higher",
        "precision (inception)": "higher",
        "recall (inception)": "higher",
        "density (inception)": "higher",
        "coverage (inception)": "higher",
    },
)
class PrdcIndependent(_Extracted, Prdc):
    """Precision, recall, density, coverage on the features of an extractor: gradients, faces or inception."""

    def __init__(self, extractor: str = "gradients", nearest: int = 5, weights: str | None = None) -> None:
        super().__init__(nearest, weights=weights)
        self._take(extractor)

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return the four scores."""
        return self._named(super().compute(fake, real, device))


@METRICS.register(
    "identity_independent",
    protocol="independent",
    reads="source_features",
    scores={
        "identity (gradients)": "lower",
        "target probe (gradients)": "higher",
        "identity (faces)": "lower",
        "target probe (faces)": "higher",
        "identity (inception)": "lower",
        "target probe (inception)": "higher",
    },
    keeps_source=("identity (gradients)", "identity (faces)", "identity (inception)"),
    unbounded=("identity (gradients)", "identity (faces)", "identity (inception)"),
)
class IdentityIndependent(_Extracted):
    """Distance to the source against strangers, and a probe of the target domain, by an extractor.

    With features f, translations y and sources s of a task: ``identity = mean_i |f(y_i) - f(s_i)| / mean_(i != j)
    |f(y_i) - f(s_j)|``. It is 0 for copies, and near 1 where the source is not recognised. The target probe is the
    share of translations whose features are nearer to the mean of real images of the target than to that of the
    sources.
    """

    def __init__(self, extractor: str = "gradients", weights: str | None = None) -> None:
        self.weights = weights
        self._take(extractor)

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of the features of translations and their sources side by side (n, 2 D)."""
        return Sample(KEPT)

    def real_accumulator(self) -> Accumulator:
        """Return an empty accumulator of the features of real images of the target."""
        return FeatureStatistics()

    def compute(self, fake: Accumulator, real: Accumulator, device: torch.device) -> Scores:
        """Return both scores; NaN for fewer than two sources."""
        del device
        assert isinstance(fake, Sample)
        assert isinstance(real, FeatureStatistics)
        translations, sources = fake.rows.double().chunk(2, dim=1)
        return self._named(
            {
                "identity": relative_distance(translations, sources),
                "target probe": nearer_to(translations, real.mean, sources.mean(0)),
            }
        )

    def warnings(self, fake: Accumulator, real: Accumulator) -> Iterator[str]:
        """Yield the reasons for which the scores may mislead."""
        if len(fake) < 50:
            yield f"identity and target probe of {len(fake)} translations: the mean of few values is noisy"


def relative_distance(translations: Tensor, sources: Tensor) -> float:
    """Return the mean distance of rows (n, D) to their sources over that to the sources of other rows.

    >>> relative_distance(torch.eye(2), torch.eye(2))
    0.0
    """
    apart = torch.cdist(translations, sources)
    own, count = apart.diagonal().sum(), len(apart)
    strangers = (apart.sum() - own) / max(1, count * (count - 1))
    return (own / count / strangers).item() if count > 1 else float("nan")


def nearer_to(rows: Tensor, one: Tensor, other: Tensor) -> float:
    """Return the share of rows (n, D) that are nearer to one centroid (D,) than to another."""
    return ((rows - one).norm(dim=1) < (rows - other).norm(dim=1)).double().mean().item()
