"""A table as an image: a panel for each score, a point for each experiment, error bars over its seeds."""

from pathlib import Path

from translate.errors import UserError
from translate.files.writing import atomic_open
from translate.tables.collect import Table


def draw(table: Table, path: Path) -> None:
    """Write a PNG; UserError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UserError("plots need matplotlib", key="table", fix="pip install 'translate-gan[sweep]'") from error
    names = [name for name in table.scores if any(name in row.cells for row in table.rows)]
    places = range(len(table.rows))
    width, height = max(6.0, 0.9 * len(table.rows) + 2), 2.6 * max(1, len(names)) + 0.8
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"protocol {table.protocol}: mean and standard deviation over seeds", fontsize=10)
    panels = figure.subplots(max(1, len(names)), 1, squeeze=False, sharex=True)[:, 0]
    for panel, name in zip(panels, names, strict=False):
        present = [(k, row.cells[name]) for k, row in zip(places, table.rows, strict=True) if name in row.cells]
        panel.errorbar(
            [k for k, _ in present],
            [cell.mean for _, cell in present],
            yerr=[cell.spread or 0.0 for _, cell in present],
            fmt="o",
            capsize=4,
            label="measured",
        )
        for k, cell in present:
            panel.plot([k] * len(cell.values), cell.values, "k.", markersize=3, alpha=0.5)
        if name in table.reported:
            reported = [
                (k, each.value)
                for k, row in zip(places, table.rows, strict=True)
                for each in row.reported.get(name, ())
            ]
            panel.plot(*zip(*reported, strict=True), "D", fillstyle="none", color="tab:red", label="paper")
            panel.legend(fontsize=8)
        way = table.better.get(name)
        panel.set_ylabel(name + (f"\n({way} is better)" if way else ""), fontsize=8)
        panel.grid(alpha=0.3)
    panels[-1].set_xticks(list(places), [f"{row.name}\n{row.checkpoint}" for row in table.rows], fontsize=7)
    for label in panels[-1].get_xticklabels():
        label.set(rotation=30, ha="right")
    with atomic_open(path, durable=False) as file:
        figure.savefig(file, format="png", dpi=150)
