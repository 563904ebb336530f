"""The command `table`: write tables of the scores of runs, one for each protocol, and a page that compares the runs."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate import __version__
from translate.commands.arguments import Command, arg, to_words
from translate.commands.completion import run_folders
from translate.errors import UserError
from translate.files.writing import atomic_write
from translate.runs.folder import BEST, LAST

if TYPE_CHECKING:
    from translate.tables.collect import Table
    from translate.tables.comparison.experiments import Experiment
    from translate.tables.comparison.sections import Translations
    from translate.tables.reported import Paper
    from translate.tables.run_scores import RunScores


def papers(words: Sequence[str] = ()) -> dict[str, Path]:
    """Return the shipped files of reported scores by name."""
    from translate.config.search_path import conf_folders

    return {path.stem: path for _, folder in conf_folders() for path in sorted((folder / "paper").glob("*.yaml"))}


@dataclass(frozen=True)
class Arguments:
    """The runs, the selection of scores, and the folder of the tables."""

    runs: tuple[str, ...] = arg(
        kind="positional",
        metavar="RUNS ...",
        help="run folders, folders of runs, or patterns: runs/stargan_v2 'runs/*/2026-*'",
        values=run_folders,
    )
    to: Path = arg(
        Path("tables"), metavar="FOLDER", writes="folder", help="the folder of <protocol>.md, .tex, .csv and .png"
    )
    score: tuple[str, ...] = arg(
        (), metavar="NAME", repeat=True, help="only this score, such as FID or 'FID, latent'; repeatable"
    )
    checkpoint: tuple[str, ...] = arg(
        (), metavar="last|best|N", repeat=True, help="only the rows of this checkpoint; repeatable"
    )
    paper: str | None = arg(
        None,
        metavar="NAME|FILE.yaml",
        help="add columns with the reported scores of a paper",
        values=papers,
        listed=True,
    )
    html: Path | None = arg(
        None,
        metavar="FILE.html",
        writes="file",
        help="also one page with scores, curves, sample grids and differences of configurations",
    )
    input: tuple[str, ...] = arg(
        (),
        metavar="FILE|FOLDER|PATTERN",
        repeat=True,
        help="images that the page shows translated by the last checkpoint of each experiment; repeatable",
    )


def run(arguments: Arguments) -> int:
    """Write the tables of the runs that the words name, and print them; return the exit code."""
    from translate.tables import collect, reported, run_scores

    if arguments.input and arguments.html is None:
        raise UserError("translations stand on the page alone", key="input", fix="add html=report.html")
    paper = reported.read(_paper(arguments.paper)) if arguments.paper else None
    folders = run_scores.folders(arguments.runs)
    of_tasks = {*arguments.score, *(paper.scores() if paper is not None else ())}
    measured = [each for folder in folders for each in run_scores.scores_of_run(folder, of_tasks)]
    selected, hidden = _of_checkpoints(arguments.checkpoint, measured)
    if not selected and (arguments.html is None or arguments.checkpoint):
        which = " of this checkpoint" if arguments.checkpoint else ""
        raise UserError(
            f"none of the {len(folders)} runs has scores{which}",
            key="table",
            fix="python -m translate evaluate run=RUN_FOLDER",
        )
    _check_scores(arguments.score, selected)
    problem = _write(arguments.to, collect.tables(selected, arguments.score, paper))
    if hidden:
        print(f"{len(hidden)} evaluations within runs are left out; checkpoint={hidden[0]} shows one of them")
    silent = len(folders) - len({each.folder for each in selected})
    if silent:
        print(f"{silent} of {len(folders)} runs have no such scores and are left out")
    if problem is not None:
        print(problem)
    if arguments.html is not None:
        _write_page(arguments, folders, measured, selected, paper)
    return 0


def _write(place: Path, tables: "Sequence[Table]") -> UserError | None:
    """Write and print tables; return the problem of plots, if they cannot be drawn."""
    from translate.tables import format, plot

    problem = None
    for table in tables:
        place.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^\w.-]", "_", table.protocol)
        text = format.markdown(table)
        atomic_write(place / f"{stem}.md", text)
        atomic_write(place / f"{stem}.tex", format.latex(table))
        atomic_write(place / f"{stem}.csv", format.comma_separated(table))
        written = ["md", "tex", "csv"]
        try:
            plot.draw(table, place / f"{stem}.png")
            written.append("png")
        except UserError as error:
            problem = error
        print(f"{text}\n{', '.join(f'{place / stem}.{ending}' for ending in written)}\n")
    return problem


def _write_page(
    arguments: Arguments,
    folders: Sequence[Path],
    measured: "Sequence[RunScores]",
    selected: "Sequence[RunScores]",
    paper: "Paper | None",
) -> None:
    """Write the page of the runs, and print its path and size."""
    from translate.tables import collect
    from translate.tables.comparison import experiments, page, run_facts

    assert arguments.html is not None
    runs = run_facts.read(folders, measured)
    shown = experiments.experiments_of(runs)
    translations = [_translations(arguments.input, each) for each in shown] if arguments.input else []
    tables = collect.tables(selected, arguments.score, paper, collect.labels_of(runs))
    made_by = f"translate {__version__}: python -m translate {shlex.join(['table', *to_words(COMMAND, arguments)])}"
    content = page.page(shown, tables, made_by, translations).encode("utf-8")
    atomic_write(arguments.html, content)
    print(f"{arguments.html}: {len(runs)} runs, {len(content) / 1e6:.1f} MB")


def _translations(places: tuple[str, ...], experiment: "Experiment") -> "Translations":
    """Translate images by the last checkpoint of the first run of an experiment; a run that cannot is a sentence."""
    from io import BytesIO

    from PIL import Image

    from translate.commands import grid
    from translate.commands.weights import translator_of
    from translate.tables.comparison.sections import Translations

    words = grid.Arguments(weights=str(experiment.runs[0].folder), input=places)
    grid.source_paths(words)
    images = []
    try:
        translator = translator_of(words, words.device)
        with grid.source_files(words, translator) as sources:
            for drawn in grid.draw(words, translator, sources, []):
                file = BytesIO()
                Image.fromarray(drawn().pixels()).save(file, "PNG")
                images.append(file.getvalue())
    except UserError as error:
        return Translations(experiment, tuple(images), str(error))
    return Translations(experiment, tuple(images))


def _of_checkpoints(wanted: Sequence[str], found: "Sequence[RunScores]") -> "tuple[list[RunScores], list[str]]":
    """Return the scores of the wanted checkpoints, and the checkpoints that are left out though nobody asked so.

    Without wanted ones, iterations are left out where a run has the same protocol's scores of its last checkpoint.
    """
    if wanted:
        numbers = {number.zfill(6) if number.isdigit() else number for number in wanted}
        return [each for each in found if each.checkpoint in numbers], []
    ended = {(each.folder, each.protocol) for each in found if each.checkpoint == LAST}
    hidden = [each for each in found if each.checkpoint not in (LAST, BEST) and (each.folder, each.protocol) in ended]
    return [each for each in found if each not in hidden], [each.checkpoint for each in hidden]


def _paper(named: str) -> Path:
    """Return the file of reported scores, by its path or the name of a shipped one."""
    known = papers()
    if named in known:
        return known[named]
    if not Path(named).is_file():
        raise UserError("unknown file", key="paper", found=named, known=known)
    return Path(named)


def _check_scores(wanted: Sequence[str], found: "Sequence[RunScores]") -> None:
    names = list(dict.fromkeys(name for each in found for name in each.scores))
    for name in wanted:
        known = list(dict.fromkeys([*names, *(each.partition(", ")[0] for each in names)]))
        if name not in known:
            raise UserError("no run has this score:", key="score", found=name, known=known)


COMMAND = Command(
    "table",
    "Compare the scores of runs: mean and standard deviation over seeds.",
    Arguments,
    run,
    examples=(
        ("table runs/stargan_v2", "all runs below a folder"),
        ("table runs/stargan_v2 paper=stargan_v2_table_1 to=tables", "with the reported scores of the paper"),
        ("table runs/stargan_v2 html=report.html", "and one page to look at: scores, curves, grids, differences"),
        (
            "table runs/ladder paper=ladder",
            "last and best of the experiments of docs/ladder.md, and whether they are as expected",
        ),
    ),
    notes="A row is an experiment: runs whose configurations differ only in the seed. A table contains one protocol. "
    "Evaluations within a run are rows if checkpoint=N names them.",
)
