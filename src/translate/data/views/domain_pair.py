"""The view of ComboGAN: images of two domains, which are drawn for each batch."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.philox import integers, uniform
from translate.data.streams import Stream
from translate.data.views.base import Array, ViewInputs
from translate.registry.registry import VIEWS


class DomainPairBatch(NamedTuple, Generic[Array]):
    """Images of two different domains, unrelated to each other. The domains are those of the whole batch."""

    a: Array  # (B, 3, S, S) in [-1, 1], of domain_a
    b: Array  # (B, 3, S, S) in [-1, 1], of domain_b
    domain_a: int
    domain_b: int


@VIEWS.register(
    "domain_pair",
    needs=("domain",),
    num_domains=(2, None),
    routes=True,
    images={"a": "AUGMENT", "b": "AUGMENT_B"},
)
class DomainPairView:
    """A pair of domains for each batch, and for each sample an image of both, with replacement (ComboGAN).

    All ordered pairs of different domains are equally likely, whatever the numbers of their images. The pair is a
    function of the seed and of the number of the batch, so it is equal in all processes and microbatches.
    """

    def __init__(self, inputs: ViewInputs) -> None:
        self.batch_size, self.seed = inputs.batch_size, inputs.seed
        self.members = [np.flatnonzero(inputs.domain == d) for d in range(len(inputs.dataset.domains))]

    def draw(self, positions: np.ndarray) -> DomainPairBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream, which belong to one batch."""
        number = int(positions[0]) // self.batch_size
        assert (positions // self.batch_size == number).all(), "a pair of domains is that of one batch"
        first, second = self.pair(number)
        rows = [
            self.members[domain][integers(self.seed, stream, positions, len(self.members[domain]))]
            for domain, stream in ((first, Stream.ITEM), (second, Stream.ITEM_B))
        ]
        return DomainPairBatch(rows[0], rows[1], first, second)

    def pair(self, number: int) -> tuple[int, int]:
        """Return the domains of batch ``number``, counted from 0: two different ones."""
        count = len(self.members)
        draws = uniform(self.seed, Stream.DOMAIN_PAIR, np.array([number]), 2)[0]
        first = int(draws[0] * count)
        return first, (first + 1 + int(draws[1] * (count - 1))) % count
