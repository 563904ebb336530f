"""Estimate how long an evaluation takes, from the time of a few of its batches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from translate.evaluation.class_scores import ClassScores
from translate.evaluation.classifier_scores import fit_classifier
from translate.evaluation.evaluator import Evaluator
from translate.evaluation.predictions import predictions
from translate.evaluation.specs import MetricSpec, most_sources
from translate.evaluation.streaming import MetricInput, StreamSettings, modes, stream
from translate.evaluation.tasks import TranslationTask, classifier_tasks, translation_tasks
from translate.metrics.class_accuracy import ClassAccuracy
from translate.metrics.classifier import Local
from translate.metrics.protocols import PROTOCOLS
from translate.models.base import TranslationModel

FIT_ITERATIONS = 3  # of the classifier, timed
COLUMNS = 2  # models that translate: the evaluated one, and the untrained one beside it


def evaluation_seconds(evaluator: Evaluator, model: TranslationModel) -> float:
    """Return about how many seconds one process needs to evaluate a model by all metrics.

    The model may be untrained. Statistics of real images count in full, also where they are in the cache.
    """
    if any(spec.reads_predictions for specs in evaluator.specs.values() for spec in specs):
        return _predicted(evaluator, model)
    tasks = [
        task
        for task in translation_tasks(evaluator.data, model.only_target)
        if len(task.sources) and len(task.references)
    ]
    if not tasks:
        return 0.0
    seconds = 0.0
    for protocol, specs in evaluator.specs.items():
        if streamed := [spec for spec in specs if spec.reads_translations]:
            seconds += _streamed(evaluator, protocol, streamed, model, tasks)
        if any(spec.reads_classifier or _by_classifier(spec) for spec in specs):
            seconds += _fit(evaluator)
        if any(spec.reads_classifier for spec in specs):
            seconds += _classified(evaluator, model, tasks)
        seconds += sum(_classes(evaluator, spec.metric, model, tasks) for spec in specs if spec.reads_classes)
    return seconds


def _predicted(evaluator: Evaluator, model: TranslationModel) -> float:
    """Return the seconds in which the labels of all validation images are predicted."""
    total, size = len(evaluator.data.images("val")), evaluator.batch_size
    return _timed(predictions, model, evaluator.data, size, size) / min(size, total) * total


def _streamed(
    evaluator: Evaluator,
    protocol: str,
    specs: Sequence[MetricSpec],
    model: TranslationModel,
    tasks: Sequence[TranslationTask],
) -> float:
    """Return the seconds of the metrics that read translations batch by batch, those of real images included."""
    with_network = [spec for spec in specs if not _by_classifier(spec)]
    inputs = list(dict(evaluator.task_scores.input_of(protocol, spec) for spec in with_network).values())
    num_outputs = PROTOCOLS[protocol].num_outputs
    seconds = (
        COLUMNS
        * _per_source(evaluator, model, tasks[0], num_outputs, inputs)
        * sum(len(task.first(most_sources(specs)).sources) for task in tasks)
    )
    networks = {
        spec.extractor or spec.file: evaluator.networks.features(protocol, spec)
        for spec in with_network
        if spec.reads_features
    }
    num_reals = sum(len(reals) for reals in {task.reals.tobytes(): task.reals for task in tasks}.values())
    trial = np.zeros((8, *evaluator.data.image_size, 3), np.uint8)
    return seconds + sum(_timed(network, trial) / len(trial) for network in networks.values()) * num_reals


def _by_classifier(spec: MetricSpec) -> bool:
    """Return whether a metric reads the features of the classifier of protocol `local`."""
    return spec.reads_features and spec.file is None and spec.extractor is None


def _per_source(
    evaluator: Evaluator,
    model: TranslationModel,
    task: TranslationTask,
    num_outputs: int,
    inputs: list[MetricInput],
) -> float:
    """Return the seconds for one source of a task, in all modes of translation."""
    sources = task.sources[: evaluator.batch_size]
    settings = StreamSettings(num_outputs, evaluator.batch_size, evaluator.seed, evaluator.device)
    trial = replace(task, sources=sources, targets=task.targets[: len(sources)])
    return sum(
        _timed(stream, model, evaluator.data, trial, style_input, settings, inputs) / len(sources)
        for style_input in modes(tuple(model.style_inputs)).values()
    )


def _fit(evaluator: Evaluator) -> float:
    """Return the seconds in which the classifier of metric `local` is trained."""
    metric = evaluator.networks.local()
    short = Local(metric.num_sources, FIT_ITERATIONS, metric.learning_rate)
    seconds = _timed(fit_classifier, short, evaluator.data, evaluator.device)
    return seconds / FIT_ITERATIONS * metric.num_iterations


def _classified(evaluator: Evaluator, model: TranslationModel, tasks: Sequence[TranslationTask]) -> float:
    """Return the seconds in which the sources of metric `local` are translated, by codes twice."""
    metric = evaluator.networks.local()
    outputs = 2 if "code" in model.style_inputs else 1
    each = _per_source(evaluator, model, tasks[0], outputs, [])
    work = classifier_tasks(evaluator.data, metric.num_sources, model.only_target)
    return COLUMNS * each * sum(len(task.sources) for task in work)


def _classes(
    evaluator: Evaluator, metric: ClassAccuracy, model: TranslationModel, tasks: Sequence[TranslationTask]
) -> float:
    """Return the seconds of metric `class_accuracy`: a classifier for each target, and all translations twice."""
    short = ClassAccuracy(metric.num_sources, FIT_ITERATIONS, metric.learning_rate)
    targets = {task.target_domain for task in tasks}
    fit = _timed(lambda: ClassScores(short, evaluator.data, evaluator.device).classifier(min(targets)))
    counts = [len(task.sources) if metric.num_sources is None else metric.num_sources for task in tasks]
    each = _per_source(evaluator, model, tasks[0], 1, [])
    return fit / FIT_ITERATIONS * metric.num_iterations * len(targets) + COLUMNS * each * sum(counts)


def _timed(function: Callable[..., object], *arguments: Any) -> float:
    """Return the seconds of the second of two calls; the first one allocates memory and chooses algorithms."""
    function(*arguments)
    began = time.monotonic()
    function(*arguments)
    return time.monotonic() - began
