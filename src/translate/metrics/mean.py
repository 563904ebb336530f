"""The common part of metrics whose score is the mean of one value for each source or pair."""

from collections.abc import Iterator

from translate.metrics.accumulators import Accumulator, Values
from translate.metrics.protocols import Scores


class MeanMetric:
    """Mean of the values that a subclass reads. The subclass names the ``score`` and the ``items`` it is a mean of."""

    score = ""
    items = "sources"
    enough = 50  # items below which the mean is noisy

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of values."""
        return Values()

    def compute(self, values: Accumulator) -> Scores:
        """Return the mean."""
        assert isinstance(values, Values)
        numbers = values.in_order()
        return {self.score: float(numbers.mean()) if len(numbers) else float("nan")}

    def warnings(self, values: Accumulator) -> Iterator[str]:
        """Yield the reasons for which the score may mislead."""
        if len(values) < self.enough:
            yield f"{self.score} of {len(values)} {self.items}: the mean of few values is noisy"
