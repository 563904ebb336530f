"""Measure whether translations of pairs show the same subject as their true partners, by features of another network.

    python benchmarks/identity_of_pairs.py RUN PAIRS --extractor faces

RUN is a run folder of a model of pairs, PAIRS the root of its data set, with the folders A/val and B/val of equal names
(pairs.py writes such a root). ``faces`` needs `pip install 'translate-gan[faces]'`. Identity is the mean distance of
the features to those of the true partner, over the mean distance to the partners of others: 0 is the partner itself,
1 no more like it than like others. The row ``source`` is the image that the model translates.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import translate
from translate.inference.images import to_images
from translate.metrics.extractors import EXTRACTORS, faces_file
from translate.metrics.grain import eight_bits
from translate.metrics.independent import relative_distance
from translate.metrics.interfaces import Features


def features_of(extractor: Features, images: Tensor) -> Tensor:
    """Return the features (N, D) of images (N, 3, S, S) in [-1, 1]."""
    pixels = eight_bits(images).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return extractor(pixels).double()


def main() -> None:
    """Print a row for the sources and one for the translations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--extractor", choices=("gradients", "faces"), default="gradients")
    words = parser.parse_args()
    translator = translate.load(words.run)
    file = faces_file(None, "extractor") if words.extractor == "faces" else None
    extractor = EXTRACTORS[words.extractor](file, torch.device("cpu"))
    names = sorted(path.name for path in (words.pairs / "A" / "val").iterdir())
    if len(names) < 2:
        raise SystemExit(f"{words.pairs / 'A' / 'val'} has {len(names)} images, and identity needs two")
    sides = [[words.pairs / side / "val" / name for name in names] for side in "AB"]
    sources, partners = (to_images(paths, translator.about.image_size, "none") for paths in sides)
    known = features_of(extractor, partners)
    print(f"| {len(names)} pairs | identity ({words.extractor}) |\n| --- | --- |")
    for title, images in (("source", sources), ("translation", translator.translate(sources))):
        print(f"| {title} | {relative_distance(features_of(extractor, images), known):.3f} |")


if __name__ == "__main__":
    main()
