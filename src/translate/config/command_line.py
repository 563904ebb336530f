"""The words of a command line in Hydra's grammar, and the single run that they describe.

Hydra parses flags and overrides and composes the configuration. A single run is composed and checked once, and its data
set is opened once; it does not pass through ``hydra.main``. Sweeps (``-m``) are in `translate.sweeps.grid`.
"""

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from translate.config.compose import Prepared, prepare, take_named_code
from translate.config.datasets import OpenDatasets
from translate.config.length import OfLength
from translate.config.renamed import renamed_word
from translate.config.resume import as_long_as, going_on, prepare_resumed, unfinished
from translate.config.schema import RunConfig, read_yaml
from translate.config.search_path import EXPERIMENTS, groups
from translate.config.stages import STAGE, Stages, of_experiment
from translate.downloads.remote import is_address
from translate.errors import Phrase, UserError
from translate.runs import remote_runs
from translate.runs.folder import RUNS, RunFolder

PURPOSES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Flags of Hydra that exclude each other."""

REFUSED = {
    "config_name": "choose settings by experiments=NAME",
    "config_path": "name a further folder of configuration by -cd",
    "experimental_rerun": "continue a run by resume=RUN_FOLDER",
}
"""Flags of Hydra that would bypass the checks -> what to use instead."""


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line: its words with new names, and Hydra's flags."""

    words: tuple[str, ...]
    flags: Namespace

    @property
    def overrides(self) -> list[str]:
        """Return the overrides."""
        return list(self.flags.overrides)

    @property
    def config_dir(self) -> str | None:
        """Return the further folder of configuration that -cd names."""
        folder: str | None = self.flags.config_dir
        return folder

    def is_single_run(self) -> bool:
        """Return whether a single run is asked for, not a sweep nor one of Hydra's printouts."""
        flags = self.flags
        return not any((flags.multirun, flags.cfg, flags.info, flags.shell_completion, flags.hydra_help))


@dataclass(frozen=True)
class SingleRun:
    """A run that is ready to begin: checked, its folder chosen, its data sets open."""

    config: RunConfig
    folder: Path
    resume_from: Path | None  # the folder whose newest checkpoint it continues
    overrides: tuple[str, ...]
    datasets: OpenDatasets | None
    of_length: OfLength | None = None  # of a budget that is not yet converted to iterations


def parse(words: Sequence[str]) -> CommandLine:
    """Return the parsed command line, with its plug-ins activated. UserError for unknown or contradictory flags."""
    words = tuple(renamed_word(_spelled_out(word)) for word in words)
    flags = _flags(words)
    given = [f"--{purpose}" for purpose in PURPOSES if getattr(flags, purpose)]
    if len(given) > 1:
        raise UserError("these flags exclude each other", found=Phrase(" and ".join(given)), expected="one of them")
    for flag, instead in REFUSED.items():
        if getattr(flags, flag):
            raise UserError("this flag of Hydra is not supported", key=f"--{flag.replace('_', '-')}", fix=instead)
    take_named_code(flags.overrides)
    return CommandLine(words, flags)


def _flags(words: Sequence[str]) -> Namespace:
    """Return what Hydra's parser makes of words. Raises UserError where it would print its usage and exit."""

    def refuse(message: str) -> NoReturn:
        raise UserError(message, fix="write key=value for settings; --hydra-help lists Hydra's flags")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(list(words))


def single_run(line: CommandLine) -> SingleRun:
    """Return the run of a command line, composed and checked once. ConfigError with all problems; writes nothing."""
    place, overrides = _split_resume(line.overrides)
    if place is not None:
        folder = remote_runs.local(place, "resume")
        prepared = prepare_resumed(folder, overrides, line.config_dir, place)
        return SingleRun(prepared.config, folder, folder, tuple(overrides), prepared.datasets)
    prepared = prepare(line.overrides, line.config_dir)
    config, of_length = prepared.config, prepared.of_length
    folder, resume_from = place_of(config, of_length)
    if resume_from is not None and of_length is not None:
        config = as_long_as(config, read_yaml(RunFolder(resume_from).config_file), of_length)
        of_length = None
    own = tuple(word for word in line.overrides if not is_hydras(word))
    if not is_address(config.folder):
        config = replace(config, folder=str(folder))
    return SingleRun(config, folder, resume_from, own, prepared.datasets, of_length)


def configuration(words: Sequence[str]) -> RunConfig:
    """Return the checked configuration of a command line that describes a single run."""
    return _prepared(parse(words)).config


def _prepared(line: CommandLine) -> Prepared:
    place, overrides = _split_resume(line.overrides)
    if place is not None:
        return prepare_resumed(remote_runs.local(place, "resume"), overrides, line.config_dir, place)
    return prepare(line.overrides, line.config_dir)


def parsed_words(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the overrides of a command line, and the folder of configuration that -cd names."""
    line = parse(words)
    return line.overrides, line.config_dir


def is_hydras(word: str) -> bool:
    """Return whether an override is one of Hydra's own settings."""
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def _spelled_out(word: str) -> str:
    """Return `experiments=a/b/c,d` as `experiments=a/b/c,a/b/d`, the short form for several in a folder."""
    key, _, value = word.partition("=")
    if key != EXPERIMENTS or "," not in value or any(sign in value for sign in "()[]{}'\""):
        return word
    first, *rest = value.split(",")
    folder = first.rpartition("/")[0]
    options = groups()[EXPERIMENTS]
    full = [f"{folder}/{name}" if name not in options and f"{folder}/{name}" in options else name for name in rest]
    return f"{key}={','.join([first, *full])}"


def _split_resume(overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the run folder or address of ``resume=``, None for auto and null, and the other overrides."""
    chosen = [word for word in overrides if word.partition("=")[0].lstrip("+") == "resume"]
    value = chosen[-1].partition("=")[2].strip("'\"") if chosen else ""
    if value in ("", "null", "auto"):
        return None, list(overrides)
    return value, [word for word in overrides if word not in chosen]


def resumes_folder(line: CommandLine) -> bool:
    """Return whether the command line names a run folder to resume."""
    return _split_resume(line.overrides)[0] is not None


def stages_of(line: CommandLine) -> Stages | None:
    """Return the stages that a command line asks for; None for a single run, one stage or a resumed run."""
    if not line.is_single_run() and not line.flags.multirun:
        return None
    if resumes_folder(line) or any(word.lstrip("+").startswith(f"{STAGE}=") for word in line.overrides):
        return None
    return of_experiment(line.overrides, line.config_dir)


# --- the folder of a run ------------------------------------------------------------------------------------


def new_folder(name: str, ending: str = "") -> Path:
    """Return runs/<name>/<time><ending>, with a number behind it if that exists; creates nothing."""
    stem = RUNS / name / (time.strftime("%Y-%m-%d_%H-%M-%S") + ending)
    number, folder = 1, stem
    while folder.exists():
        number += 1
        folder = stem.with_name(f"{stem.name}_{number}")
    return folder


def place_of(config: RunConfig, of_length: OfLength | None = None) -> tuple[Path, Path | None]:
    """Return the folder of a single run, and the folder that it continues if ``resume=auto`` finds one."""
    if config.folder is None:
        resume_from = unfinished(config, of_length=of_length) if config.resume == "auto" else None
        return resume_from or new_folder(str(config.name)), resume_from
    run = RunFolder(config.folder)
    if is_address(config.folder):
        run = RunFolder(remote_runs.place_of(config.folder, fetches=config.resume == "auto"))
    if run.is_fresh():
        return run.path, None
    # A run that was killed before its first checkpoint has nothing to lose: the same command begins it again.
    if run.is_run() and (config.resume == "auto" or run.newest_iteration() is None):
        return run.path, going_on(config, run.path, of_length)
    raise UserError(
        f"{run} is not empty", key="folder", fix=f"name a new folder, or write resume={run} to continue its run"
    )
