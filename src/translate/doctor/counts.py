"""Examine the numbers of images: of each split, domain and attribute."""

from __future__ import annotations

import numpy as np

from translate.config.datasets import OpenDatasets
from translate.data.datasets.base import Dataset
from translate.doctor.report import Section, number

FEW, SOME = 20, 100
"""Training images of a domain below which a model learns the images by heart, and below which results are poor."""

FEW_HELD_OUT = 10  # validation images of a domain below which scores are noise
IMBALANCE = 10.0  # the ratio of the largest to the smallest domain
RARE = 0.02  # the fraction of an attribute below which a model hardly learns it
TRAIN, VAL = "train", "val"


def check_counts(datasets: OpenDatasets, section: Section) -> None:
    """Add the number of images in each split, domain and attribute, and findings about few and unequal ones."""
    train, val = datasets
    pairs = 2 if train.partner is not None else 1
    word = "pair" if pairs == 2 else "image"
    section.fact("training", number(len(train) // pairs, word))
    section.fact("validation", number(len(val) // pairs, word))
    if train.domain is not None and train.domains and pairs == 1:
        counts = {split: _counts(each) for split, each in zip((TRAIN, VAL), datasets, strict=True)}
        for domain, name in enumerate(train.domains):
            section.fact(f"  {name}", f"{counts[TRAIN][domain]:,} and {counts[VAL][domain]:,}")
        smallest, least = min(zip(train.domains, counts[TRAIN].tolist(), strict=True), key=lambda each: each[1])
        _check_few(section, least, f"domain {smallest!r} has {number(least, 'training image')}")
        largest = int(counts[TRAIN].max())
        if largest > IMBALANCE * max(1, least):
            section.warning(
                f"the largest domain has {largest / max(1, least):.0f} times the images of {smallest!r}",
                fix="training draws all domains equally often, so the small one repeats; add images to it",
            )
        few = [name for name, count in zip(val.domains, counts[VAL].tolist(), strict=True) if count < FEW_HELD_OUT]
        if few:
            section.warning(
                f"domains with fewer than {FEW_HELD_OUT} validation images, by which scores are noise",
                few,
                "add images to val/, or raise data.val_fraction where there is no val/",
            )
    else:
        _check_few(section, len(train) // pairs, f"there are {number(len(train) // pairs, f'training {word}')}")
    _check_attributes(train, section)


def _counts(dataset: Dataset) -> np.ndarray:
    assert dataset.domain is not None
    return np.bincount(dataset.domain, minlength=len(dataset.domains))


def _check_few(section: Section, count: int, statement: str) -> None:
    if count < FEW:
        section.problem(
            f"{statement}: a model learns these by heart and does not translate others",
            fix=f"add images, {SOME} of each at least; some hundreds are better",
        )
    elif count < SOME:
        section.warning(f"{statement}: results are poor below some {SOME}", fix="add images, or train a small model")


def _check_attributes(train: Dataset, section: Section) -> None:
    if train.attributes is None or not len(train):
        return
    shares = dict(zip(train.attribute_names, train.attributes.mean(0).tolist(), strict=True))
    section.fact("attributes", ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    rare = [f"{name} ({share:.1%})" for name, share in shares.items() if min(share, 1 - share) < RARE]
    if rare:
        section.warning(
            f"attributes that fewer than {RARE:.0%} of the images have, or lack: a model hardly learns them",
            rare,
            "leave them out of data.attributes",
        )
