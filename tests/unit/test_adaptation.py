"""`benchmarks/adaptation.py`: classifiers that learn from translations and read real images of the target."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from adaptation import accuracies, accuracy, rows_of, unchanged

from training.tiny import tiny_cyclegan
from translate.data.module import DataModule
from translate.metrics.class_accuracy import ClassAccuracy
from translate.training import run
from unit.outlines import drawings_and_outlines


@pytest.fixture(scope="module")
def data() -> DataModule:
    return drawings_and_outlines()


def test_good_translations_teach_as_much_as_real_images(data: DataModule) -> None:
    metric = ClassAccuracy(num_iterations=120)
    drawings = data.rows("train", rows_of(data, "train", 0)[0])
    assert drawings.partner is not None
    partner_of = {
        image.numpy().tobytes(): partner for image, partner in zip(drawings.image, drawings.partner, strict=True)
    }

    def perfect(images: Tensor) -> Tensor:
        return torch.stack([partner_of[image.numpy().tobytes()] for image in images])

    real = accuracy(data, 1, 1, unchanged, metric)
    assert real > 0.8
    assert accuracy(data, 0, 1, perfect, metric) > real - 0.1
    constant = accuracy(data, 0, 1, lambda images: torch.zeros_like(images), metric)
    assert constant == pytest.approx(1 / 3, abs=0.05)  # one class for all


def test_rows_are_those_of_a_domain(data: DataModule) -> None:
    rows, classes = rows_of(data, "val", 1)
    assert len(rows) == len(classes) == 60
    assert np.unique(classes).tolist() == [0, 1, 2]


def test_both_directions_of_a_run(tmp_path: Path) -> None:
    config = tiny_cyclegan.on(
        ["data=critters_outlines", "data.num_images=24", "data.num_val_images=12"], "iterations=1"
    )
    assert run.train(config, tmp_path) == 0
    found = accuracies(tmp_path, ClassAccuracy(num_iterations=2))
    assert found.keys() == {"drawing to outline", "outline to drawing"}
    assert all(0 <= value <= 1 for row in found.values() for value in row)
