"""The real images of a task's target, and what the metrics on features accumulate of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from translate.data.datasets.base import Dataset
from translate.evaluation import pretrained
from translate.evaluation.feature_networks import FeatureNetworks
from translate.evaluation.reference_statistics import reference_statistics
from translate.evaluation.specs import MetricSpec
from translate.evaluation.tasks import TranslationTask
from translate.metrics.accumulators import Accumulator
from translate.metrics.protocols import PROTOCOLS

KEPT_TARGETS = 8
"""The number of targets whose real statistics stay in memory; tasks come in the order of their targets."""


class RealImages:
    """Statistics of real images by target, kept in memory and in ``cache`` (None: in memory alone)."""

    def __init__(self, networks: FeatureNetworks, cache: Path | None) -> None:
        self.networks, self.cache = networks, cache
        self.data = networks.data
        self._reals: dict[tuple[int, bytes], dict[str, Accumulator]] = {}

    def statistics(
        self, protocol: str, spec: MetricSpec, specs: Sequence[MetricSpec], task: TranslationTask
    ) -> dict[str, Accumulator]:
        """Return the accumulators of a task's real images, for all metrics on the same features."""
        network = self.networks.features(protocol, spec)
        part, items = self.items(protocol, task)
        key = (id(network), items.tobytes())
        if key not in self._reals:
            makers: dict[str, Callable[[], Accumulator]] = {}
            for other in specs:
                if other.reads_features and self.networks.features(protocol, other) is network:
                    makers.setdefault(other.real_accumulator().key, other.real_accumulator)
            facts = None
            path = self.networks.paths.get(spec.label)
            if path is not None or spec.extractor is not None:
                weights = None if path is None else pretrained.digest_of(path)
                facts = {"protocol": protocol, "weights": weights}
                facts |= {"extractor": spec.extractor} if spec.extractor is not None else {}
            size = self.data.image_size
            while len(self._reals) >= KEPT_TARGETS:
                del self._reals[next(iter(self._reals))]
            self._reals[key] = reference_statistics(
                part, items, size, makers, network, facts, self.cache, self.networks.processes
            )
        return self._reals[key]

    def items(self, protocol: str, task: TranslationTask) -> tuple[Dataset, np.ndarray]:
        """Return the real images of a task's target: a part of the data, and items (k,) of it."""
        if PROTOCOLS[protocol].held_out_reals:
            return self.data.val, self.data.images("val").indices[task.references]
        return self.data.train, task.reals
