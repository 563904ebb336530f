"""The view of StarGAN v2: class-balanced sources and targets, with references and latent codes."""

from typing import Generic, NamedTuple

import numpy as np

from translate.data.philox import integers, normal
from translate.data.streams import Stream
from translate.data.views.base import Array, ViewInputs
from translate.registry.registry import VIEWS


class ReferenceBatch(NamedTuple, Generic[Array]):
    """Sources, and for each a target domain with two references and two latent codes."""

    image: Array  # (B, 3, S, S) in [-1, 1], sources
    domain: Array  # (B,) int64, the domain of each source
    target: Array  # (B,) int64, the domain to translate to
    reference: Array  # (B, 3, S, S) in [-1, 1], members of the target domain
    reference2: Array  # (B, 3, S, S) in [-1, 1], other members of it, unless it has only one
    code: Array  # (B, latent_size) float32, standard normal
    code2: Array  # (B, latent_size) float32, standard normal


@VIEWS.register(
    "reference",
    needs=("domain",),
    num_domains=(2, None),
    images={"image": "AUGMENT", "reference": "AUGMENT_REFERENCE", "reference2": "AUGMENT_REFERENCE2"},
)
class ReferenceView:
    """Class-balanced sources and targets, with two references and two latent codes of the target (StarGAN v2).

    The domain of a source is uniform over domains, its item uniform within the domain, with replacement. The target
    domain, which may equal the source's, and the references are drawn the same way, at every position anew.
    """

    def __init__(self, inputs: ViewInputs) -> None:
        self.num_domains = len(inputs.dataset.domains)
        self.latent_size, self.seed = inputs.latent_size, inputs.seed
        members = [np.flatnonzero(inputs.domain == d) for d in range(self.num_domains)]
        self._counts = np.array([len(rows) for rows in members])
        assert self._counts.min() > 0, f"the data set has not refused an empty domain: {self._counts}"
        self._members = np.concatenate(members)
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])

    def draw(self, positions: np.ndarray) -> ReferenceBatch[np.ndarray]:
        """Return the rows of samples at ``positions`` (n,) of the stream."""
        source = integers(self.seed, Stream.DOMAIN, positions, self.num_domains)
        target = integers(self.seed, Stream.TARGET, positions, self.num_domains)
        item = integers(self.seed, Stream.ITEM, positions, self._counts[source])
        count = self._counts[target]
        first = integers(self.seed, Stream.REFERENCE, positions, count)
        step = 1 + integers(self.seed, Stream.REFERENCE2, positions, np.maximum(count - 1, 1))
        return ReferenceBatch(
            image=self._row(source, item),
            domain=source,
            target=target,
            reference=self._row(target, first),
            reference2=self._row(target, (first + step) % count),
            code=normal(self.seed, Stream.CODE, positions, self.latent_size),
            code2=normal(self.seed, Stream.CODE2, positions, self.latent_size),
        )

    def _row(self, domain: np.ndarray, index: np.ndarray) -> np.ndarray:
        return self._members[self._starts[domain] + index]
