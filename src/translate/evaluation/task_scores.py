"""The scores of a task: its sources are translated once, and every metric that reads translations sees them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation.feature_networks import FeatureNetworks
from translate.evaluation.processes import Processes
from translate.evaluation.real_images import RealImages
from translate.evaluation.specs import MetricSpec, most_sources
from translate.evaluation.streaming import (
    VALUE_INPUTS,
    FeaturesInput,
    FirstSources,
    MetricInput,
    SourceFeaturesInput,
    StreamSettings,
    TranslatedModel,
    stream,
)
from translate.evaluation.tasks import TranslationTask
from translate.metrics.accumulators import Accumulator
from translate.metrics.protocols import PROTOCOLS, Scores


class TaskScores:
    """Compute the scores of tasks of one data set.

    ``networks`` and ``real_images`` are those of all metrics; ``paths`` the files of their weights, by label.
    ``batch_size`` sources are translated at once by each of the ``processes``.
    """

    def __init__(
        self,
        data: DataModule,
        networks: FeatureNetworks,
        real_images: RealImages,
        paths: Mapping[str, Path],
        device: torch.device,
        processes: Processes,
        batch_size: int,
        seed: int,
    ) -> None:
        self.data, self.networks, self.real_images, self.paths = data, networks, real_images, paths
        self.device, self.processes, self.batch_size, self.seed = device, processes, batch_size, seed
        self._prepared: set[str] = set()

    def of_task(
        self,
        protocol: str,
        specs: Sequence[MetricSpec],
        model: TranslatedModel,
        task: TranslationTask,
        style_input: str | None,
        progress: Callable[[int], object],
    ) -> tuple[Scores, dict[str, str]]:
        """Return the scores of one task in one mode, with the numbers of images, and warnings by kind."""
        task = task.first(most_sources(specs))
        lacks_reals = not len(self.real_images.items(protocol, task)[1]) and any(spec.reads_features for spec in specs)
        if not len(task.sources) or lacks_reals or (style_input == "reference" and not len(task.references)):
            return {"translations": 0.0}, {"": "there are no images to translate, or none to compare with"}
        num_outputs = PROTOCOLS[protocol].num_outputs if style_input else 1
        inputs: dict[str, MetricInput] = {}
        warnings: dict[str, str] = {}
        input_of: dict[str, str] = {}  # label of a metric -> key of `inputs`, which metrics on equal features share
        for spec in specs:
            if spec.reads_outputs and num_outputs < 2:
                warnings[spec.label] = "LPIPS compares several translations of a source, and this model gives one"
                continue
            key, metric_input = self.input_of(protocol, spec)
            input_of[spec.label] = key
            inputs.setdefault(key, metric_input)
        settings = StreamSettings(num_outputs, self.batch_size, self.seed, self.device)
        shard = self.processes.shard
        stream(
            model,
            self.data,
            task,
            style_input,
            settings,
            list(inputs.values()),
            shard,
            lambda number: progress(number * shard.count),
        )
        # keys hold ids, which differ between processes; the order of inputs does not
        merged = self.processes.merged({str(place): each.accumulator for place, each in enumerate(inputs.values())})
        accumulators = dict(zip(inputs, merged.values(), strict=True))
        scores: Scores = {}
        for spec in specs:
            if spec.label in input_of:
                spec_scores, reasons = self._compute(protocol, spec, accumulators[input_of[spec.label]], specs, task)
                scores |= spec_scores
                warnings |= {f"{spec.label} {number}": reason for number, reason in enumerate(reasons)}
        return {**scores, "translations": float(len(task.sources) * num_outputs)}, warnings

    def input_of(self, protocol: str, spec: MetricSpec) -> tuple[str, MetricInput]:
        """Return the input of a metric and its key; inputs of equal keys accumulate the same."""
        accumulator = spec.metric.accumulator()
        if spec.reads_features:
            network = self.networks.features(protocol, spec)
            make = SourceFeaturesInput if spec.reads_source_features else FeaturesInput
            return f"{id(network)} {make.__name__} {accumulator.key}", make(accumulator, network)
        if spec.loads_weights and spec.label not in self._prepared:
            try:
                spec.metric.prepare(self.paths[spec.label], self.device)
            except UserError as error:
                raise error.inside(spec.key) from error
            self._prepared.add(spec.label)
        value_input = VALUE_INPUTS[spec.reads](accumulator, spec.metric)
        return spec.label, value_input if spec.num_sources is None else FirstSources(value_input, spec.num_sources)

    def _compute(
        self,
        protocol: str,
        spec: MetricSpec,
        accumulator: Accumulator,
        specs: Sequence[MetricSpec],
        task: TranslationTask,
    ) -> tuple[Scores, list[str]]:
        """Return the scores of a metric and warnings, from all that was accumulated of a task."""
        if not spec.reads_features:
            return spec.metric.compute(accumulator), list(spec.metric.warnings(accumulator))
        real = self.real_images.statistics(protocol, spec, specs, task)[spec.real_accumulator().key]
        scores = spec.metric.compute(accumulator, real, self.device)
        return {**scores, "real images": float(len(real))}, list(spec.metric.warnings(accumulator, real))
