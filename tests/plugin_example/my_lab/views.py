"""A view of our own, with its batch type: an image, and how dark its translation must be."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.philox import uniform
from translate.data.streams import FIRST_PLUGIN_STREAM, Stream
from translate.data.views.base import Array, ViewInputs, shuffled
from translate.registry.registry import VIEWS

DARKNESS = FIRST_PLUGIN_STREAM  # the stream of the only number that this view draws itself


class DarknessBatch(NamedTuple, Generic[Array]):
    """Images, and the darkness of each translation: 0 is the image, 1 is black."""

    image: Array  # (B, 3, S, S) in [-1, 1]
    darkness: Array  # (B,) float32 in [0, 1)


@VIEWS.register("my_lab_darkness", needs=(), num_domains=(0, None), images={"image": "AUGMENT"})
class DarknessView:
    """Every image once an epoch, with a uniform darkness."""

    def __init__(self, inputs: ViewInputs) -> None:
        self.num_rows, self.seed = len(inputs.items), inputs.seed

    def draw(self, positions: np.ndarray) -> DarknessBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        row = shuffled(self.seed, Stream.ORDER, positions, self.num_rows)
        darkness = uniform(self.seed, DARKNESS, positions, 1)[:, 0].astype(np.float32)
        return DarknessBatch(row, darkness)
