"""The view of super-resolution: images of high resolution, from which a model makes those of low resolution."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.streams import Stream
from translate.data.views.base import Array, ViewInputs, shuffled
from translate.registry.registry import VIEWS


class HighResolutionBatch(NamedTuple, Generic[Array]):
    """Images of high resolution. Those of low resolution are a function of them, made on the device."""

    high: Array  # (B, 3, S, S) in [-1, 1]


@VIEWS.register(
    "high_resolution", needs=(), num_domains=(0, None), images={"high": "AUGMENT"}, protocol="super_resolution"
)
class HighResolutionView:
    """Images of all domains in epochs, each once in an order that is drawn anew (SRGAN); labels are not used."""

    def __init__(self, inputs: ViewInputs) -> None:
        self.num_rows, self.seed = len(inputs.items), inputs.seed

    def draw(self, positions: np.ndarray) -> HighResolutionBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        return HighResolutionBatch(shuffled(self.seed, Stream.ORDER, positions, self.num_rows))
