"""Warnings about data that a model can train on, though most likely not well."""

from collections.abc import Iterator

import numpy as np

from translate.data.datasets.base import Dataset
from translate.errors import Phrase, Problem

FEW_IMAGES = 50
"""Training images of a domain below which a warning is due; some hundred are the usual minimum."""

SHOWN = 3  # names in a warning


def warnings(train: Dataset) -> Iterator[Problem]:
    """Yield a problem for domains with few training images, and for domains whose images are in nested folders.

    Keys are arguments of the data set.
    """
    if train.domain is None or not train.domains:
        if len(train) < FEW_IMAGES:
            yield _few(Phrase(f"{len(train)} training images"))
        return
    counts = np.bincount(train.domain, minlength=len(train.domains))
    few = [f"{count} of {name}" for name, count in zip(train.domains, counts, strict=True) if count < FEW_IMAGES]
    if few:
        yield _few(Phrase(f"training images: {_listed(few)}"))
    for domain, folders in train.nested_folders().items():
        yield Problem(
            f"all images in the folders of the domain {domain!r} count as {domain!r}",
            key="root",
            found=Phrase(f"folders {_listed(folders)}"),
            fix=f"if these are the domains, add /{domain} to the root",
        )


def _few(found: Phrase) -> Problem:
    return Problem(
        "the data set is small, so the discriminator overfits early",
        found=found,
        expected=f"at least {FEW_IMAGES}, better some hundred, in each domain",
        fix="add images, or set augment=resize_crop_flip",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
