"""The view of CycleGAN: independent images of two domains."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.philox import integers
from translate.data.streams import Stream
from translate.data.views.base import Array, ViewInputs, shuffled
from translate.registry.registry import VIEWS


class UnpairedBatch(NamedTuple, Generic[Array]):
    """Images of two domains, unrelated to each other."""

    a: Array  # (B, 3, S, S) in [-1, 1], of the first domain
    b: Array  # (B, 3, S, S) in [-1, 1], of the second domain


@VIEWS.register("unpaired", needs=("domain",), num_domains=(2, 2), images={"a": "AUGMENT", "b": "AUGMENT_B"})
class UnpairedView:
    """An image of each of two domains (CycleGAN): the first in epochs of its domain, the second at random."""

    def __init__(self, inputs: ViewInputs) -> None:
        self.a, self.b = (np.flatnonzero(inputs.domain == domain) for domain in (0, 1))  # rows (N_a,), (N_b,)
        self.seed = inputs.seed

    def draw(self, positions: np.ndarray) -> UnpairedBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        a = shuffled(self.seed, Stream.ORDER, positions, len(self.a))
        b = integers(self.seed, Stream.ITEM_B, positions, len(self.b))
        return UnpairedBatch(self.a[a], self.b[b])
