"""Train a classifier of digits, or other classes, on translations, and test it on real images of the target.

    python benchmarks/adaptation.py RUN [--iterations 1500]

This is how papers on unsupervised adaptation score translations (CoGAN, UNIT, CyCADA): the classes of the target's
training images are never read. The metric `class_accuracy` asks the other way round: a classifier of real images of the
target reads translations. For each direction of a run on data with classes, the table has the accuracy on all held-out
images of the target after training on the sources as they are, on their translations, and on real images of the target.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import translate
from translate.config.check import check
from translate.config.schema import read_yaml
from translate.data.module import DataModule
from translate.evaluation.streams import classifier_training_rows
from translate.inference.translator import Translator
from translate.metrics.class_accuracy import ClassAccuracy
from translate.training import build

BATCH = 64  # images of a batch on which a classifier trains

Change = Callable[[Tensor], Tensor]
"""Return images (B, 3, S, S) in [-1, 1] for images of a source."""


def rows_of(data: DataModule, split: str, domain: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a domain in a split of the data, and the classes of its images."""
    dataset = data.train if split == "train" else data.val
    items = data.images(split).indices
    assert dataset.domain is not None and dataset.classes is not None
    rows = np.flatnonzero(dataset.domain[items] == domain)
    return rows, dataset.classes[items[rows]]


def accuracy(data: DataModule, source: int, target: int, change: Change, metric: ClassAccuracy) -> float:
    """Return the accuracy on real images of a target after training on changed images of a source."""
    rows, classes = rows_of(data, "train", source)
    count = len(data.train.class_names)

    def examples(batch: int) -> tuple[Tensor, Tensor]:
        chosen = classifier_training_rows(batch, BATCH, len(rows))
        one_hot = torch.eye(count)[torch.from_numpy(classes[chosen])]
        return change(data.rows("train", rows[chosen]).image), one_hot

    classifier = metric.fit(examples, count, torch.device("cpu"))
    held_out, expected = rows_of(data, "val", target)
    correct = metric.correct(classifier, data.rows("val", held_out).image, torch.from_numpy(expected))
    return float(correct.double().mean())


def unchanged(images: Tensor) -> Tensor:
    """Return images as they are."""
    return images


def translating(translator: Translator, target: str) -> Change:
    """Return the translation to a domain."""
    return lambda images: translator.translate(images, target=target, batch_size=BATCH).float().clamp(-1, 1)


def accuracies(folder: Path, metric: ClassAccuracy) -> dict[str, tuple[float, float, float]]:
    """Return for each direction of a run the accuracies by sources, by translations, and by real images."""
    data = build.build_data(check(read_yaml(folder / "config.yaml")))
    translator = translate.load(folder)
    found = {}
    for source, target in itertools.permutations(range(len(data.domains)), 2):
        name, other = data.domains[source], data.domains[target]
        if other in translator.domains:
            changes = ((source, unchanged), (source, translating(translator, other)), (target, unchanged))
            by_sources, by_translations, by_real = (
                accuracy(data, start, target, change, metric) for start, change in changes
            )
            found[f"{name} to {other}"] = by_sources, by_translations, by_real
    return found


def main() -> None:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--iterations", type=int, default=1500, help="batches on which each classifier trains")
    asked = parser.parse_args()
    head = ("trained on", "sources as they are", "translations", "real images")
    for folder in asked.runs:
        print(f"\n{folder.name}\n\n| {' | '.join(head)} |\n| --- | ---: | ---: | ---: |")
        for direction, row in accuracies(folder, ClassAccuracy(num_iterations=asked.iterations)).items():
            print(f"| {direction} | {' | '.join(f'{value:.3f}' for value in row)} |", flush=True)


if __name__ == "__main__":
    main()
