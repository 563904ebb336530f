"""Data sets: what there is to train on, as items. Each file registers its classes when imported here."""

from translate.data.datasets import (
    base,
    celeba,
    critters,
    critters_outlines,
    folder,
    huggingface,
    joint,
    market1501,
    paired,
    rafd,
    sides,
    unpaired,
)

__all__ = [
    "base",
    "celeba",
    "critters",
    "critters_outlines",
    "folder",
    "huggingface",
    "joint",
    "market1501",
    "paired",
    "rafd",
    "sides",
    "unpaired",
]
