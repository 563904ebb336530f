"""The protocol `local` tells good translations from bad ones."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data.datasets.critters import Critters
from translate.data.module import DataModule
from translate.evaluation import classifier_scores
from translate.metrics.classifier import JudgedSet, Local, distance, explained
from translate.models.base import TranslationModel

DOMAINS = ["bear", "cat", "rabbit"]


def data_of(view: str, labels: str | None = None) -> DataModule:
    parts = {part: Critters(240, 60, split=part, domains=DOMAINS) for part in ("train", "val")}
    return DataModule(**parts, image_size=32, batch_size=4, view=view, labels=labels, augment="none")


class Idle(TranslationModel):
    """Return the source."""

    def __init__(self, style_inputs: tuple[str, ...] = ()) -> None:
        super().__init__({}, {}, {})
        self.style_inputs, self.latent_size = style_inputs, 4

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
def judged() -> tuple[Local, int, DataModule]:
    """Return a judge trained for a moment, enough to tell three species apart."""
    torch.set_num_threads(1)
    data = data_of("reference")
    metric = Local(num_sources=12, num_iterations=90)
    return metric, classifier_scores.fit_judge(metric, data, torch.device("cpu")), data


def test_real_images_are_recognised(judged: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = judged
    figures = classifier_scores.measure_real(metric, num_content, data, torch.device("cpu"))
    assert figures["domain accuracy"] > 0.85
    assert figures["content kept (R2)"] > 0.3


def test_doing_nothing_changes_no_domain_and_keeps_the_content(judged: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = judged
    figures = classifier_scores.measure(metric, num_content, Idle(), data)
    assert figures["domain accuracy"] < 0.1
    assert figures["content kept (R2)"] > 0.3
    assert set(figures) == {"domain accuracy", "content kept (R2)"}


def test_another_image_of_the_domain_keeps_nothing(judged: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = judged
    figures = classifier_scores.measure(metric, num_content, Cheat(data), data)
    assert figures["domain accuracy"] > 0.85
    assert figures["content kept (R2)"] < 0.3


def test_a_guided_model_is_measured_by_each_guide(judged: tuple[Local, int, DataModule]) -> None:
    metric, num_content, data = judged
    figures = classifier_scores.measure(metric, num_content, Idle(("code", "reference")), data)
    assert {"domain accuracy, latent", "domain accuracy, reference", "style followed (R2), reference"} <= set(figures)
    assert figures["distance between codes, pixels"] == 0


def test_every_source_goes_to_every_other_domain() -> None:
    found = classifier_scores.tasks(data_of("reference"), 12)
    assert len(found) == 2
    assert all((task.target != task.sources.domain).all() for task in found)
    assert all(task.wanted.argmax(1).equal(task.target) for task in found)
    assert not found[0].target.equal(found[1].target)


def test_every_attribute_is_changed_in_turn() -> None:
    data = data_of("labelled", "attributes")
    found = classifier_scores.tasks(data, 12)
    assert len(found) == len(data.train.attribute_names)
    for column, task in enumerate(found):
        changes = (task.target != task.sources.label).sum(0)
        assert changes[column] == 12
        assert changes.sum() == 12
        assert task.columns == (column,)


def test_labels_of_another_data_set_teach_the_judge_nothing() -> None:
    judged = JudgedSet("attributes", 0, 2)
    labels = torch.tensor([[1.0, 0.0], [np.nan, np.nan]])
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = judged.loss(logits, labels)
    assert loss.item() == pytest.approx(np.log(2))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[1].abs().max() == 0
    assert gradient[0].abs().min() > 0


def test_what_is_right() -> None:
    classes, attributes = JudgedSet("classes", 0, 3), JudgedSet("attributes", 3, 5)
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0, 1.0]])
    assert classes.right(logits, torch.tensor([[0.0, 1, 0, 0, 0]])).tolist() == [[True]]
    assert attributes.right(logits, torch.tensor([[0.0, 0, 0, 1, 1]])).tolist() == [[False, True]]


def test_figures_of_known_values() -> None:
    assert explained(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]])) == 1
    assert explained(torch.tensor([[0.5], [0.5]]), torch.tensor([[0.0], [1.0]])) == 0
    assert distance(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])) == 5
