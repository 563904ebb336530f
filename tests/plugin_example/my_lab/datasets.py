"""A data set of our own: it draws its images, so it needs numpy only."""

from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import Dataset, choose_domains
from translate.registry.registry import DATASETS

COLOURS = {"blue": (40, 60, 220), "red": (220, 50, 40), "yellow": (240, 210, 40)}


@DATASETS.register("my_lab_dots", provides=("domain",))
class Dots(Dataset):
    """A dot somewhere on grey; its colour is the domain."""

    may_fail = False

    def __init__(self, num_images: int = 120, *, split: str, domains: Sequence[str] | None = None) -> None:
        """Number the images; every split has its own."""
        self.domains = choose_domains(sorted(COLOURS), domains, "my_lab_dots")
        self.domain = np.arange(num_images, dtype=np.int64) % len(self.domains)
        self.seed = 0 if split == "train" else 1

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.domain)

    def read(self, index: int, size: int) -> np.ndarray:
        """Draw an image, (size, size, 3) uint8."""
        x, y, radius = np.random.default_rng([self.seed, index]).uniform([0.3, 0.3, 0.1], [0.7, 0.7, 0.25]) * size
        rows, columns = np.mgrid[:size, :size] + 0.5
        inside = np.clip(radius - np.hypot(columns - x, rows - y) + 0.5, 0, 1)[..., None]
        colour = np.array(COLOURS[self.domains[self.domain[index]]])
        return (128 + inside * (colour - 128)).round().astype(np.uint8)

    def describe(self, index: int) -> str:
        """Return a name for messages."""
        return f"my_lab_dots {self.domains[self.domain[index]]} {index}"

    def fingerprint(self) -> str:
        """Return a hexadecimal digest of all that the images depend on."""
        return f"d075{self.seed}{len(self):08x}{len(self.domains):02x}"
