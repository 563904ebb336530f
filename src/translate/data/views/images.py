"""The view of models that need nothing but images, such as style transfer."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.streams import Stream
from translate.data.views.base import Array, ViewInputs, shuffled
from translate.registry.registry import VIEWS


class ImageBatch(NamedTuple, Generic[Array]):
    """Images, of whatever domain."""

    image: Array  # (B, 3, S, S) in [-1, 1]


@VIEWS.register("images", needs=(), num_domains=(0, None), images={"image": "AUGMENT"})
class ImageView:
    """All images of a data set, with or without domains, in epochs."""

    def __init__(self, inputs: ViewInputs) -> None:
        self.count, self.seed = len(inputs.items), inputs.seed

    def draw(self, positions: np.ndarray) -> ImageBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        return ImageBatch(shuffled(self.seed, Stream.ORDER, positions, self.count))
