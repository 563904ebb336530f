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


def in_words(cell: Cell, plus_minus: str = "\N{PLUS-MINUS SIGN}") -> str:
    """Return mean and spread, as many digits as the spread says are worth it.

    >>> in_words(Cell((13.5, 13.9)), "+-"), in_words(Cell((0.4515,))), in_words(Cell((7.0, 7.0)), "+-")
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


def best_rows(table: Table, figure: str) -> set[int]:
    """Return the rows with the best mean of a figure, where it is known which way is better and there are several."""
    means = {k: row.cells[figure].mean for k, row in enumerate(table.rows) if figure in row.cells}
    if len(means) < 2 or figure not in table.better:
        return set()
    top = (min if table.better[figure] == "lower" else max)(means.values())
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
        notes.append(f"columns marked 'paper' are published figures, not measured here: {table.source}")
    return [*notes, *table.notes]


def _columns(table: Table) -> list[str]:
    arrows = {name: f" {ARROWS[way]}" for name, way in table.better.items() if way in ARROWS}
    return [
        *_HEAD,
        *(f"{name}{arrows.get(name, '')}" for name in table.figures),
        *(f"{OF_THE_PAPER}{name}" for name in table.published),
    ]


def markdown(table: Table) -> str:
    """Return a table as Markdown, its protocol and notes below."""
    best = {name: best_rows(table, name) for name in table.figures}
    lines = [_line(_columns(table)), _line(["---"] * len(_columns(table)))]
    for k, row in enumerate(table.rows):
        cells = []
        for name in table.figures:
            text = in_words(row.cells[name]) if name in row.cells else "-"
            cells.append(f"**{text}**" if k in best[name] else text)
        lines.append(_line([*_fixed(row), *cells, *(_published(row, name) for name in table.published)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(table))]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _published(row: Row, name: str) -> str:
    return f"{row.published[name]:g}" if name in row.published else "-"


def latex(table: Table) -> str:
    """Return a table as LaTeX for the package booktabs, its protocol and notes as comments above."""
    best = {name: best_rows(table, name) for name in table.figures}
    arrows = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}
    heads = [_escaped(head) for head in _HEAD]
    heads += [_escaped(name) + arrows.get(table.better.get(name, ""), "") for name in table.figures]
    heads += [_escaped(f"{OF_THE_PAPER}{name}") for name in table.published]
    lines = [f"% {note}" for note in _notes(table)]
    lines += [rf"\begin{{tabular}}{{lllll{'r' * (len(heads) - len(_HEAD))}}}", r"\toprule", _row(heads), r"\midrule"]
    for k, row in enumerate(table.rows):
        cells = []
        for name in table.figures:
            text = in_words(row.cells[name], r"$\pm$") if name in row.cells else "--"
            cells.append(rf"\textbf{{{text}}}" if k in best[name] else text)
        lines.append(
            _row(
                [*map(_escaped, _fixed(row)), *cells, *(_published(row, n).replace("-", "--") for n in table.published)]
            )
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text.replace("\\", "/"))


def comma_separated(table: Table) -> str:
    """Return a table as CSV: of every figure mean, standard deviation and the values of the seeds; then the paper's."""
    heads = [*_HEAD, "protocol"]
    for name in table.figures:
        heads += [f"{name}: mean", f"{name}: standard deviation", f"{name}: values"]
    heads += [f"{OF_THE_PAPER}{name}" for name in table.published]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    for row in table.rows:
        cells: list[object] = [*_fixed(row), table.protocol]
        for name in table.figures:
            cell = row.cells.get(name)
            if cell is None:
                cells += ["", "", ""]
            else:
                spread = "" if cell.spread is None else cell.spread
                cells += [cell.mean, spread, " ".join(str(value) for value in cell.values)]
        writer.writerow([*cells, *(row.published.get(name, "") for name in table.published)])
    return file.getvalue()
