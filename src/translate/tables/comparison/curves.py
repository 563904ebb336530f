"""Curves of terms by iteration: a plot in SVG for each term, with a line for each run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from translate.tables.comparison.axes import Axis, axis_of, polyline, tick_text
from translate.tables.comparison.run_facts import Series

NUM_POINTS = 160
"""Points of a line, at most; each is the mean of the records in its stretch of iterations."""

WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 22
"""Pixels of a plot, and of its margins, before the page scales it."""


@dataclass(frozen=True)
class Line:
    """The series of a run, its class in the style sheet, and its name."""

    series: Series
    style: str
    name: str


@dataclass(frozen=True)
class Plot:
    """A plot, and remarks to stand below it."""

    svg: str
    remarks: tuple[str, ...] = ()


def reduced(series: Series, last: float, count: int = NUM_POINTS) -> list[list[tuple[float, float]]]:
    """Return the parts of a line up to iteration ``last``, with at most about ``count`` points in all.

    A part ends where a stretch of iterations has no finite value.
    """
    buckets: dict[int, list[tuple[float, float]]] = {}
    width = max(last, 1.0) / count
    for iteration, value in zip(series.iterations, series.values, strict=True):
        buckets.setdefault(int(iteration / width), []).append((iteration, value))
    parts: list[list[tuple[float, float]]] = [[]]
    for members in buckets.values():
        finite = [(iteration, value) for iteration, value in members if math.isfinite(value)]
        if not finite:
            parts.append([])
            continue
        iterations, values = zip(*finite, strict=True)
        parts[-1].append((sum(iterations) / len(finite), sum(values) / len(finite)))
    return [part for part in parts if part]


def plot(title: str, lines: Sequence[Line], last: float) -> Plot:
    """Return the plot of a term up to iteration ``last``, and remarks on what it does not show."""
    parts = [(line, reduced(line.series, last)) for line in lines]
    shown = axis_of(value for _, each in parts for part in each for _, value in part)
    remarks = []
    for line in lines:
        bad = sum(not math.isfinite(value) for value in line.series.values)
        if bad:
            remarks.append(f"{line.name}: {bad} of {len(line.series.values)} values are not finite")
    if shown is None:
        return Plot("", (*remarks, "no finite value"))
    if shown.is_cut:
        values = [value for line in lines for value in line.series.values if math.isfinite(value)]
        remarks.append(f"outliers are cut off: the values go from {min(values):.4g} to {max(values):.4g}")
    if shown.is_log:
        remarks.append("logarithmic axis")
    body = [_frame(shown, Axis(0.0, max(last, 1.0)))]
    for line, each in parts:
        body += [_drawn(line, [(_x(i / max(last, 1.0)), _y(shown.place(value))) for i, value in part]) for part in each]
    label = escape(f"{title} by iteration")
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(body)}</svg>'
    return Plot(svg, tuple(remarks))


def _drawn(line: Line, points: Sequence[tuple[float, float]]) -> str:
    """Return a line, or a dot for a single point."""
    title = f"<title>{escape(line.name)}</title>"
    if len(points) == 1:
        (x, y), *_ = points
        return f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">{title}</circle>'
    return f'<polyline class="line {line.style}" points="{polyline(points)}">{title}</polyline>'


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _y(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _frame(values: Axis, iterations: Axis) -> str:
    """Return grid lines and their texts."""
    parts = []
    for value in values.ticks():
        y = _y(values.place(value))
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick_text(value)}</text>')
    for value in iterations.ticks():
        x = _x(iterations.place(value))
        anchor = "end" if x > WIDTH - RIGHT - 12 else "middle"
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{tick_text(value)}</text>')
    return "".join(parts)
