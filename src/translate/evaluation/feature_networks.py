"""The networks that an evaluation reads images with: feature extractors, and the classifier of protocol `local`."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from translate.data.module import DataModule
from translate.evaluation import classifier_scores
from translate.evaluation.processes import Processes
from translate.evaluation.specs import MetricSpec
from translate.metrics.classifier import Local
from translate.metrics.extractors import EXTRACTORS
from translate.metrics.features import CleanInception, OfficialInception, PytorchFidInception
from translate.metrics.interfaces import Features

log = logging.getLogger("translate")

NETWORKS: dict[str, Callable[[Path, torch.device], Features]] = {
    "official": OfficialInception,
    "clean": CleanInception,
    "pytorch_fid": PytorchFidInception,
}
"""Protocol -> the network that computes its features, with its resize and normalization."""


class FeatureNetworks:
    """Networks that are loaded or trained when they are first asked for, and kept.

    ``specs`` are the metrics of each protocol, ``paths`` the files of weights by the label of the metric.
    """

    def __init__(
        self,
        specs: Mapping[str, list[MetricSpec]],
        paths: Mapping[str, Path],
        data: DataModule,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.specs, self.paths = specs, paths
        self.data, self.device, self.processes = data, device, processes
        self._classifier: tuple[Local, int] | None = None
        self._networks: dict[tuple[str, Path | None], Features] = {}

    def features(self, protocol: str, spec: MetricSpec) -> Features:
        """Return the network that computes the features of a metric."""
        if spec.extractor is None and spec.file is None:
            assert protocol == "local", protocol
            return self.fitted()[0]
        key = (spec.extractor or protocol, self.paths.get(spec.label))
        if key not in self._networks:
            if spec.extractor is not None:
                self._networks[key] = EXTRACTORS[spec.extractor](key[1], self.device)
            else:
                assert key[1] is not None
                self._networks[key] = NETWORKS[protocol](key[1], self.device)
        return self._networks[key]

    def local(self) -> Local:
        """Return the metric that holds the classifier: the configured one, else one with the default settings."""
        configured = [spec.metric for spec in self.specs.get("local", []) if spec.reads_classifier]
        return configured[0] if configured else Local()

    def fitted(self) -> tuple[Local, int]:
        """Return the metric with its classifier, trained by the first process, and the number of content factors."""
        if self._classifier is None:
            metric, num_content = self.local(), 0
            if self.processes.is_first:
                log.info("training a classifier on this run's own images")
                num_content = classifier_scores.fit_classifier(metric, self.data, self.device)
                assert metric.classifier is not None
            classifier, num_content = self.processes.from_first(
                (metric.classifier.cpu(), num_content) if metric.classifier is not None else None
            )
            metric.classifier = classifier.to(self.device)
            self._classifier = metric, num_content
        return self._classifier
