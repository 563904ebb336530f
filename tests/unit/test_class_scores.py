"""Accuracy of the classes of translations, by classifiers of real target images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from translate.data.datasets.critters import Critters
from translate.data.datasets.folder import Folder
from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation.class_scores import ClassScores
from translate.evaluation.evaluator import EvaluatedModel, Evaluator
from translate.evaluation.processes import SINGLE_PROCESS
from translate.evaluation.results import table
from translate.metrics.class_accuracy import ClassAccuracy
from translate.models.base import TranslationModel
from unit.outlines import drawings_and_outlines

CPU = torch.device("cpu")
NODES = {"classes": {"name": "class_accuracy", "num_sources": 60, "num_iterations": 120}}


class Painter(TranslationModel):
    """A model that answers with fixed images: for each source its true partner, or always the same image."""

    only_target = 1  # type: ignore[assignment]

    def __init__(self, data: DataModule, knows: bool) -> None:
        super().__init__(networks={}, optimizers={}, losses={}, weights={})
        rows = data.rows("val", np.arange(len(data.images("val"))))
        self.sources, self.partners, self.knows = rows.image, rows.partner, knows

    def translate(self, x: Tensor, target: Tensor, *args: object, **style: object) -> Tensor:
        assert self.partners is not None
        if not self.knows:
            return self.partners[:1].expand(len(x), -1, -1, -1)
        return torch.stack([self.partners[(self.sources - one).abs().flatten(1).sum(1).argmin()] for one in x])


@pytest.fixture(scope="module")
def data() -> DataModule:
    return drawings_and_outlines()


def test_classes_of_outlines_are_species(data: DataModule) -> None:
    assert data.train.class_names == ("bear", "cat", "rabbit")
    assert data.train.classes is not None
    assert [data.train.describe(item).split()[3] for item in range(6)] == [
        data.train.class_names[number] for number in data.train.classes[:6]
    ]


def test_scores_of_a_perfect_model_are_those_of_real_images(data: DataModule, tmp_path: Path) -> None:
    evaluator = Evaluator(NODES, data, None, CPU, SINGLE_PROCESS)
    evaluated = EvaluatedModel(Painter(data, True), "last", tmp_path, lambda: Painter(data, False))
    result = evaluator.evaluate("local", evaluated)
    assert result is not None
    score = {name: scores["class accuracy"] for name, scores in result.columns.items()}
    assert score.keys() == {"untrained", "source", "real"}
    assert score["real"] > 0.8
    assert result.scores["class accuracy"] == pytest.approx(score["real"])  # all partners are all real images
    assert score["untrained"] == pytest.approx(1 / 3)  # one image, and all classes equally often
    assert score["source"] < result.scores["class accuracy"]
    assert "source" in table(result)
    assert result.better == {"class accuracy": "higher"}
    assert result.tasks == {"drawing -> outline": {"class accuracy": result.scores["class accuracy"]}}


def test_each_direction_has_its_score(data: DataModule, tmp_path: Path) -> None:
    painter = Painter(data, True)
    painter.only_target = None  # type: ignore[assignment]
    result = Evaluator(NODES | {"grain": {"name": "grain"}}, data, None, CPU, SINGLE_PROCESS).evaluate(
        "local", EvaluatedModel(painter, "last", tmp_path)
    )
    assert result is not None
    by_task = {task: scores["class accuracy"] for task, scores in result.tasks.items()}
    assert by_task.keys() == {"drawing -> outline", "outline -> drawing"}
    assert by_task["drawing -> outline"] != by_task["outline -> drawing"]
    assert result.scores["class accuracy"] == pytest.approx(sum(by_task.values()) / 2)
    assert all("grain" in scores for scores in result.tasks.values())


def test_sources_are_balanced_over_classes(data: DataModule) -> None:
    scores = ClassScores(ClassAccuracy(num_sources=6), data, CPU)
    (task,) = scores._tasks(1)
    assert data.val.classes is not None
    assert sorted(data.val.classes[data.images("val").indices[task.sources]]) == [0, 0, 1, 1, 2, 2]
    assert len(scores._tasks(None)) == 2


def test_data_without_classes_are_refused() -> None:
    parts = {split: Critters(num_images=6, num_val_images=6, split=split) for split in ("train", "val")}
    module = DataModule(**parts, image_size=32, batch_size=4, view="reference")
    with pytest.raises(UserError, match=r"metrics.classes.name: this metric needs domains, and the class of every"):
        Evaluator(NODES, module, None, CPU, SINGLE_PROCESS)


@pytest.mark.parametrize(("source", "form"), [("folder", "{}/{}.png"), ("name", "{}_{}.png")])
def test_classes_of_folders(tmp_path: Path, source: str, form: str) -> None:
    for split in ("train", "val"):
        for domain in ("mnist", "usps"):
            for digit in (3, 7):
                path = tmp_path / split / domain / form.format(digit, 1)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8)).save(path)
    dataset = Folder(str(tmp_path), classes=source, split="train")  # type: ignore[arg-type]
    assert dataset.class_names == ("3", "7")
    assert dataset.classes is not None
    assert dataset.classes.tolist() == [0, 1, 0, 1]
    assert Folder(str(tmp_path), split="train").classes is None
    Image.new("RGB", (8, 8)).save(tmp_path / "train" / "mnist" / "plain.png")
    with pytest.raises(UserError, match=r"classes: the class of plain\.png is unknown; expected a"):
        Folder(str(tmp_path), classes=source, split="train")  # type: ignore[arg-type]
