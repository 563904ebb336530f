"""The sections of a comparison of runs, each as HTML."""

import base64
import shlex
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from translate.files.reading import read_bytes
from translate.tables.collect import Row, Table
from translate.tables.comparison.curves import Line, plot
from translate.tables.comparison.experiments import Difference, Experiment, differences
from translate.tables.comparison.run_facts import RunFacts, Series
from translate.tables.comparison.strips import references, strip
from translate.tables.format import ARROWS, best_rows, notes, reported_text, score_text

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_GRID = 20_000_000  # bytes of a file of a sample grid
STRIPS = (
    "side by side: a dot for the mean of each experiment, circles for its seeds, a bar for the spread; a dashed line "
    "for the source, a solid one for real images"
)
POINTS = "Each point is the mean of the records in its stretch of iterations; the axis below is the iteration."
OPEN_ROWS = 40
"""Differences that are shown without a click."""


@dataclass(frozen=True)
class Section:
    """A part of the page: the name of its anchor, its heading and its content."""

    name: str
    heading: str
    body: str


def scores(tables: Sequence[Table], experiments: Sequence[Experiment]) -> Section:
    """Return the tables of scores, a row for each score and a column for each experiment and checkpoint."""
    by_label = {experiment.label: experiment for experiment in experiments}
    body = "".join(_score_table(table, by_label) for table in tables)
    return Section(
        "scores",
        "Scores",
        body or "<p>No run has scores yet: <code>python -m translate evaluate run=RUN_FOLDER</code>.</p>",
    )


def _score_table(table: Table, experiments: Mapping[str, Experiment]) -> str:
    beside = references(table)
    styles = [experiments[row.name].style for row in table.rows]
    best = {name: best_rows(table, name) for name in table.scores}
    heads = "".join(f'<th scope="col">{_column_head(row, experiments[row.name])}</th>' for row in table.rows)
    heads += "".join(f'<th scope="col" class="ref {style}">{escape(row.name)}</th>' for row, style in beside)
    lines = []
    for name in table.scores:
        arrow = ARROWS.get(table.better.get(name, ""), "")
        cells = "".join(_cell(table, row, name, k in best[name]) for k, row in enumerate(table.rows))
        cells += "".join(f'<td class="ref">{escape(_value(row, name))}</td>' for row, _ in beside)
        drawn = f"<td>{strip(table, name, styles)}</td>"
        lines.append(f'<tr><th scope="row">{escape(name)} {arrow}</th>{drawn}{cells}</tr>')
    remarks = "".join(f"<li>{escape(note)}</li>" for note in (*notes(table), STRIPS))
    shown = _table("scores", f'<th></th><th scope="col">side by side</th>{heads}', lines)
    return f'<h3>Protocol {escape(table.protocol)}</h3>{shown}<ul class="notes">{remarks}</ul>'


def _column_head(row: Row, experiment: Experiment) -> str:
    iterations = "-".join(f"{number:,}" for number in dict.fromkeys((*row.iterations[:1], *row.iterations[-1:])))
    seeds = f"seed{'s' * (len(row.seeds) > 1)} {', '.join(map(str, row.seeds))}"
    facts = f"{escape(row.checkpoint)}, {escape(row.networks)}<br>iteration {iterations}<br>{seeds}"
    return f"{experiment.chip}<small>{facts}</small>"


def _cell(table: Table, row: Row, name: str, is_best: bool) -> str:
    """Return the cell of a score, with the reported and the expected score below."""
    extra = []
    if reported := reported_text(table, row, name):
        extra.append(f"paper {reported}")
    if name in row.expected:
        extra.append(f"expected {row.expected[name]}")
    below = "".join(f"<small>{escape(text)}</small>" for text in extra)
    text = escape(score_text(row, name))
    return f'<td class="best"><b>{text}</b>{below}</td>' if is_best else f"<td>{text}{below}</td>"


def _value(row: Row, name: str) -> str:
    return f"{row.cells[name].mean:.3g}" if name in row.cells else "-"


def curves(experiments: Sequence[Experiment]) -> Iterator[Section]:
    """Yield the curves of the scores during training, if runs have any, and those of the recorded terms."""
    of_scores = _plots(experiments, lambda run: run.scores)
    if of_scores:
        yield Section("during", "Scores during training", of_scores)
    body = _plots(experiments, lambda run: run.terms)
    explanation = (
        "<p>Each point is the mean of the records in its stretch of iterations; the axis below is the iteration.</p>"
    )
    yield Section("curves", "Curves", explanation + body if body else "<p>No run has recorded terms yet.</p>")


def _plots(experiments: Sequence[Experiment], series_of: Callable[[RunFacts], Mapping[str, Series]]) -> str:
    """Return the plots of all series, by the first part of their names."""
    groups: dict[str, dict[str, list[Line]]] = {}
    last = 1.0
    for experiment in experiments:
        for run in experiment.runs:
            for name, series in series_of(run).items():
                group = name.partition("/")[0] if "/" in name else ""
                line = Line(series, experiment.style, experiment.run_title(run))
                groups.setdefault(group, {}).setdefault(name, []).append(line)
                last = max(last, series.iterations[-1])
    parts = []
    for group, of_names in sorted(groups.items(), key=lambda item: item[0] == ""):
        if group:
            parts.append(f"<h3>{escape(group)}</h3>")
        figures = "".join(_figure(name.partition("/")[2] or name, lines, last) for name, lines in of_names.items())
        parts.append(f'<div class="plots">{figures}</div>')
    return "".join(parts)


def _figure(title: str, lines: Sequence[Line], last: float) -> str:
    drawn = plot(title, lines, last)
    remarks = "".join(f"<small>{escape(remark)}</small>" for remark in drawn.remarks)
    return f"<figure><figcaption>{escape(title)}{remarks}</figcaption>{drawn.svg}</figure>"


def grids(experiments: Sequence[Experiment]) -> Section:
    """Return the newest sample grids side by side, those of the same images together.

    The run of the first seed of each experiment is shown at once, the others after a click.
    """
    groups: dict[str, dict[str, list[tuple[Experiment, RunFacts]]]] = {}
    for experiment in experiments:
        for run in experiment.runs:
            for name in run.grids:
                groups.setdefault(run.sources, {}).setdefault(name, []).append((experiment, run))
    parts = []
    for number, of_names in enumerate(groups.values(), 1):
        if len(groups) > 1:
            parts.append(f"<p>Images {number} of {len(groups)}: these runs have held-out images of their own.</p>")
        for name, members in of_names.items():
            first = [(experiment, run) for experiment, run in members if run is _first(experiment, members)]
            others = [pair for pair in members if pair not in first]
            parts.append(f"<h3>{escape(name)}</h3>{_row_of_grids(first, name)}")
            if others:
                parts.append(_details(f"other seeds: {len(others)}", _row_of_grids(others, name)))
    explanation = "<p>The sources of grids that stand together are the same images. Click on a grid to enlarge it.</p>"
    body = explanation + "".join(parts) if parts else "<p>No run has sample grids yet.</p>"
    return Section("grids", "Sample grids", body)


def _row_of_grids(members: Sequence[tuple[Experiment, RunFacts]], name: str) -> str:
    shown = "".join(_grid(experiment, run, name) for experiment, run in members)
    return f'<div class="grids">{shown}</div>'


def _first(experiment: Experiment, members: Sequence[tuple[Experiment, RunFacts]]) -> RunFacts:
    return next(run for other, run in members if other is experiment)


def _grid(experiment: Experiment, run: RunFacts, name: str) -> str:
    grid = run.grids[name]
    alt = f"sample grid {name} of {experiment.run_title(run)}"
    content = read_bytes(grid.path, LARGEST_GRID)
    if not content.startswith(PNG) or len(content) < 24:
        image = f"<em>{escape(grid.path.name)} is not a PNG file</em>"
    else:
        image = _image(content, alt)
    return _image_figure(f"{experiment.chip} seed {run.seed}, iteration {grid.iteration:,}", image)


def _image(png: bytes, alt: str) -> str:
    """Return an image that a click enlarges."""
    width, height = struct.unpack(">II", png[16:24])
    data = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    image = f'<img alt="{escape(alt)}" width="{width}" height="{height}" src="{data}">'
    return f'<label><input type="checkbox" aria-label="enlarge">{image}</label>'


def _image_figure(caption: str, content: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{content}</figure>"


@dataclass(frozen=True)
class Translations:
    """Grids, PNG files, of the same images by the first run of an experiment, and why there are no more, if so."""

    experiment: Experiment
    images: tuple[bytes, ...]
    problem: str = ""


def translations(drawn: Sequence[Translations]) -> Section:
    """Return the translations of the same images by all experiments."""
    figures = []
    for each in drawn:
        chip, run = each.experiment.chip, each.experiment.runs[0]
        caption = f"{chip} seed {run.seed}, last checkpoint"
        alt = f"translations of {each.experiment.run_title(run)}"
        figures += [_image_figure(caption, _image(image, alt)) for image in each.images]
        if each.problem:
            figures.append(_image_figure(caption, f"<p>{escape(each.problem)}</p>"))
    return Section("translations", "Translations", f'<div class="grids">{"".join(figures)}</div>')


def configuration(experiments: Sequence[Experiment]) -> Section:
    """Return the keys in which the experiments differ, those of experiments with one model first."""
    of_one_model, of_models, neutral = differences(experiments)
    parts = []
    if len(experiments) == 1:
        parts.append("<p>A single experiment: its runs differ in the seed alone.</p>")
    if of_one_model:
        table = _difference_table(of_one_model, experiments)
        parts.append(table if len(of_one_model) <= OPEN_ROWS else _details(f"{len(of_one_model)} keys differ", table))
    for rows, which in ((of_models, "differ between models alone"), (neutral, "differ, and do not change results")):
        if rows:
            parts.append(_details(f"{len(rows)} keys {which}", _difference_table(rows, experiments)))
    return Section("configuration", "Configuration", "".join(parts))


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def _difference_table(rows: Sequence[Difference], experiments: Sequence[Experiment]) -> str:
    heads = "".join(f'<th scope="col">{experiment.chip}</th>' for experiment in experiments)
    lines = []
    for row in rows:
        cells = "".join(f"<td>{escape(value)}</td>" for value in row.values)
        lines.append(f'<tr><th scope="row"><code>{escape(row.key)}</code></th>{cells}</tr>')
    return _table("keys", f"<th></th>{heads}", lines)


def _table(style: str, head: str, lines: Sequence[str]) -> str:
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll"><table class="{style}">{body}</table></div>'


def runs(experiments: Sequence[Experiment]) -> Section:
    """Return the folder, length, speed, software, hardware and command of each run."""
    heads = ("run", "folder", "iteration", "iterations/s", "begun", "commit", "software", "hardware")
    lines, commands = [], []
    for experiment in experiments:
        for run in experiment.runs:
            name = f"{experiment.chip} seed {run.seed}"
            cells = "".join(f"<td>{escape(text)}</td>" for text in _run_cells(run))
            lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
            commands.append(f"<dt>{name}</dt><dd><code>{escape(_command(run))}</code></dd>")
    table = _table("runs", "".join(f'<th scope="col">{text}</th>' for text in heads), lines)
    return Section("runs", "Runs", f"{table}<h3>Commands</h3><dl>{''.join(commands)}</dl>")


def _run_cells(run: RunFacts) -> list[str]:
    facts = run.environment
    packages, gpus = facts.get("packages"), facts.get("gpus")
    torch = packages.get("torch", "-") if isinstance(packages, dict) else "-"
    on_gpu = ", ".join(map(str, gpus)) if isinstance(gpus, list) else ""
    return [
        str(run.folder),
        f"{run.newest_iteration:,}",
        "-" if run.speed is None else f"{run.speed:.3g}",
        str(facts.get("time", "-"))[:16].replace("T", " "),
        str(facts.get("commit") or "-")[:10],
        f"translate {facts.get('translate', '-')}, torch {torch}, Python {facts.get('python', '-')}",
        on_gpu or f"{facts.get('processor', '-')}, {facts.get('threads', '-')} threads",
    ]


def _command(run: RunFacts) -> str:
    command = run.environment.get("command")
    return shlex.join(map(str, command)) if isinstance(command, list) else "-"
