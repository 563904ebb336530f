"""The command `table`: run folders in, a table a protocol out."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from translate.config.search_path import conf_folders
from translate.errors import UserError, among

if TYPE_CHECKING:
    from translate.tables.collect import Measured

HELP = """\
  RUNS                   run folders, folders of runs, or patterns: runs/stargan_v2 'runs/*/2026-*'
  to=FOLDER              where <protocol>.md, .tex, .csv and .png are written; else tables
  figure=FID             only these figures; may be given again, with a mode: figure='FID, latent'
  checkpoint=last        only these rows: last, best or an iteration
  paper=FILE.yaml        published figures in columns of their own; shipped: {papers}

  A row is an experiment: runs whose configurations agree without the seed. Two protocols never share a table."""

KEYS = ("to", "figure", "checkpoint", "paper")


def papers() -> dict[str, Path]:
    """Return the files of published figures by name."""
    return {path.stem: path for _, folder in conf_folders() for path in sorted((folder / "paper").glob("*.yaml"))}


def run(words: Sequence[str]) -> int:
    """Write the tables of the runs that the words name, and print them; return the exit code."""
    runs, chosen = read(words)
    from translate.tables import collect, format, plot

    paper = collect.read_paper(_paper(chosen["paper"][-1])) if chosen["paper"] else None
    folders = collect.folders(runs)
    found = [each for folder in folders for each in collect.measured(folder)]
    if chosen["checkpoint"]:
        found = [each for each in found if each.checkpoint in chosen["checkpoint"]]
    if not found:
        raise UserError(
            f"table: none of the {len(folders)} runs holds figures"
            f"{' of this checkpoint' if chosen['checkpoint'] else ''}; measure them by: "
            "python -m translate evaluate run=RUN_FOLDER"
        )
    _check_figures(chosen["figure"], found)
    place = Path(chosen["to"][-1] if chosen["to"] else "tables")
    place.mkdir(parents=True, exist_ok=True)
    problem = None
    for table in collect.tables(found, chosen["figure"], paper):
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
        print(f"{silent} of {len(folders)} runs hold no such figures and are left out")
    if problem is not None:
        print(problem)
    return 0


def read(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the runs that are named, and what is said to each key."""
    chosen: dict[str, list[str]] = {key: [] for key in KEYS}
    runs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or Path(word).exists():
            runs.append(word)
        elif key in KEYS:
            chosen[key].append(value.strip("'\""))
        else:
            raise UserError(f"table: {key}: unknown key{among(key, KEYS)}")
    if not runs:
        raise UserError("table: expected run folders, for example: python -m translate table runs/stargan_v2")
    return runs, chosen


def _paper(named: str) -> Path:
    """Return the file of published figures that is named, by path or among those that are shipped."""
    known = papers()
    if named in known:
        return known[named]
    if not Path(named).is_file():
        raise UserError(f"paper: there is no file {named}{among(named, known)}")
    return Path(named)


def _check_figures(wanted: Sequence[str], found: "Sequence[Measured]") -> None:
    names = list(dict.fromkeys(name for each in found for name in each.figures))
    for name in wanted:
        known = list(dict.fromkeys([*names, *(each.partition(", ")[0] for each in names)]))
        if name not in known:
            raise UserError(f"figure: no run has measured {name!r}{among(name, known)}")


def help_text() -> str:
    """Return what `table -h` says beyond its usage."""
    return HELP.format(papers=", ".join(papers()) or "none")
