"""What a view is: it turns the items of a data set into the batches of a model.

A view is a pure function of (seed, position). A position counts the samples of an endless stream. Each random number of
a sample is drawn from (seed, stream, position), so any process can make any batch.

A view is registered with seven facts, which are literals, so that a configuration is checked without an import:

- ``needs``: the labels that a data set must provide, all of them; ``"domain|attributes"`` is either. Default: none.
- ``num_domains``: the least and the greatest number of domains; None for no limit. Default: any number.
- ``routes``: whether its models need the domain of a source to translate it, see `Translation`. Default: false.
- ``labels``: True if the targets of a translation are labels and not domains. Default: False.
- ``one_label_set``: True if a joint data set, with several sets of labels, does not suit the view. Default: False.
- ``images``: field of the batch -> stream of its augmentation, the name of a `Stream` or the number of a plug-in's own.
  Fields that share a stream are cropped and mirrored alike. Default: no field is an image.
- ``protocol``: the evaluation protocol that alone suits the view. Default: all those that no view has for itself.

The batch type is declared once, as a generic named tuple: ``Batch[np.ndarray]`` has the rows of the data set in its
image fields, ``Batch[Tensor]`` the images. The first is what ``draw`` returns, the second what the model's step takes.
A field that is an ``int`` is a fact of the whole batch: equal in all processes and microbatches, and never on a device.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from translate.data.datasets.base import Dataset
from translate.data.philox import uniform
from translate.data.streams import Stream
from translate.errors import UserError
from translate.registry.registry import VIEWS

Array = TypeVar("Array")
"""The type of a batch's fields: `numpy.ndarray` in a view, `torch.Tensor` in a model."""


@dataclass(frozen=True)
class ViewInputs:
    """The arguments of every view: the labels of each row (an item that can be read) and numbers of the run."""

    dataset: Dataset
    items: np.ndarray  # (N,) int64, the item of every row
    batch_size: int  # of all processes together
    latent_size: int
    labels: str | None  # "attributes", "domain" or None, see Dataset.label_sets
    seed: int  # of 64 bits

    @property
    def domain(self) -> np.ndarray:
        """Return the domain of every row (N,)."""
        assert self.dataset.domain is not None, "the check of a configuration compares `needs` with the data set"
        return self.dataset.domain[self.items]

    def rows_of(self, items: np.ndarray) -> np.ndarray:
        """Return the row of each item, -1 for an item that cannot be read."""
        rows = np.full(len(self.dataset), -1, dtype=np.int64)
        rows[self.items] = np.arange(len(self.items))
        return rows[items]


class View(Protocol):
    """Rows of a model's batch as a pure function of positions."""

    def __init__(self, inputs: ViewInputs) -> None:
        """Prepare; UserError if no image that the view could use can be read."""

    def draw(self, positions: np.ndarray) -> Any:
        """Return a batch of arrays, one row a position (n,); for a joint data set, a tuple of one batch a label set."""
        ...


def takes_labels(view: str) -> bool:
    """Return whether models of a view translate to labels and not to domains."""
    return bool(VIEWS.facts(view).get("labels"))


def image_streams(facts: Mapping[str, Any]) -> dict[str, int]:
    """Return field -> number of the augmentation's stream, from the facts of a view; UserError for an unknown name.

    >>> image_streams({"images": {"image": "AUGMENT", "mask": 500}})
    {'image': 7, 'mask': 500}
    """
    streams = {}
    for field, stream in facts.get("images", {}).items():
        if isinstance(stream, str) and stream not in Stream.__members__:
            raise UserError("unknown stream", key=f"images.{field}", found=stream, known=list(Stream.__members__))
        streams[field] = int(Stream[stream] if isinstance(stream, str) else stream)
    return streams


def missing_needs(needs: Sequence[str], provides: Sequence[str]) -> list[str]:
    """Return the needs of a view that a data set with these labels does not meet, in words.

    >>> missing_needs(("domain|attributes", "partner"), ("domain",))
    ['partner']
    """
    return [need.replace("|", " or ") for need in needs if not set(need.split("|")) & set(provides)]


def shuffled(seed: int, stream: int, positions: np.ndarray, count: int) -> np.ndarray:
    """Return for each position (n,) an index below ``count``.

    Positions ``count * e`` to ``count * (e + 1) - 1`` are epoch ``e``; each epoch has every index once, in its own
    order.
    """
    epochs, ranks = np.divmod(positions, count)
    indices = np.empty(len(positions), dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = _permutation(seed, stream, int(epoch), count)[ranks[here]]
    return indices


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    """Return the permutation of 0 ... count - 1 of an epoch."""
    return np.argsort(uniform(seed, stream, epoch * count + np.arange(count), 2) @ [1.0, 2.0**-32], kind="stable")
