"""The view of IcGAN: images with labels, wrong labels, sampled labels and codes."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.philox import integers, normal
from translate.data.streams import Stream
from translate.data.views.base import Array, ViewInputs, shuffled
from translate.errors import UserError
from translate.registry.registry import VIEWS


class ConditionalBatch(NamedTuple, Generic[Array]):
    """Images with their labels, and what a conditional generator takes; labels are 0 or 1, classes one-hot."""

    image: Array  # (B, 3, S, S) in [-1, 1]
    label: Array  # (B, K) float32, the labels of each image
    wrong_label: Array  # (B, K) float32, labels of another image that differ from those of this one
    sampled_label: Array  # (B, K) float32, labels of any image
    code: Array  # (B, latent_size) float32, standard normal


@VIEWS.register(
    "conditional",
    needs=("domain|attributes",),
    labels=True,
    one_label_set=True,
    num_domains=(2, None),
    images={"image": "AUGMENT"},
)
class ConditionalView:
    """Images in epochs, each with its labels, and with labels and a code for a generated image (IcGAN).

    Wrong labels are those of an image that is uniform over all images with other labels: what drawing again until the
    labels differ gives. Sampled labels are those of an image that is uniform over all.
    """

    def __init__(self, inputs: ViewInputs) -> None:
        self.latent_size, self.seed = inputs.latent_size, inputs.seed
        sets = inputs.dataset.label_sets(inputs.labels)  # one: the check of a configuration refuses several
        rows = inputs.rows_of(sets[0].items)
        self.rows, self.labels = rows[rows >= 0], sets[0].values[rows >= 0]  # (N,), (N, K) float32
        kinds, self._kind = np.unique(self.labels, axis=0, return_inverse=True)
        self._kind = self._kind.reshape(-1)
        if len(kinds) < 2:
            raise UserError(
                "all images have the same labels", expected="images with two or more combinations of labels"
            )
        self._by_kind = np.argsort(self._kind, kind="stable")
        self._counts = np.bincount(self._kind)
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])

    def draw(self, positions: np.ndarray) -> ConditionalBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        index = shuffled(self.seed, Stream.ORDER, positions, len(self.rows))
        sampled = integers(self.seed, Stream.SAMPLED_LABEL, positions, len(self.rows))
        return ConditionalBatch(
            image=self.rows[index],
            label=self.labels[index],
            wrong_label=self.labels[self._other(self._kind[index], positions)],
            sampled_label=self.labels[sampled],
            code=normal(self.seed, Stream.CODE, positions, self.latent_size),
        )

    def _other(self, kind: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return for each position (n,) an image whose labels are of another kind."""
        start, count = self._starts[kind], self._counts[kind]
        place = integers(self.seed, Stream.WRONG_LABEL, positions, len(self.rows) - count)
        return self._by_kind[np.where(place < start, place, place + count)]
