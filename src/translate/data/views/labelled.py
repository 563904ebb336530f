"""The view of StarGAN v1: images with labels, and target labels from the same batch."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.philox import uniform
from translate.data.streams import Stream, stream_of_set
from translate.data.views.base import Array, ViewInputs, shuffled
from translate.errors import UserError
from translate.registry.registry import VIEWS


class LabelledBatch(NamedTuple, Generic[Array]):
    """Images of one label set; a batch of the view is a tuple of these, one a label set."""

    image: Array  # (B, 3, S, S) in [-1, 1]
    label: Array  # (B, K) float32, 0 or 1: the image's attributes, or its class one-hot
    target: Array  # (B, K) float32, the labels to translate to


@VIEWS.register(
    "labelled", needs=("domain|attributes",), labels=True, num_domains=(2, None), images={"image": "AUGMENT"}
)
class LabelledView:
    """Images with their labels, and the labels of the same batch in another order as targets (StarGAN v1).

    Every label set of a joint data set has a batch of its own in each iteration. Images come in epochs: each once, in
    an order that is drawn anew. The targets are a permutation over the whole batch of all processes.
    """

    def __init__(self, inputs: ViewInputs) -> None:
        self.batch_size, self.seed = inputs.batch_size, inputs.seed
        self.rows: list[np.ndarray] = []  # of every label set, (N_k,)
        self.labels: list[np.ndarray] = []  # of every label set, (N_k, K) float32
        for labels in inputs.dataset.label_sets(inputs.labels):
            rows = inputs.rows_of(labels.items)
            self.rows.append(rows[rows >= 0])
            self.labels.append(labels.values[rows >= 0])
            if not len(self.rows[-1]):
                names = f"{', '.join(labels.names[:3])}{', ...' if len(labels.names) > 3 else ''}"
                raise UserError(f"no image with the labels {names} can be read", fix="repair or replace the images")

    def draw(self, positions: np.ndarray) -> tuple[LabelledBatch[np.ndarray], ...]:
        """Return the rows of samples at ``positions`` (n,) of the stream, for each label set."""
        return tuple(self._draw_set(number, positions) for number in range(len(self.rows)))

    def _draw_set(self, number: int, positions: np.ndarray) -> LabelledBatch[np.ndarray]:
        rows, labels = self.rows[number], self.labels[number]
        order, targets = stream_of_set(number, Stream.ORDER), stream_of_set(number, Stream.TARGET)
        index = shuffled(self.seed, order, positions, len(rows))
        target = np.empty((len(positions), labels.shape[1]), np.float32)
        batches = positions // self.batch_size
        for batch in np.unique(batches):  # the positions may be a slice of a batch, the permutation is of all of it
            whole = batch * self.batch_size + np.arange(self.batch_size)
            permutation = np.argsort(uniform(self.seed, targets, whole, 1)[:, 0], kind="stable")
            partner = shuffled(self.seed, order, whole[permutation], len(rows))
            here = batches == batch
            target[here] = labels[partner[positions[here] - whole[0]]]
        return LabelledBatch(rows[index], labels[index], target)
