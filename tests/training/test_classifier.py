"""A classifier as a model: it learns, is evaluated by its predictions, and stands frozen in another run."""

import json
from pathlib import Path

import pytest
import torch

from training.test_stargan_v1 import JOINT
from training.tiny import tiny_classifier, tiny_unit
from translate.cli import main
from translate.errors import ConfigError
from translate.evaluation.cost import evaluation_seconds
from translate.evaluation.evaluator import EvaluatedModel
from translate.evaluation.processes import SINGLE_PROCESS
from translate.metrics.accuracy import Accuracy
from translate.metrics.classifier import ClassifierLabels
from translate.models.classifier import Classifier
from translate.runs.folder import RunFolder
from translate.training import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that tells bears, cats and rabbits apart."""
    words = ["iterations=80", "data.num_images=300", "data.batch_size=32", "metrics=accuracy"]
    return tiny_classifier.trained(tmp_path_factory.mktemp("classifier") / "run", *words)


def test_accuracy_is_that_of_the_predictions(folder: Path) -> None:
    tree = json.loads((folder / "metrics" / "classification_last.json").read_text())
    assert tree["scores"]["accuracy"] > 0.7  # a third by chance
    assert tree["better"] == {"accuracy": "higher", "cross-entropy": "lower"}
    assert set(tree["tasks"]) == {"bear", "cat", "rabbit"}
    of_each = [task["accuracy"] * task["images"] for task in tree["tasks"].values()]
    assert sum(of_each) / 30 == pytest.approx(tree["scores"]["accuracy"])


def test_the_command_evaluate_chooses_the_accuracy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", f"run={folder}", "device=cpu"]) == 0
    assert "protocol classification" in capsys.readouterr().out
    assert main(["evaluate", f"run={folder}", "metrics=local"]) == 2
    assert "the model 'classifier' gives labels, not translations" in capsys.readouterr().err


def test_encoder_is_frozen_in_another_run(folder: Path) -> None:
    config = tiny_unit(
        f"++model.networks.perceptual={{name: frozen, weights: {folder}, role: encoder}}",
        "model.weights.generator.perceptual_a=1",
    )
    assert config.model.networks["perceptual"]["network"]["name"] == "conv_encoder"
    assert build.build_model(config).network("perceptual")(torch.zeros(2, 3, 32, 32)).shape == (2, 16)


def test_labels_of_joined_data_sets_are_learnt_together() -> None:
    config = tiny_classifier.on(JOINT, "metrics=accuracy")
    data, model = build.build_data(config), build.build_model(config)
    assert isinstance(model, Classifier)
    model.training_step(data.augment(data.iterations()[0]), 0)
    assert {"classifier/set1/cross_entropy", "classifier/set2/cross_entropy"} <= set(model.terms)
    evaluator = build.build_evaluator(config, data, model.device, SINGLE_PROCESS)
    assert evaluation_seconds(evaluator, model) > 0
    assert set(model.sample_grids(data.held_out(6))) == {"predictions"}


def test_scores_of_joined_data_sets(tmp_path: Path) -> None:
    config = tiny_classifier.on(JOINT, "metrics=accuracy")
    data, model = build.build_data(config), build.build_model(config)
    evaluator = build.build_evaluator(config, data, model.device, SINGLE_PROCESS)
    result = evaluator.evaluate("classification", EvaluatedModel(model, "last", RunFolder(tmp_path).path))
    assert result is not None
    assert set(result.tasks) == {name for labels in data.label_sets("val") for name in labels.names}


def test_accuracy_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, -1.0]])
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, float("nan")]])
    sets = [ClassifierLabels("classes", 0, 2), ClassifierLabels("attributes", 2, 3)]
    scores = Accuracy().compute(logits, labels, sets)
    assert scores["accuracy"] == 0.5  # both classes, and not the one known attribute
    wrong, right = torch.tensor(1.0), torch.tensor(2.0)
    entropy = (torch.log1p(torch.exp(-right)) + torch.nn.functional.softplus(wrong)) / 2
    assert scores["cross-entropy"] == pytest.approx(entropy.item())


@pytest.mark.parametrize(
    ("make", "metrics", "message"),
    [
        (tiny_classifier, "local", "metrics.local.name: the model 'classifier' gives labels, not translations"),
        (tiny_unit, "accuracy", "metrics.accuracy.name: the model 'unit' gives translations, not labels"),
    ],
)
def test_metrics_that_the_model_cannot_have(make: object, metrics: str, message: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match=message):
        make(f"metrics={metrics}")
