"""The protocol `local` tells good translations from bad ones."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data.datasets.critters import Critters
from translate.data.module import DataModule
from translate.evaluation import classifier_scores
from translate.evaluation.tasks import classifier_tasks
from translate.metrics.classifier import ClassifierLabels, Local, distance, r2_score
from translate.models.base import TranslationModel

DOMAINS = ["bear", "cat", "rabbit"]


def data_of(view: str, labels: str | None = None) -> DataModule:
    parts = {part: Critters(240, 60, split=part, domains=DOMAINS) for part in ("train", "val")}
    return DataModule(**parts, image_size=32, batch_size=4, view=view, labels=labels, augment="none")


class Idle(TranslationModel):
    """Return the source."""

    def __init__(self, style_inputs: tuple[str, ...] = ()) -> None:
        super().__init__({}, {}, {}, {})
        self._style_inputs, self.latent_size = style_inputs, 4

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return the style inputs that the test has chosen."""
        return self._style_inputs

    def translate(self, x: Tensor, target: Tensor, *_: Any, **__: Any) -> Tensor:
        return x


class Cheat(Idle):
    """Return some image of the target domain."""

    def __init__(self, data: DataModule) -> None:
        super().__init__()
        held = data.held_out(60)
        self.of = {d: held.image[held.domain == d] for d in range(3)}

    def translate(self, x: Tensor, target: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.stack([self.of[int(d)][k % len(self.of[int(d)])] for k, d in enumerate(target)])


@pytest.fixture(scope="module")
def fitted() -> tuple[Local, int, DataModule]:
    """Return a classifier trained for a moment, enough to tell three species apart."""
    torch.set_num_threads(1)
    data = data_of("reference")
    metric = Local(num_sources=12, num_iterations=90)
    return metric, classifier_scores.fit_classifier(metric, data, torch.device("cpu")), data


def test_real_images_are_recognised(fitted: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = fitted
    scores = classifier_scores.scores_of_real_images(metric, num_content, data, torch.device("cpu"))
    assert scores["domain accuracy"] > 0.85
    assert scores["content kept (R2)"] > 0.3


def test_doing_nothing_changes_no_domain_and_keeps_the_content(fitted: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = fitted
    scores = classifier_scores.scores_of_model(metric, num_content, Idle(), data)
    assert scores["domain accuracy"] < 0.1
    assert scores["content kept (R2)"] > 0.3
    variety = {"recall of real images", "coverage of real images"}
    assert set(scores) == {"domain accuracy", "content kept (R2)"} | variety


def test_another_image_of_the_domain_keeps_nothing(fitted: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = fitted
    scores = classifier_scores.scores_of_model(metric, num_content, Cheat(data), data)
    assert scores["domain accuracy"] > 0.85
    assert scores["content kept (R2)"] < 0.3


def test_a_model_with_style_inputs_is_evaluated_in_each_mode(fitted: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = fitted
    scores = classifier_scores.scores_of_model(metric, num_content, Idle(("code", "reference")), data)
    assert {"domain accuracy, latent", "domain accuracy, reference", "style followed (R2), reference"} <= set(scores)
    assert scores["distance between codes, pixels"] == 0


def test_every_source_goes_to_every_other_domain() -> None:
    data = data_of("reference")
    tasks = classifier_tasks(data, 12)
    assert len(tasks) == 2
    for task in tasks:
        assert task.expected is not None
        assert len(task.sources) == 12
        assert (task.targets != data.rows("val", task.sources).domain).all()
        assert task.expected.values.argmax(1).equal(task.targets)
    assert not tasks[0].targets.equal(tasks[1].targets)


def test_every_attribute_is_changed_in_turn() -> None:
    data = data_of("labelled", "attributes")
    tasks = classifier_tasks(data, 12)
    assert len(tasks) == len(data.train.attribute_names)
    for column, task in enumerate(tasks):
        assert task.expected is not None
        changes = (task.targets != data.rows("val", task.sources).label).sum(0)
        assert changes[column] == 12
        assert changes.sum() == 12
        assert task.expected.columns == (column,)


def test_labels_of_another_data_set_do_not_train_the_classifier() -> None:
    label_set = ClassifierLabels("attributes", 0, 2)
    labels = torch.tensor([[1.0, 0.0], [np.nan, np.nan]])
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = label_set.loss(logits, labels)
    assert loss.item() == pytest.approx(np.log(2))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[1].abs().max() == 0
    assert gradient[0].abs().min() > 0


def test_correct_labels() -> None:
    classes, attributes = ClassifierLabels("classes", 0, 3), ClassifierLabels("attributes", 3, 5)
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0, 1.0]])
    assert classes.correct(logits, torch.tensor([[0.0, 1, 0, 0, 0]])).tolist() == [[True]]
    assert attributes.correct(logits, torch.tensor([[0.0, 0, 0, 1, 1]])).tolist() == [[False, True]]


def test_scores_of_known_values() -> None:
    assert r2_score(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]])) == 1
    assert r2_score(torch.tensor([[0.5], [0.5]]), torch.tensor([[0.0], [1.0]])) == 0
    assert distance(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])) == 5
