"""Evaluate a model by the metrics of a protocol: all tasks, all modes, then means."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from tqdm import tqdm

from translate.console import is_interactive
from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation import classifier_scores, pretrained, results
from translate.evaluation.class_scores import ClassScores
from translate.evaluation.predictions import PredictingModel, scores_of_predictions
from translate.evaluation.processes import Processes
from translate.evaluation.reference_statistics import reference_statistics
from translate.evaluation.specs import MetricSpec, metric_specs
from translate.evaluation.streaming import (
    VALUE_INPUTS,
    FeaturesInput,
    MetricInput,
    StreamSettings,
    TranslatedModel,
    modes,
    stream,
)
from translate.evaluation.tasks import HIGH_RESOLUTION, TranslationTask, translation_tasks
from translate.evaluation.whole_images import Bicubic
from translate.metrics.accumulators import Accumulator
from translate.metrics.classifier import Local
from translate.metrics.features import CleanInception, OfficialInception
from translate.metrics.interfaces import Features
from translate.metrics.protocols import PROTOCOLS, Scores
from translate.metrics.selection import base_name, directions
from translate.models.base import TranslationModel
from translate.runs import scores as scores_files
from translate.runs.environment import environment
from translate.runs.scores import Request, Result

log = logging.getLogger("translate")

NETWORKS: dict[str, Callable[[Path, torch.device], Features]] = {
    "inception_torchvision": OfficialInception,
    "inception_fid": CleanInception,
}
"""Key of a file of weights -> the network that computes features with them."""

KEPT_TARGETS = 8
"""The number of targets whose real statistics stay in memory; tasks come in the order of their targets."""

PATH_ARGUMENTS = ("weights", "linear")
"""Arguments of metrics that are paths; a request holds the SHA-256 of the files instead."""

BASELINE = "source, bicubic"
"""The column of sources that a bicubic filter enlarges."""

COUNTS = ("translations", "real images", "KID spread")
"""Entries of a task that are not averaged."""


@dataclass(frozen=True)
class EvaluatedModel:
    """The model that is evaluated, and where its scores are written."""

    model: TranslationModel
    checkpoint: str  # "last", "best" or the iteration, for file names
    folder: Path  # the run folder
    untrained: Callable[[], TranslationModel] | None = None  # for the columns of metric `local`


class Evaluator:
    """Evaluate models on one data set. All that does not depend on the model is computed once.

    ``nodes`` are the configured metrics by label. ``cache`` keeps weights and real statistics (None: the statistics are
    not kept). ``batch_size`` sources are translated at once by each of the ``processes``. The constructor finds or
    fetches the weights; UserError where that fails.
    """

    def __init__(
        self,
        nodes: Mapping[str, Mapping[str, Any]],
        data: DataModule,
        cache: Path | None,
        device: torch.device,
        processes: Processes,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        self.specs = metric_specs(nodes)
        self.data, self.cache, self.device, self.processes = data, cache, device, processes
        self.batch_size, self.seed = batch_size, seed
        self.paths = {
            spec.label: pretrained.find(spec.file, getattr(spec.metric, "weights", None), f"{spec.key}.weights", cache)
            for specs in self.specs.values()
            for spec in specs
            if spec.file is not None
        }
        self._class_scores_of: dict[str, ClassScores] = {}
        for spec in [spec for specs in self.specs.values() for spec in specs if spec.reads_classes]:
            try:
                self._class_scores_of[spec.label] = ClassScores(spec.metric, data, device)
            except UserError as error:
                raise error.inside(spec.key) from error
        self._classifier: tuple[Local, int] | None = None
        self._networks: dict[Path, Features] = {}
        self._prepared: set[str] = set()
        self._baselines: dict[tuple[str, int], Scores] = {}
        self._reals: dict[tuple[int, bytes], dict[str, Accumulator]] = {}

    @property
    def protocols(self) -> list[str]:
        """Return the names of the protocols, in the order of the configuration."""
        return list(self.specs)

    def evaluate(
        self, protocol: str, evaluated: EvaluatedModel, stop: Callable[[], bool] = lambda: False
    ) -> Result | None:
        """Return the result of a model by one protocol, written to its run folder; None if ``stop`` returned True.

        Tasks that an earlier, stopped evaluation has done are read from its partial file. A result of an equal request
        is read from its file.
        """
        request = self._request(protocol, evaluated.model)
        path = scores_files.path_of(evaluated.folder, protocol, evaluated.checkpoint, self.seed)
        with_columns = evaluated.untrained is not None and any(
            spec.reads_classifier or spec.reads_classes for spec in self.specs[protocol]
        )
        first = self.processes.is_first
        known = self.processes.from_first(results.known(path, request, with_columns) if first else None)
        if known is not None:
            log.info("%s: evaluated before, with the same result", path)
            result = Result(
                request,
                evaluated.checkpoint,
                known.scores,
                known.better,
                known.tasks,
                known.columns,
                known.warnings,
                known.environment,
            )
        else:
            computed = self._evaluate(protocol, evaluated, request, path, stop)
            if computed is None:
                return None
            result = computed
        if first:
            scores_files.write(path, result)
        return result

    def _evaluate(
        self, protocol: str, evaluated: EvaluatedModel, request: Request, path: Path, stop: Callable[[], bool]
    ) -> Result | None:
        result = Result(request, evaluated.checkpoint, environment=environment(self.seed))
        streamed = [spec for spec in self.specs[protocol] if spec.reads_translations]
        if streamed:
            tasks = self._stream(protocol, streamed, evaluated.model, request, path, stop)
            if tasks is None:
                return None
            result.tasks, result.scores, result.warnings = tasks
            if self.data.view == HIGH_RESOLUTION:
                result.columns = {BASELINE: self._baseline(protocol, streamed, evaluated.model.scale)}
        for spec in self.specs[protocol]:
            if spec.reads_classifier:
                scores, columns = self.processes.from_first(self._classifier_scores(evaluated))
                result.add(scores, columns)
            if spec.reads_classes:
                scores, columns = self.processes.from_first(self._class_scores(spec, evaluated))
                result.add(scores, columns)
            if spec.reads_predictions:
                result.tasks, result.scores = self.processes.from_first(
                    self._predictions(spec, evaluated.model) if self.processes.is_first else None
                )
        better = {score: way for spec in self.specs[protocol] for score, way in directions(spec.name).items()}
        result.better = {name: better[base_name(name)] for name in result.scores if base_name(name) in better}
        return result

    def _baseline(self, protocol: str, specs: Sequence[MetricSpec], scale: int) -> Scores:
        """Return the scores of a bicubic filter, computed once."""
        key = (protocol, scale)
        if key not in self._baselines:
            (task,) = translation_tasks(self.data)
            self._baselines[key], _ = self._task(
                protocol, specs, Bicubic(scale, self.device), task, None, lambda _: None
            )
        return self._baselines[key]

    # --- streamed metrics -----------------------------------------------------------------------------------

    def _stream(
        self,
        protocol: str,
        specs: Sequence[MetricSpec],
        model: TranslationModel,
        request: Request,
        path: Path,
        stop: Callable[[], bool],
    ) -> tuple[dict[str, Scores], Scores, list[str]] | None:
        """Return the scores of all tasks and modes, their means, and warnings; None if it was stopped."""
        if protocol == "paired" and self.data.val.partner is None:
            raise UserError(f"protocol paired needs pairs, which this data set ({self.data.view}) lacks", key="metrics")
        first = self.processes.is_first
        done, warnings = self.processes.from_first(results.load_partial(path, request) if first else None)
        work = [
            (_key(task, mode), task, mode, style_input)
            for task in translation_tasks(self.data, model.only_target)
            for mode, style_input in modes(tuple(model.style_inputs)).items()
        ]
        left = [(key, task, style_input) for key, task, _, style_input in work if key not in done]
        if done and first:
            log.info("protocol %s: %d of %d tasks are done already", protocol, len(done), len(work))
        num_outputs = PROTOCOLS[protocol].num_outputs
        total = sum(len(task.sources) * (num_outputs if style_input else 1) for _, task, style_input in left)
        has_bar = first and is_interactive()
        kinds: dict[str, list[str]] = {}
        with tqdm(total=total, unit="img", desc=protocol, disable=not has_bar, dynamic_ncols=True) as bar:
            for key, task, style_input in left:
                if any(self.processes.all_gather(stop())):
                    return None
                done[key], reasons = self._task(protocol, specs, model, task, style_input, bar.update)
                for kind, reason in reasons.items():
                    warnings.append(f"{key}: {reason}")
                    kinds.setdefault(kind, []).append(warnings[-1])
                if first:
                    results.save_partial(path, request, done, warnings)
                    if not has_bar:
                        scores = ", ".join(f"{name} {value:.5g}" for name, value in done[key].items())
                        log.info("protocol %s, %s (%d of %d): %s", protocol, key, len(done), len(work), scores)
        if first:
            for same in kinds.values():  # each kind once, with the number of tasks that it applies to
                log.warning("%s%s", same[0], f" (and {len(same) - 1} more)" if len(same) > 1 else "")
        tasks = {key: done[key] for key, *_ in work}
        return tasks, _means([(mode, done[key]) for key, _, mode, _ in work]), warnings

    def _task(
        self,
        protocol: str,
        specs: Sequence[MetricSpec],
        model: TranslatedModel,
        task: TranslationTask,
        style_input: str | None,
        progress: Callable[[int], object],
    ) -> tuple[Scores, dict[str, str]]:
        """Return the scores of one task in one mode, with the numbers of images, and warnings by kind."""
        lacks_reals = not len(task.reals) and any(spec.reads_features for spec in specs)
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
            network = self.features(protocol, spec)
            return f"{id(network)} {accumulator.key}", FeaturesInput(accumulator, network)
        if spec.loads_weights and spec.label not in self._prepared:
            try:
                spec.metric.prepare(self.paths[spec.label], self.device)
            except UserError as error:
                raise error.inside(spec.key) from error
            self._prepared.add(spec.label)
        return spec.label, VALUE_INPUTS[spec.reads](accumulator, spec.metric)

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
        real = self._real(protocol, spec, specs, task)[spec.metric.accumulator().key]
        scores = spec.metric.compute(accumulator, real, self.device)
        return {**scores, "real images": float(len(real))}, list(spec.metric.warnings(accumulator, real))

    def _real(
        self, protocol: str, spec: MetricSpec, specs: Sequence[MetricSpec], task: TranslationTask
    ) -> dict[str, Accumulator]:
        """Return the accumulators of a task's real images, for all metrics on the same features."""
        network = self.features(protocol, spec)
        key = (id(network), task.reals.tobytes())
        if key not in self._reals:
            makers: dict[str, Callable[[], Accumulator]] = {}
            for other in specs:
                if other.reads_features and self.features(protocol, other) is network:
                    makers.setdefault(other.metric.accumulator().key, other.metric.accumulator)
            facts = None
            if spec.file is not None:
                facts = {"protocol": protocol, "weights": pretrained.digest_of(self.paths[spec.label])}
            size = self.data.image_size
            while len(self._reals) >= KEPT_TARGETS:
                del self._reals[next(iter(self._reals))]
            self._reals[key] = reference_statistics(
                self.data.train, task.reals, size, makers, network, facts, self.cache, self.processes
            )
        return self._reals[key]

    def features(self, protocol: str, spec: MetricSpec) -> Features:
        """Return the network that computes the features of a metric."""
        if spec.file is None:
            assert protocol == "local", protocol
            return self._fitted()[0]
        path = self.paths[spec.label]
        if path not in self._networks:
            self._networks[path] = NETWORKS[spec.file](path, self.device)
        return self._networks[path]

    # --- the classifier of protocol `local` -----------------------------------------------------------------

    def local(self) -> Local:
        """Return the metric that holds the classifier: the configured one, else one with the default settings."""
        configured = [spec.metric for spec in self.specs.get("local", []) if spec.reads_classifier]
        return configured[0] if configured else Local()

    def _fitted(self) -> tuple[Local, int]:
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

    def _classifier_scores(self, evaluated: EvaluatedModel) -> tuple[Scores, dict[str, Scores]]:
        """Return the scores of a model by its classifier, and the columns; both empty in a further process."""
        metric, num_content = self._fitted()
        if not self.processes.is_first:
            return {}, {}
        scores = classifier_scores.scores_of_model(metric, num_content, evaluated.model, self.data)
        if evaluated.untrained is None:
            return scores, {}
        untrained, device = evaluated.untrained().to(self.device), self.device
        return scores, {
            "untrained": classifier_scores.scores_of_model(metric, num_content, untrained, self.data),
            "real images": classifier_scores.scores_of_real_images(metric, num_content, self.data, device),
        }

    def _class_scores(self, spec: MetricSpec, evaluated: EvaluatedModel) -> tuple[Scores, dict[str, Scores]]:
        """Return the accuracy of classes of a model, and the columns; both empty in a further process."""
        if not self.processes.is_first:
            return {}, {}
        scores, model = self._class_scores_of[spec.label], evaluated.model
        own = scores.of_model(model)
        if evaluated.untrained is None:
            return own, {}
        return own, {
            "untrained": scores.of_model(evaluated.untrained().to(self.device)),
            "sources": scores.of_sources(model.only_target),
            "real images": scores.of_real_images(model.only_target),
        }

    def _predictions(self, spec: MetricSpec, model: TranslationModel) -> tuple[dict[str, Scores], Scores]:
        """Return the scores of the labels that a model predicts."""
        return scores_of_predictions(spec.metric, cast(PredictingModel, model), self.data, self.batch_size)

    # --- the request ----------------------------------------------------------------------------------------

    def _request(self, protocol: str, model: TranslationModel) -> Request:
        specs, parts = self.specs[protocol], {"train": self.data.train, "val": self.data.val}
        files = [self.paths[spec.label] for spec in specs if spec.file is not None]
        files += [Path(spec.arguments["linear"]).expanduser() for spec in specs if spec.arguments.get("linear")]
        return Request(
            protocol=protocol,
            iteration=model.iteration,
            networks="ema" if model.ema.networks else "trained",
            model=_digest(model),
            seed=self.seed,
            metrics={spec.name: self._settings(spec) for spec in specs},
            weights={path.name: pretrained.digest_of(path) for path in files},
            data={
                "image_size": self.data.image_size.plain,
                **{k: {"images": len(part), "fingerprint": part.fingerprint()} for k, part in parts.items()},
            },
        )

    def _settings(self, spec: MetricSpec) -> dict[str, Any]:
        """Return the arguments of a metric; for features of the classifier also the settings of its training."""
        settings = {key: value for key, value in spec.arguments.items() if key not in PATH_ARGUMENTS}
        if spec.reads_features and spec.file is None:
            local = self.local()
            settings["classifier"] = {"num_iterations": local.num_iterations, "learning_rate": local.learning_rate}
        return settings


def _digest(model: TranslationModel) -> str:
    """Return a digest of the networks that translate, equal on every device."""
    digest = hashlib.sha256()
    for role, network in sorted(model.inference_networks().items()):
        for name, tensor in network.state_dict().items():
            digest.update(f"{role}.{name}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _key(task: TranslationTask, mode: str) -> str:
    return f"{task.name}, {mode}" if mode else task.name


def _means(tasks: Sequence[tuple[str, Scores]]) -> Scores:
    """Return the plain mean of each score over tasks, for each mode, as in the StarGAN v2 paper."""
    values: dict[str, list[float]] = {}
    for mode, scores in tasks:
        for name, value in scores.items():
            if name not in COUNTS:
                values.setdefault(f"{name}, {mode}" if mode else name, []).append(value)
    return {name: sum(each) / len(each) for name, each in values.items()}
