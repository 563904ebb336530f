"""A score of all rows on one line: dots for seeds, a bar for mean and spread, lines for source and real images."""

from collections.abc import Sequence
from html import escape

from translate.metrics.marks import REAL, SOURCE, UNTRAINED
from translate.tables.collect import Row, Table
from translate.tables.comparison.axes import axis_of

WIDTH, LANE, PAD = 220, 11, 6
REFERENCES = {SOURCE: "source", REAL: "real", UNTRAINED: "untrained"}
"""Row beside the models -> its class in the style sheet."""


def references(table: Table) -> list[tuple[Row, str]]:
    """Return the rows beside the models, each with its class."""
    return [(row, style) for row in table.beside for name, style in REFERENCES.items() if row.name.startswith(name)]


def strip(table: Table, score: str, styles: Sequence[str]) -> str:
    """Return the strip of a score; ``styles`` has the class of each row. The text "" if no row has the score."""
    beside = [(row, style) for row, style in references(table) if score in row.cells and style != "untrained"]
    values = [value for row in table.rows if score in row.cells for value in row.cells[score].values]
    axis = axis_of([*values, *(row.cells[score].mean for row, _ in beside)], logarithmic=False)
    if not values or axis is None:
        return ""

    def x(value: float) -> str:
        return f"{PAD + axis.place(value) * (WIDTH - 2 * PAD):.1f}"

    height = LANE * len(table.rows) + 4
    parts = []
    for row, style in beside:
        title = escape(f"{row.name}: {row.cells[score].mean:.4g}")
        parts.append(
            f'<path class="ref {style}" d="M{x(row.cells[score].mean)} 0V{height}"><title>{title}</title></path>'
        )
    for k, (row, style) in enumerate(zip(table.rows, styles, strict=True)):
        if score not in row.cells:
            continue
        cell, y = row.cells[score], 2 + LANE * (k + 0.5)
        spread = cell.spread or 0.0
        parts.append(f'<path class="lane" d="M{PAD} {y:.1f}H{WIDTH - PAD}"/>')
        parts.append(f'<path class="bar {style}" d="M{x(cell.mean - spread)} {y:.1f}H{x(cell.mean + spread)}"/>')
        parts += [f'<circle class="seed {style}" cx="{x(value)}" cy="{y:.1f}" r="2.2"/>' for value in cell.values]
        title = escape(f"{row.name}: {', '.join(f'{value:.4g}' for value in cell.values)}")
        parts.append(
            f'<circle class="dot {style}" cx="{x(cell.mean)}" cy="{y:.1f}" r="3.6"><title>{title}</title></circle>'
        )
    label = escape(f"{score} of all rows")
    return f'<svg class="strip" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
