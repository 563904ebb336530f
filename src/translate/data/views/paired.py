"""The view of pix2pix: pairs of images."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.streams import Stream
from translate.data.views.base import Array, ViewInputs, shuffled
from translate.errors import UserError
from translate.registry.registry import VIEWS


class PairedBatch(NamedTuple, Generic[Array]):
    """Images and their partners."""

    source: Array  # (B, 3, S, S) in [-1, 1], of the first domain
    target: Array  # (B, 3, S, S) in [-1, 1], the partner of each in the second domain


@VIEWS.register(
    "paired", needs=("domain", "partner"), num_domains=(2, 2), images={"source": "AUGMENT", "target": "AUGMENT"}
)
class PairedView:
    """Pairs of an image of the first domain and its partner in the second (pix2pix), in epochs, augmented alike."""

    def __init__(self, inputs: ViewInputs) -> None:
        assert inputs.dataset.partner is not None, "the check of a configuration compares `needs` with the data set"
        source = np.flatnonzero(inputs.domain == 0)
        target = inputs.rows_of(inputs.dataset.partner[inputs.items[source]])
        if not (target >= 0).any():
            raise UserError("no pair has two images that can be read", fix="repair or replace the images")
        self.source, self.target = source[target >= 0], target[target >= 0]  # rows (N,) of each pair
        self.seed = inputs.seed

    def draw(self, positions: np.ndarray) -> PairedBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        pair = shuffled(self.seed, Stream.ORDER, positions, len(self.source))
        return PairedBatch(self.source[pair], self.target[pair])
