"""Data sets of any shape, of numbers instead of images."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from translate.data.datasets.base import Dataset
from translate.data.images import ImageError


class Numbers(Dataset):
    """Items whose image is their number, in domains of any sizes; those in `bad` cannot be read.

    With `paired`, item 2k belongs to item 2k + 1, and the two are in the first and the second domain.
    """

    def __init__(
        self,
        domain: np.ndarray,
        num_attributes: int = 0,
        paired: bool = False,
        bad: frozenset[int] = frozenset(),
    ) -> None:
        self.domain = domain
        self.domains = tuple(f"d{k}" for k in range(int(domain.max()) + 1))
        self.bad = bad
        if paired:
            self.partner = np.arange(len(domain)) ^ 1
        if num_attributes:
            self.attribute_names = tuple(f"a{k}" for k in range(num_attributes))
            items, columns = np.arange(len(domain))[:, None], np.arange(num_attributes)
            self.attributes = (items * 2654435761 >> (columns + 8) & 1).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.domain)

    def read(self, index: int, size: int) -> np.ndarray:
        if index in self.bad:
            raise ImageError("is spoilt")
        return np.full((size, size, 3), [index >> 16, index >> 8 & 255, index & 255], np.uint8)

    def describe(self, index: int) -> str:
        return f"number {index}"

    def fingerprint(self) -> str:
        return f"numbers {self.domain.tobytes().hex()} {sorted(self.bad)}"


def items_of(pixels: np.ndarray) -> np.ndarray:
    """Return the items (n,) that images (n, size, size, 3) of `Numbers` are of."""
    return pixels[:, 0, 0].astype(np.int64) @ [1 << 16, 1 << 8, 1]


@st.composite
def sizes(draw: st.DrawFn, least: int = 1, most: int = 5) -> list[int]:
    """Draw how many items each domain has: very unequal ones, often a single one."""
    return draw(st.lists(st.just(1) | st.integers(1, 4) | st.integers(30, 300), min_size=least, max_size=most))


@st.composite
def domains(draw: st.DrawFn, least: int = 1, most: int = 5) -> np.ndarray:
    """Draw the domain of every item of a data set, in any order."""
    counts = draw(sizes(least, most))
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(draw(st.integers(0, 2**32))).permutation(labels)
