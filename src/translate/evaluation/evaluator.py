"""Evaluate a model by the metrics of a protocol: all tasks, all modes, then means."""

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
from translate.evaluation import classifier_scores, pretrained, results, rows
from translate.evaluation.class_scores import ClassScores, mean_over_tasks
from translate.evaluation.feature_networks import FeatureNetworks
from translate.evaluation.predictions import PredictingModel, scores_of_predictions
from translate.evaluation.processes import Processes
from translate.evaluation.real_images import RealImages
from translate.evaluation.requests import digest_of_networks, request_of
from translate.evaluation.rows import References, RowCache, SourceCopies
from translate.evaluation.specs import MetricSpec, metric_specs, most_sources
from translate.evaluation.streaming import (
    TranslatedModel,
    modes,
)
from translate.evaluation.task_scores import TaskScores
from translate.evaluation.tasks import HIGH_RESOLUTION, TranslationTask, translation_tasks
from translate.evaluation.whole_images import Bicubic
from translate.metrics.marks import REAL, SOURCE, SOURCE_BICUBIC, UNTRAINED, marks
from translate.metrics.protocols import PROTOCOLS, Scores
from translate.metrics.selection import base_name, directions, keeping_source, without_bound
from translate.models.base import TranslationModel
from translate.runs import scores as scores_files
from translate.runs.environment import environment
from translate.runs.scores import Request, Result

log = logging.getLogger("translate")

COUNTS = ("translations", "real images", "KID spread")
"""Entries of a task that are not averaged."""


@dataclass(frozen=True)
class EvaluatedModel:
    """The model that is evaluated, and where its scores are written."""

    model: TranslationModel
    checkpoint: str  # "last", "best" or the iteration, for file names
    folder: Path  # the run folder
    untrained: Callable[[], TranslationModel] | None = None  # builds it from the seed; None: no rows to compare with
    output: Path | None = None  # where scores are written instead of the run folder, in a folder metrics/ too


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
        self.paths = pretrained.find_all((spec for specs in self.specs.values() for spec in specs), cache)
        self._class_scores_of: dict[str, ClassScores] = {}
        for spec in [spec for specs in self.specs.values() for spec in specs if spec.reads_classes]:
            try:
                self._class_scores_of[spec.label] = ClassScores(spec.metric, data, device)
            except UserError as error:
                raise error.inside(spec.key) from error
        self.networks = FeatureNetworks(self.specs, self.paths, data, device, processes)
        real_images = RealImages(self.networks, cache)
        self.task_scores = TaskScores(data, self.networks, real_images, self.paths, device, processes, batch_size, seed)
        self._warned = False  # of a folder that cannot be written
        self._rows = RowCache(cache)

    @property
    def protocols(self) -> list[str]:
        """Return the names of the protocols, in the order of the configuration."""
        return list(self.specs)

    def evaluate(self, protocol: str, evaluated: EvaluatedModel) -> Result:
        """Return the result of a model by one protocol, written to its folder.

        A result that cannot be written is returned all the same, with the reason in ``unstored``.

        Tasks that an earlier, stopped evaluation has done are read from its partial file. A result of an equal request
        is read from its file. A signal to any process raises `Interrupted` in all of them.
        """
        with self.processes.together():
            return self._result(protocol, evaluated)

    def _result(self, protocol: str, evaluated: EvaluatedModel) -> Result:
        request = request_of(
            protocol,
            self.specs[protocol],
            evaluated.model,
            data=self.data,
            paths=self.paths,
            networks=self.networks,
            seed=self.seed,
        )
        places = [place for place in (evaluated.output, evaluated.folder) if place is not None]
        path, *further = [scores_files.path_of(place, protocol, evaluated.checkpoint, self.seed) for place in places]
        first = self.processes.is_first
        known = self.processes.from_first(results.known(path, request, further) if first else None)
        if known is not None:
            log.info("%s: evaluated before, with the same result", path)
            result = Result(
                request,
                evaluated.checkpoint,
                known.scores,
                known.better,
                known.tasks,
                known.columns,
                known.marks,
                known.warnings,
                known.environment,
            )
        else:
            result = self._evaluate(protocol, evaluated, request, path)
        if evaluated.untrained is not None and PROTOCOLS[protocol].of_translations:
            self._add_rows(protocol, evaluated.model, evaluated.untrained, result)
        if first:
            try:
                scores_files.write(path, result)
            except OSError as error:
                result.unstored = error
        return result

    def _evaluate(self, protocol: str, evaluated: EvaluatedModel, request: Request, path: Path) -> Result:
        result = Result(request, evaluated.checkpoint, environment=environment(self.seed))
        streamed = [spec for spec in self.specs[protocol] if spec.reads_translations]
        if streamed:
            tasks = self._stream(protocol, streamed, evaluated.model, request, path)
            result.tasks, result.scores, result.warnings = tasks
        whole, by_task = self._whole_scores(protocol, evaluated.model)
        result.scores = whole | result.scores
        result.tasks |= {task: {**scores, **result.tasks.get(task, {})} for task, scores in by_task.items()}
        for spec in self.specs[protocol]:
            if spec.reads_predictions:
                result.tasks, result.scores = self.processes.from_first(
                    self._predictions(spec, evaluated.model) if self.processes.is_first else None
                )
        better = {score: way for spec in self.specs[protocol] for score, way in directions(spec.name).items()}
        result.better = {name: better[base_name(name)] for name in result.scores if base_name(name) in better}
        return result

    # --- the rows beside a model ----------------------------------------------------------------------------

    def _add_rows(
        self, protocol: str, model: TranslationModel, untrained: Callable[[], TranslationModel], result: Result
    ) -> None:
        """Add the rows `source`, `untrained` and `real` to a result, and the marks that follow from them."""
        style_inputs = tuple(model.style_inputs)
        facts = {
            "view": self.data.view,
            "labels": str(self.data.labels),
            "domains": list(self.data.domains),
            "only_target": model.only_target,
            "style_inputs": style_inputs,
            "scale": model.scale,
        }
        started = untrained()
        source = SOURCE_BICUBIC if self.data.view == HIGH_RESOLUTION else SOURCE
        makers: dict[str, Callable[[], Scores]] = {
            source: lambda: self._source_row(protocol, model),
            UNTRAINED: lambda: self._model_row(protocol, started.to(self.device)),
            REAL: lambda: self._real_row(protocol, model.only_target),
        }
        for row, make in makers.items():
            key = self._rows.key(result.request, row, digest_of_networks(started) if row == UNTRAINED else "", facts)
            scores = self.processes.from_first(self._rows.load(key) if self.processes.is_first else None)
            if scores is None:
                scores = make()
                if self.processes.is_first:
                    self._rows.save(key, scores)
            named = rows.in_modes(scores, style_inputs) if row != UNTRAINED else scores
            if column := {name: named[name] for name in result.scores if name in named}:
                result.columns[row] = result.columns.get(row, {}) | column
        names = [spec.name for spec in self.specs[protocol]]
        result.marks = marks(result.scores, result.columns, result.better, keeping_source(names), without_bound(names))

    def _model_row(self, protocol: str, model: TranslatedModel) -> Scores:
        """Return the scores of a model, all at once."""
        streamed = [spec for spec in self.specs[protocol] if spec.reads_translations]
        work = [
            (mode, self.task_scores.of_task(protocol, streamed, model, task, style_input, lambda _: None)[0])
            for task in (translation_tasks(self.data, model.only_target) if streamed else ())
            for mode, style_input in modes(tuple(model.style_inputs)).items()
        ]
        return self._whole_scores(protocol, model)[0] | _means(work)

    def _source_row(self, protocol: str, model: TranslationModel) -> Scores:
        """Return the scores of sources that are their own translations; of a bicubic filter for super-resolution."""
        specs = rows.of_sources([spec for spec in self.specs[protocol] if spec.reads_translations])
        copies: TranslatedModel = SourceCopies(model.only_target, self.device)
        if self.data.view == HIGH_RESOLUTION:
            copies = Bicubic(model.scale, self.device)
        tasks = translation_tasks(self.data, model.only_target) if specs else []
        work = [
            ("", self.task_scores.of_task(protocol, specs, copies, task, None, lambda _: None)[0]) for task in tasks
        ]
        return self._whole_scores(protocol, copies)[0] | _means(work)

    def _real_row(self, protocol: str, only_target: int | None) -> Scores:
        """Return the scores of the real validation images of the targets, each target of the tasks once."""
        streamed = [spec for spec in self.specs[protocol] if spec.reads_translations]
        own = rows.of_real_images(protocol, streamed)
        several, with_sources = rows.of_pairs_of_images(streamed)
        others = References(only_target, self.device)
        all_tasks = translation_tasks(self.data, only_target)
        tasks = {task.references.tobytes(): task for task in all_tasks}
        work: list[tuple[str, Scores]] = []
        for task in map(rows.real_task, tasks.values()):
            if own and len(task.sources):
                copies = SourceCopies(only_target, self.device)
                work.append(("", self.task_scores.of_task(protocol, own, copies, task, None, lambda _: None)[0]))
            if several and len(task.sources):
                work.append(
                    ("", self.task_scores.of_task(protocol, several, others, task, "reference", lambda _: None)[0])
                )
        work += [
            ("", self.task_scores.of_task(protocol, with_sources, others, task, "reference", lambda _: None)[0])
            for task in (all_tasks if with_sources else ())
        ]
        scores = _means(work)
        for spec in self.specs[protocol]:
            if spec.reads_classifier:
                scores = self.processes.from_first(self._classifier_scores_of_real_images()) | scores
            if spec.reads_classes:
                of_classes = self._class_scores_of[spec.label]
                first = self.processes.is_first
                scores = self.processes.from_first(of_classes.of_real_images(only_target) if first else {}) | scores
        return scores

    # --- streamed metrics -----------------------------------------------------------------------------------

    def _stream(
        self,
        protocol: str,
        specs: Sequence[MetricSpec],
        model: TranslationModel,
        request: Request,
        path: Path,
    ) -> tuple[dict[str, Scores], Scores, list[str]]:
        """Return the scores of all tasks and modes, their means, and warnings."""
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
        num_outputs, limit = PROTOCOLS[protocol].num_outputs, most_sources(specs)
        total = sum(
            len(task.first(limit).sources) * (num_outputs if style_input else 1) for _, task, style_input in left
        )
        has_bar = first and is_interactive()
        kinds: dict[str, list[str]] = {}
        with tqdm(total=total, unit="img", desc=protocol, disable=not has_bar, dynamic_ncols=True) as bar:
            for key, task, style_input in left:
                done[key], reasons = self.task_scores.of_task(protocol, specs, model, task, style_input, bar.update)
                for kind, reason in reasons.items():
                    warnings.append(f"{key}: {reason}")
                    kinds.setdefault(kind, []).append(warnings[-1])
                if first:
                    self._save_partial(path, request, done, warnings)
                    if not has_bar:
                        scores = ", ".join(f"{name} {value:.5g}" for name, value in done[key].items())
                        log.info("protocol %s, %s (%d of %d): %s", protocol, key, len(done), len(work), scores)
        if first:
            for same in kinds.values():  # each kind once, with the number of tasks that it applies to
                log.warning("%s%s", same[0], f" (and {len(same) - 1} more)" if len(same) > 1 else "")
        tasks = {key: done[key] for key, *_ in work}
        return tasks, _means([(mode, done[key]) for key, _, mode, _ in work]), warnings

    def _save_partial(self, path: Path, request: Request, done: Mapping[str, Scores], warnings: Sequence[str]) -> None:
        """Write the tasks that are done; without a place for them the evaluation continues."""
        try:
            results.save_partial(path, request, done, warnings)
        except OSError as error:
            if not self._warned:
                log.warning(
                    "%s cannot be written (%s): scores are shown, and a stopped evaluation begins again",
                    path.parent,
                    error.strerror,
                )
            self._warned = True

    # --- metrics that translate by themselves -----------------------------------------------------------------

    def _whole_scores(self, protocol: str, model: TranslatedModel) -> tuple[Scores, dict[str, Scores]]:
        """Return the scores of metrics that translate by themselves, and those by task, from the first process."""
        scores: Scores = {}
        tasks: dict[str, Scores] = {}
        for spec in self.specs[protocol]:
            if spec.reads_classifier:
                classifier_scores.require_sources(spec.metric, spec.key, model.style_inputs, self.data)
                scores = self.processes.from_first(self._classifier_scores(model)) | scores
            if spec.reads_classes:
                first = self.processes.is_first
                tasks = self.processes.from_first(self._class_scores_of[spec.label].of_model(model) if first else {})
                scores = mean_over_tasks(tasks) | scores
        return scores, tasks

    def _classifier_scores(self, model: TranslatedModel) -> Scores:
        """Return the scores of a model by the classifier; none in a further process."""
        metric, num_content = self.networks.fitted()
        if not self.processes.is_first:
            return {}
        return classifier_scores.scores_of_model(metric, num_content, model, self.data)

    def _classifier_scores_of_real_images(self) -> Scores:
        """Return the scores of held-out real images by the classifier; none in a further process."""
        metric, num_content = self.networks.fitted()
        if not self.processes.is_first:
            return {}
        return classifier_scores.scores_of_real_images(metric, num_content, self.data, self.device)

    def _predictions(self, spec: MetricSpec, model: TranslationModel) -> tuple[dict[str, Scores], Scores]:
        """Return the scores of the labels that a model predicts."""
        return scores_of_predictions(spec.metric, cast(PredictingModel, model), self.data, self.batch_size)


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
