"""Tables as Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Sequence

from translate.metrics.marks import MEANINGS, SIGNS, sign_of
from translate.metrics.protocols import PROTOCOLS
from translate.runs.folder import BEST
from translate.tables.collect import Cell, Row, Table

ARROWS = {"lower": "\N{DOWNWARDS ARROW}", "higher": "\N{UPWARDS ARROW}"}
OF_THE_PAPER = "paper: "
EXPECTED = "expected: "
_LATEX = {
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
} | {
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{DAGGER}": r"$\dagger$",
    "\N{DOUBLE DAGGER}": r"$\ddagger$",
}
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
    """Return the row with the best mean of a score, if seeds show that it is the best; else none.

    The difference to every other row is larger than both spreads together, so each row needs at least two seeds. A
    single row, or a score whose better direction is not known, has no best.
    """
    cells = {k: row.cells[score] for k, row in enumerate(table.rows) if score in row.cells}
    if len(cells) < 2 or score not in table.better:
        return set()
    top = (min if table.better[score] == "lower" else max)(cells, key=lambda k: cells[k].mean)
    spread = cells[top].spread
    for k, cell in cells.items():
        if cell.spread is None or spread is None:
            return set()
        if k != top and abs(cell.mean - cells[top].mean) <= cell.spread + spread:
            return set()
    return {top}


def score_text(row: Row, name: str) -> str:
    """Return a cell with the signs of its marks; "-" without a score."""
    if name not in row.cells:
        return "-"
    sign = sign_of(name, row.marks)
    return cell_text(row.cells[name]) + (f" {sign}" if sign else "")


def _fixed(row: Row) -> list[str]:
    iterations = "-".join(str(n) for n in dict.fromkeys((*row.iterations[:1], *row.iterations[-1:])))
    return [row.name, row.checkpoint, row.networks, iterations or "-", ", ".join(map(str, row.seeds)) or "-"]


def notes(table: Table) -> list[str]:
    """Return the sentences below a table: its protocol, the meaning of its signs, its sources."""
    known = PROTOCOLS.get(table.protocol)
    sentences = [f"protocol {table.protocol}{f': {known.about}' if known else ''}"]
    if any(len(row.seeds) > 1 for row in table.rows):
        sentences.append("mean \N{PLUS-MINUS SIGN} standard deviation over the seeds (of a sample, n - 1)")
        sentences.append("bold: better than every other row by more than both spreads together")
    for kind, sign in SIGNS.items():
        if any(name in row.marks.get(kind, ()) for row in table.rows for name in table.scores):
            sentences.append(f"{sign} for a seed {MEANINGS[kind]}")
    if table.sources:
        marks = [f"[{number}] " for number in range(1, len(table.sources) + 1)] if len(table.sources) > 1 else [""]
        sources = "; ".join(mark + source for mark, source in zip(marks, table.sources, strict=True))
        sentences.append(f"columns marked 'paper' are scores that the paper reports, not measured here: {sources}")
    if table.expected:
        sentences.append(
            "columns marked 'expected' are scores of the experiment files, and whether the mean over seeds is within "
            "their tolerance"
        )
    if any(row.checkpoint == BEST for row in table.rows):
        sentences.append(
            "best is the iteration with the best score of all that were evaluated, chosen by this score on these "
            "images: compare it with reported bests alone, and last with last"
        )
    return [*sentences, *table.notes]


def _columns(table: Table) -> list[str]:
    arrows = {name: f" {ARROWS[way]}" for name, way in table.better.items() if way in ARROWS}
    return [
        *_HEAD,
        *(f"{name}{arrows.get(name, '')}" for name in table.scores),
        *(f"{OF_THE_PAPER}{name}" for name in table.reported),
        *(f"{EXPECTED}{name}" for name in table.expected),
    ]


def markdown(table: Table) -> str:
    """Return a table as Markdown, its protocol and notes below."""
    best = {name: best_rows(table, name) for name in table.scores}
    lines = [_line(_columns(table)), _line(["---"] * len(_columns(table)))]
    for k, row in enumerate((*table.rows, *table.beside)):
        cells = []
        for name in table.scores:
            text = score_text(row, name)
            cells.append(f"**{text}**" if k in best[name] else text)
        lines.append(_line([*_fixed(row), *cells, *_beside(table, row)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(table))]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _beside(table: Table, row: Row) -> list[str]:
    """Return the cells of reported and expected scores."""
    reported = [reported_text(table, row, name) or "-" for name in table.reported]
    return [*reported, *(str(row.expected.get(name, "-")) for name in table.expected)]


def reported_text(table: Table, row: Row, name: str) -> str:
    """Return the reported scores beside a measured one, each with the number of its source; "" without any."""
    return ", ".join(
        str(each) + (f" [{table.sources.index(each.source) + 1}]" if len(table.sources) > 1 else "")
        for each in row.reported.get(name, ())
    )


def latex(table: Table) -> str:
    """Return a table as LaTeX for the package booktabs, its protocol and notes as comments above."""
    best = {name: best_rows(table, name) for name in table.scores}
    arrows = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}
    heads = [_escaped(head) for head in _HEAD]
    heads += [_escaped(name) + arrows.get(table.better.get(name, ""), "") for name in table.scores]
    heads += [_escaped(head) for head in _columns(table)[len(heads) :]]
    lines = [f"% {note}" for note in notes(table)]
    lines += [rf"\begin{{tabular}}{{lllll{'r' * (len(heads) - len(_HEAD))}}}", r"\toprule", _row(heads), r"\midrule"]
    for k, row in enumerate((*table.rows, *table.beside)):
        if k == len(table.rows):
            lines.append(r"\midrule")
        cells = []
        for name in table.scores:
            text = _escaped(score_text(row, name)) if name in row.cells else "--"
            cells.append(rf"\textbf{{{text}}}" if k in best[name] else text)
        beside = ["--" if text == "-" else _escaped(text) for text in _beside(table, row)]
        lines.append(_row([*map(_escaped, _fixed(row)), *cells, *beside]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text.replace("\\", "/"))


def comma_separated(table: Table) -> str:
    """Return a table as CSV: mean, standard deviation and values of every score, then reported and expected scores."""
    heads = [*_HEAD, "protocol"]
    for name in table.scores:
        heads += [f"{name}: mean", f"{name}: standard deviation", f"{name}: values"]
    heads += [f"{OF_THE_PAPER}{name}" for name in table.reported]
    heads += [f"{EXPECTED}{name}" for name in table.expected]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    for row in (*table.rows, *table.beside):
        cells: list[object] = [*_fixed(row), table.protocol]
        for name in table.scores:
            cell = row.cells.get(name)
            if cell is None:
                cells += ["", "", ""]
            else:
                spread = "" if cell.spread is None else cell.spread
                cells += [cell.mean, spread, " ".join(str(value) for value in cell.values)]
        writer.writerow([*cells, *("" if text == "-" else text for text in _beside(table, row))])
    return file.getvalue()
