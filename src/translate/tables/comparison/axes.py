"""Axes of plots in SVG: the range of values, linear or logarithmic, and their ticks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOG_RATIO = 100.0
"""Values are plotted on a logarithmic axis if they are positive and this far apart."""

OUTLIER_RATIO = 5.0
"""Without the outer two percent of values, a range that is smaller by this factor is shown instead of the whole one."""

MARGIN = 0.05  # of the range, above and below


@dataclass(frozen=True)
class Axis:
    """A range of values, which maps onto 0 to 1."""

    low: float
    high: float
    is_log: bool = False
    is_cut: bool = False  # whether values are outside of the range

    def place(self, value: float) -> float:
        """Return where a value is, from 0 (low) to 1 (high); values outside are at the ends."""
        low, high, value = (math.log10(max(v, 1e-300)) if self.is_log else v for v in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self, count: int = 4) -> list[float]:
        """Return about ``count`` round values within the range.

        >>> Axis(0.0, 1.0).ticks(), Axis(0.001, 20.0, is_log=True).ticks()
        ([0.0, 0.25, 0.5, 0.75, 1.0], [0.001, 0.01, 0.1, 1.0, 10.0])
        """
        if self.is_log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            if last - first >= 1:
                stride = math.ceil((last - first + 1) / (count + 1))
                return [10.0**power for power in range(first, last + 1, stride)]
        step = _round_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _round_step(step: float) -> float:
    """Return the nearest larger number of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def axis_of(values: Iterable[float], logarithmic: bool = True) -> Axis | None:
    """Return an axis for finite values, with a margin; None without any.

    >>> axis_of([2.0, 2.0]), axis_of([])
    (Axis(low=1.9, high=2.1, is_log=False, is_cut=False), None)
    """
    numbers = sorted(value for value in values if math.isfinite(value))
    if not numbers:
        return None
    low, high = numbers[0], numbers[-1]
    if logarithmic and low > 0 and high / low >= LOG_RATIO:
        factor = (high / low) ** MARGIN
        return Axis(low / factor, high * factor, is_log=True)
    cut = len(numbers) // 50
    inner_low, inner_high = numbers[cut], numbers[len(numbers) - 1 - cut]
    is_cut = 0 < (inner_high - inner_low) * OUTLIER_RATIO < high - low
    if is_cut:
        low, high = inner_low, inner_high
    margin = (high - low) * MARGIN or abs(low) * MARGIN or 1.0
    return Axis(low - margin, high + margin, is_cut=is_cut)


def tick_text(value: float) -> str:
    """Return the text of a tick.

    >>> tick_text(12_500.0), tick_text(0.25), tick_text(2_000_000.0), tick_text(0.00001)
    ('12.5k', '0.25', '2M', '1e-05')
    """
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if factor <= abs(value) < 1e9:
            return f"{value / factor:.4g}{unit}"
    return f"{value:.4g}"


def polyline(points: Sequence[tuple[float, float]]) -> str:
    """Return the attribute ``points`` of a line.

    >>> polyline([(1.0, 2.25), (3.04, 4.0)])
    '1,2.2 3,4'
    """
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in points)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
