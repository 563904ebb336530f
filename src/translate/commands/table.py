"""The command `table`: write tables of the scores of runs, one for each protocol."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate.commands.arguments import Command, arg
from translate.commands.completion import run_folders
from translate.errors import UserError

if TYPE_CHECKING:
    from translate.tables.collect import RunScores


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
    to: Path = arg(Path("tables"), metavar="FOLDER", help="the folder of <protocol>.md, .tex, .csv and .png")
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


def run(arguments: Arguments) -> int:
    """Write the tables of the runs that the words name, and print them; return the exit code."""
    from translate.tables import collect, format, plot

    paper = collect.read_paper(_paper(arguments.paper)) if arguments.paper else None
    folders = collect.folders(arguments.runs)
    found = [each for folder in folders for each in collect.scores_of_run(folder)]
    if arguments.checkpoint:
        found = [each for each in found if each.checkpoint in arguments.checkpoint]
    if not found:
        which = " of this checkpoint" if arguments.checkpoint else ""
        raise UserError(
            f"none of the {len(folders)} runs has scores{which}",
            key="table",
            fix="python -m translate evaluate run=RUN_FOLDER",
        )
    _check_scores(arguments.score, found)
    place = arguments.to
    place.mkdir(parents=True, exist_ok=True)
    problem = None
    for table in collect.tables(found, arguments.score, paper):
        stem = re.sub(r"[^\w.-]", "_", table.protocol)
        text = format.markdown(table)
        (place / f"{stem}.md").write_text(text, encoding="utf-8")
        (place / f"{stem}.tex").write_text(format.latex(table), encoding="utf-8")
        (place / f"{stem}.csv").write_text(format.comma_separated(table), encoding="utf-8")
        written = ["md", "tex", "csv"]
        try:
            plot.draw(table, place / f"{stem}.png")
            written.append("png")
        except UserError as error:
            problem = error
        print(f"{text}\n{', '.join(f'{place / stem}.{ending}' for ending in written)}\n")
    silent = len(folders) - len({each.folder for each in found})
    if silent:
        print(f"{silent} of {len(folders)} runs have no such scores and are left out")
    if problem is not None:
        print(problem)
    return 0


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
    ),
    notes="A row is an experiment: runs whose configurations differ only in the seed. A table contains one protocol.",
)
