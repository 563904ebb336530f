"""The command `doctor`: examine a data set, a run or the installation, and say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.commands.arguments import Command, arg, overrides
from translate.commands.completion import run_folders
from translate.commands.evaluate import default_cache
from translate.errors import ConfigError, Problem, UserError
from translate.runs.folder import RunFolder
from translate.sizes import ImageSize

if TYPE_CHECKING:
    from translate.config.datasets import OpenDatasets
    from translate.doctor.report import Report

PROBLEMS = 1
"""The exit code when a report has problems."""


@dataclass(frozen=True)
class Arguments:
    """The subject of the examination, and where the report goes."""

    folder: tuple[str, ...] = arg(
        (), kind="positional", metavar="FOLDER", help="a folder of images: its layout is recognized"
    )
    run: Path | None = arg(None, metavar="RUN_FOLDER", help="examine a run", values=run_folders, is_run=True)
    measure: bool = arg(
        True, help="train a few iterations to estimate the time and memory of the whole run; nothing is kept"
    )
    json: Path | None = arg(None, metavar="FILE", help="also write the report, with all names, to a file")
    overrides: tuple[str, ...] = overrides(
        "the data, as for train: data=folder data.root=photos; with model= and other settings, these are checked too"
    )


def run(arguments: Arguments) -> int:
    """Examine and print the report; return 1 if it has problems, else 0."""
    subjects = [bool(arguments.folder), arguments.run is not None, bool(arguments.overrides)]
    if sum(subjects) > 1 or len(arguments.folder) > 1:
        raise UserError(key="doctor", expected="one of FOLDER, run=RUN_FOLDER and data=... with its settings")
    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        raise UserError(f"the folder {arguments.json.parent} does not exist", key="json")
    if arguments.run is not None:
        RunFolder(arguments.run).require_run()
    if arguments.folder and not Path(arguments.folder[0]).expanduser().is_dir():
        raise UserError(f"there is no folder {arguments.folder[0]}", key="doctor", fix="give a folder of images")
    report = _report(arguments)
    print(report.text())
    if arguments.json is not None:
        report.write(arguments.json)
    return PROBLEMS if report.has_problems() else 0


def _report(arguments: Arguments) -> Report:
    if arguments.run is not None:
        from translate.doctor.run.examine import examine

        return examine(RunFolder(arguments.run))
    if arguments.folder:
        return _data(_recognized(arguments.folder[0]), arguments.measure)
    if arguments.overrides:
        return _data(list(arguments.overrides), arguments.measure)
    from translate.doctor import installation
    from translate.doctor.report import Report

    report = Report("installation")
    installation.examine(report, default_cache())
    return report


# --- data ----------------------------------------------------------------------------------------------------


def _recognized(folder: str) -> list[str]:
    """Return the overrides for a folder of images, by its layout."""
    from translate.config.overrides import in_quotes
    from translate.doctor import layout
    from translate.doctor.scan import scan

    root = str(Path(folder).expanduser().absolute())
    found = scan(root)
    kind = layout.recognize(found, layout.usual_aspect(found))
    return [f"data={kind}", f"data.root={_plain_or_quoted(folder, in_quotes)}"]


def _plain_or_quoted(text: str, quote: Any) -> str:
    plain = all(sign.isalnum() or sign in "/._-~" for sign in text)
    return text if plain else quote(text)


def _data(words: Sequence[str], measure: bool) -> Report:
    """Return the report on the data of a command line."""
    from translate.config.binding import coerced
    from translate.config.command_line import parsed_words
    from translate.config.compose import compose
    from translate.config.datasets import open_datasets
    from translate.config.tree import plain
    from translate.doctor import dataset
    from translate.doctor.image_files import median_side
    from translate.doctor.report import Report
    from translate.doctor.scan import scan

    own, config_dir = parsed_words(words)
    problems: list[Problem] = []
    tree = compose(own, config_dir=config_dir, problems=problems)
    node = {} if tree is None else plain(tree, [], only="data").get("data") or {}
    if tree is None or problems:
        raise ConfigError(problems)
    sides = coerced(node.get("image_size"), "SizeLike", "data.image_size", problems)
    if problems:
        raise ConfigError(problems)
    size = ImageSize.of(sides)
    folder = dataset.folder_of(node)
    if folder is not None and not Path(folder).is_dir():
        open_datasets(tree, problems)  # says it best
        raise ConfigError(problems or [Problem("there is no such folder", key="data.root", found=folder)])
    kind = next((word.partition("=")[2] for word in own if word.startswith("data=")), str(node.get("name")))
    datasets = open_datasets(tree, problems)
    found = None if folder is None else scan(folder)
    report = Report(folder or kind)
    chosen = any(word.lstrip("+").startswith(("data.image_size=", "model=")) for word in own)
    bad = float(node["max_bad_fraction"])
    mistakes = list(map(str, problems))
    result = dataset.examine(report, found, kind, datasets, size if chosen else None, bad, mistakes)
    if datasets is not None:
        side = float(min(size)) if result is None else median_side(result)
        _advise(report, own, config_dir, kind, datasets, side, size, measure)
    return report


def _advise(
    report: Report,
    own: Sequence[str],
    config_dir: str | None,
    kind: str,
    datasets: OpenDatasets,
    side: float,
    shape: ImageSize,
    measure: bool,
) -> None:
    """Add the command line to train with, and its measured cost; a model that the user names is kept."""
    import torch

    from translate.config.compose import load
    from translate.doctor import advice, cost
    from translate.doctor.report import size_in_words

    if any(word.startswith("model=") for word in own):
        advised: advice.Advice | None = advice.Advice(tuple(own), ("the model and the settings are yours",))
    else:
        gpu = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
        advised = advice.advise(advice.of_dataset(datasets.train, kind, own, side, shape), gpu)
    if advised is None:
        return
    section = report.section("Cost of training")
    try:
        config = load(advised.words, config_dir)
    except UserError as error:
        for problem in error.problems:
            section.problem(f"training refuses this configuration: {problem}")
        return
    report.command, report.reasons = advised.command, list(advised.reasons)
    if config.data.cache is not None:
        count = len(datasets.train) + len(datasets.val)
        section.fact(
            "disk", f"{size_in_words(cost.disk_of_cache(count, config))} of decoded images in {config.data.cache}"
        )
    if measure:
        with _quiet():
            cost.measure(config, datasets, section)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the messages of a run that is only a measurement off the terminal."""
    import logging

    logger = logging.getLogger("translate")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


COMMAND = Command(
    "doctor",
    "Examine a data set, a run or the installation, and name problems with their fixes.",
    Arguments,
    run,
    examples=(
        ("doctor", "the installation: versions, device, extras, disk"),
        ("doctor photos/", "a folder of images: layout, damaged and repeated images, and the command to train with"),
        (
            "doctor data=folder data.root=photos model=cyclegan",
            "whether this model can train on this data, and how long",
        ),
        ("doctor run=runs/stargan_v2/2026-01-31_12-00-00", "a run: losses, mode collapse, speed, what to try next"),
    ),
    notes="The exit code is 1 if the report has problems, 0 if it has none or only warnings and notes. Nothing is "
    "changed: fixes are yours to apply.",
)
