"""The scores of metric `class_accuracy`: of a model, of its sources as they are, and of real images."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from translate import signals
from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation.streaming import TranslatedModel
from translate.evaluation.streams import classifier_codes, classifier_training_rows
from translate.evaluation.tasks import TranslationTask, translation_tasks
from translate.metrics.class_accuracy import ClassAccuracy
from translate.metrics.classifier import Classifier
from translate.metrics.protocols import Scores

SCORE = "class accuracy"
TRAINING_BATCH = 64  # images of a batch on which the classifier trains
TRANSLATION_BATCH = 32  # sources that are translated at once; scores depend on it by rounding alone

Outputs = Callable[[TranslationTask, np.ndarray], Tensor]
"""Return images (n, 3, S, S) for sources of a task at some positions (n,)."""


class ClassScores:
    """Classifiers of the classes of one data set, one for each target domain, and the scores by them.

    UserError for a data set without classes, or without domains.
    """

    def __init__(self, metric: ClassAccuracy, data: DataModule, device: torch.device) -> None:
        if data.train.classes is None or data.val.classes is None or data.train.domain is None:
            raise UserError(
                "this metric needs domains, and the class of every image",
                key="name",
                found="class_accuracy",
                fix="set data.classes=folder or data.classes=name, or leave the metric out",
            )
        self.metric, self.data, self.device = metric, data, device
        self.names = data.train.class_names
        self._classifiers: dict[int, Classifier] = {}

    def classifier(self, target: int) -> Classifier:
        """Return the classifier of a domain, trained at the first call."""
        if target not in self._classifiers:
            items, classes, domain = self.data.images("train").indices, self.data.train.classes, self.data.train.domain
            assert classes is not None
            assert domain is not None
            rows = np.flatnonzero(domain[items] == target)

            def examples(batch: int) -> tuple[Tensor, Tensor]:
                signals.check()
                chosen = rows[classifier_training_rows(batch, TRAINING_BATCH, len(rows))]
                one_hot = np.eye(len(self.names), dtype=np.float32)[classes[items[chosen]]]
                return self.data.rows("train", chosen).image, torch.from_numpy(one_hot)

            self._classifiers[target] = self.metric.fit(examples, len(self.names), self.device)
        return self._classifiers[target]

    def of_model(self, model: TranslatedModel) -> dict[str, Scores]:
        """Return the score of a model in each task, by codes for a model that takes them."""
        return self._by_task(model.only_target, partial(self._translations, model))

    def of_real_images(self, only_target: int | None) -> Scores:
        """Return the score of real validation images of the targets."""
        values = []
        for target in {task.target_domain: None for task in self._tasks(only_target)}:
            rows = np.flatnonzero(self._of_items("domain") == target)
            values.append(self._correct(target, self._images(rows), rows).double().mean().item())
        return {SCORE: sum(values) / len(values)}

    def _by_task(self, only_target: int | None, outputs: Outputs) -> dict[str, Scores]:
        """Return the fraction of images that show the class of their source, by the name of the task."""
        scores = {}
        for task in self._tasks(only_target):
            correct = []
            for start in range(0, len(task.sources), TRANSLATION_BATCH):
                signals.check()
                positions = np.arange(start, min(start + TRANSLATION_BATCH, len(task.sources)))
                images = outputs(task, positions)
                correct.append(self._correct(task.target_domain, images, task.sources[positions]))
            scores[task.name] = {SCORE: torch.cat(correct).double().mean().item()}
        return scores

    def _tasks(self, only_target: int | None) -> list[TranslationTask]:
        """Return the tasks of the model with at most ``num_sources`` sources each, those of each class in turn."""
        tasks = []
        for task in translation_tasks(self.data, only_target):
            order = np.argsort(_turns(self._of_items("classes")[task.sources]), kind="stable")[
                : self.metric.num_sources
            ]
            if len(order):
                tasks.append(TranslationTask(task.name, task.number, task.sources[order], task.targets[order]))
        return tasks

    @torch.no_grad()
    def _translations(self, model: TranslatedModel, task: TranslationTask, positions: np.ndarray) -> Tensor:
        style_input = {}
        if "code" in model.style_inputs:
            codes = classifier_codes(task.number, len(task.targets), model.latent_size, ("code",))
            style_input = {"code": codes["code"][positions].to(model.device)}
        x, target = self._images(task.sources[positions]).to(model.device), task.targets[positions].to(model.device)
        return model.translate(x, target, **style_input).float().cpu()

    def _correct(self, target: int, images: Tensor, rows: np.ndarray) -> Tensor:
        classes = torch.from_numpy(self._of_items("classes")[rows])
        return self.metric.correct(self.classifier(target), images, classes)

    def _images(self, rows: np.ndarray) -> Tensor:
        return self.data.rows("val", rows).image

    def _of_items(self, name: str) -> np.ndarray:
        """Return "domain" or "classes" of every validation image."""
        values: np.ndarray = getattr(self.data.val, name)[self.data.images("val").indices]
        return values


def mean_over_tasks(tasks: Mapping[str, Scores]) -> Scores:
    """Return the mean of the score over tasks.

    >>> mean_over_tasks({"a -> b": {SCORE: 0.25}, "b -> a": {SCORE: 0.75}})
    {'class accuracy': 0.5}
    """
    return {SCORE: sum(scores[SCORE] for scores in tasks.values()) / len(tasks)}


def _turns(classes: np.ndarray) -> np.ndarray:
    """Return how many items of the same class come before each of some classes (n,).

    >>> _turns(np.array([2, 2, 0, 2, 0])).tolist()
    [0, 1, 0, 2, 1]
    """
    turns = np.empty(len(classes), np.int64)
    for kind in np.unique(classes):
        here = classes == kind
        turns[here] = np.arange(here.sum())
    return turns
