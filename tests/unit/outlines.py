"""Drawings and outlines of the built-in world: data with two domains, classes, and true partners."""

from translate.data.datasets.critters_outlines import CrittersOutlines
from translate.data.module import DataModule


def drawings_and_outlines() -> DataModule:
    """Return 600 training images and 120 validation images of 32 px, half of each domain."""
    domains = ["drawing", "outline"]
    parts = {
        split: CrittersOutlines(num_images=600, num_val_images=120, split=split, domains=domains)
        for split in ("train", "val")
    }
    return DataModule(**parts, image_size=32, batch_size=4, view="unpaired", augment="none")
