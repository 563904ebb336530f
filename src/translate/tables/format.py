"""Tables as Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Sequence

from translate.metrics.protocols import PROTOCOLS
from translate.tables.collect import Cell, Row, Table

ARROWS = {"lower": "\N{DOWNWARDS ARROW}", "higher": "\N{UPWARDS ARROW}"}
OF_THE_PAPER = "paper: "
_LATEX = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_HEAD = ("experiment", "checkpoint", "networks", "iteration", "seeds")


def cell_text(cell: Cell, plus_minus: str = "\N{PLUS-MINUS SIGN}") -> str:
    """Return mean and spread, with two significant digits of the spread.

    >>> cell_text(Cell((13.5, 13.9)), "+-"), cell_text(Cell((0.4515,))), cell_text(Cell((7.0, 7.0)), "+-")
    ('13.70 +- 0.28', '0.4515', '7.000 +- 0.000')
    """
    spread = cell.spread
    if spread is None:
        return f"{cell.mean:.4g}"
    if not spread:
        digits = max(0, 3 - math.floor(math.log10(abs(cell.mean) or 1)))
    else:
        digits = max(0, 1 - math.floor(math.log10(spread)))
    return f"{cell.mean:.{digits}f} {plus_minus} {spread:.{digits}f}"


def best_rows(table: Table, score: str) -> set[int]:
    """Return the rows with the best mean of a score; none for a single row or an unknown better direction."""
    means = {k: row.cells[score].mean for k, row in enumerate(table.rows) if score in row.cells}
    if len(means) < 2 or score not in table.better:
        return set()
    top = (min if table.better[score] == "lower" else max)(means.values())
    return {k for k, mean in means.items() if mean == top}


def _fixed(row: Row) -> list[str]:
    iterations = "-".join(str(n) for n in dict.fromkeys((row.iterations[0], row.iterations[-1])))
    return [row.name, row.checkpoint, row.networks, iterations, ", ".join(map(str, row.seeds))]


def _notes(table: Table) -> list[str]:
    known = PROTOCOLS.get(table.protocol)
    notes = [f"protocol {table.protocol}{f': {known.about}' if known else ''}"]
    if any(len(row.seeds) > 1 for row in table.rows):
        notes.append("mean \N{PLUS-MINUS SIGN} standard deviation over the seeds (of a sample, n - 1)")
    if table.source:
        notes.append(f"columns marked 'paper' are scores that the paper reports, not measured here: {table.source}")
    return [*notes, *table.notes]


def _columns(table: Table) -> list[str]:
    arrows = {name: f" {ARROWS[way]}" for name, way in table.better.items() if way in ARROWS}
    return [
        *_HEAD,
        *(f"{name}{arrows.get(name, '')}" for name in table.scores),
        *(f"{OF_THE_PAPER}{name}" for name in table.reported),
    ]


def markdown(table: Table) -> str:
    """Return a table as Markdown, its protocol and notes below."""
    best = {name: best_rows(table, name) for name in table.scores}
    lines = [_line(_columns(table)), _line(["---"] * len(_columns(table)))]
    for k, row in enumerate(table.rows):
        cells = []
        for name in table.scores:
            text = cell_text(row.cells[name]) if name in row.cells else "-"
            cells.append(f"**{text}**" if k in best[name] else text)
        lines.append(_line([*_fixed(row), *cells, *(_reported(row, name) for name in table.reported)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(table))]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _reported(row: Row, name: str) -> str:
    return f"{row.reported[name]:g}" if name in row.reported else "-"


def latex(table: Table) -> str:
    """Return a table as LaTeX for the package booktabs, its protocol and notes as comments above."""
    best = {name: best_rows(table, name) for name in table.scores}
    arrows = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}
    heads = [_escaped(head) for head in _HEAD]
    heads += [_escaped(name) + arrows.get(table.better.get(name, ""), "") for name in table.scores]
    heads += [_escaped(f"{OF_THE_PAPER}{name}") for name in table.reported]
    lines = [f"% {note}" for note in _notes(table)]
    lines += [rf"\begin{{tabular}}{{lllll{'r' * (len(heads) - len(_HEAD))}}}", r"\toprule", _row(heads), r"\midrule"]
    for k, row in enumerate(table.rows):
        cells = []
        for name in table.scores:
            text = cell_text(row.cells[name], r"$\pm$") if name in row.cells else "--"
            cells.append(rf"\textbf{{{text}}}" if k in best[name] else text)
        lines.append(
            _row([*map(_escaped, _fixed(row)), *cells, *(_reported(row, n).replace("-", "--") for n in table.reported)])
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text.replace("\\", "/"))


def comma_separated(table: Table) -> str:
    """Return a table as CSV: mean, standard deviation and values of every score, then the scores of the paper."""
    heads = [*_HEAD, "protocol"]
    for name in table.scores:
        heads += [f"{name}: mean", f"{name}: standard deviation", f"{name}: values"]
    heads += [f"{OF_THE_PAPER}{name}" for name in table.reported]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    for row in table.rows:
        cells: list[object] = [*_fixed(row), table.protocol]
        for name in table.scores:
            cell = row.cells.get(name)
            if cell is None:
                cells += ["", "", ""]
            else:
                spread = "" if cell.spread is None else cell.spread
                cells += [cell.mean, spread, " ".join(str(value) for value in cell.values)]
        writer.writerow([*cells, *(row.reported.get(name, "") for name in table.reported)])
    return file.getvalue()
