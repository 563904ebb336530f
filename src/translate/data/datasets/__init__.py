"""Data sets: what there is to train on, as items. Each file registers its classes when imported here."""

from translate.data.datasets import base, celeba, critters, folder

__all__ = ["base", "celeba", "critters", "folder"]
