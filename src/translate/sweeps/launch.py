"""From a command line in Hydra's grammar to checked jobs, run through Hydra's own machinery.

Sweeps, sweepers, launchers, --cfg, --info, -cd and completion stay Hydra's. What we add comes before: every
job is composed and checked before the first begins, and no folder is made for a configuration that is wrong.

A single run is executed in this process. The runs of a sweep (-m) are planned here and executed as processes of their
own, wherever the launcher puts them; the same command given again goes on with the same sweep (see `jobs`).
"""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

import hydra_plugins.translate_launchers  # noqa: F401 - gives our launchers the module that Hydra expects
from translate.config.compose import (
    ROOT,
    VERSION_BASE,
    activate_named_plugins,
    fill_name,
    finish,
    load,
    register_resolvers,
)
from translate.config.hydra_search import join_search_path
from translate.config.overrides import HydraProblem, explain, in_quotes
from translate.config.renamed import rename_in_tree, renamed_word
from translate.config.resume import (
    finished,
    going_on,
    resumed,
    same_experiment,
    unfinished,
)
from translate.config.schema import RunConfig, read_yaml
from translate.config.search_path import EXPERIMENTS, groups, shipped
from translate.errors import ConfigError, UserError
from translate.runs.folder import RUNS, RunFolder
from translate.sweeps import jobs
from translate.sweeps.launchers import LAUNCHERS as LAUNCHER_CLASSES

LAUNCHERS = "hydra_plugins.translate_launchers."
INTERRUPTED = 130

Job = Callable[[RunConfig, Path, Path | None, list[str]], int]
"""What trains: (configuration, run folder, folder to resume from, overrides) -> exit code."""


def configuration(words: Sequence[str]) -> RunConfig:
    """Return the checked configuration of a command line that describes a single run."""
    args = _parsed(words)
    folder, rest = _resume_folder(args.overrides)
    if folder is not None:
        return resumed(folder, rest, args.config_dir)
    return load(args.overrides, args.config_dir)


def _parsed(words: Sequence[str]) -> Namespace:
    """Return what Hydra's parser makes of a command line. Raises UserError where it would print its usage and exit."""

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; what is to be set reads key=value, and --hydra-help tells of Hydra's options")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(list(words))


def parsed_words(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the overrides of a command line, short ways spelled out, and what -cd says."""
    args = _parsed([_spelled_out(word) for word in words])
    return list(args.overrides), args.config_dir


def launch(words: Sequence[str], job: Job) -> int:
    """Run `job` for each run that a command line describes; return the worst exit code.

    Raises ConfigError, before anything is run or written, with the problems of all runs.
    """
    words = [_spelled_out(word) for word in words]
    args = _parsed(words)
    activate_named_plugins(args.overrides)
    purposes = ("run", "multirun", "cfg", "info", "shell_completion")
    given = [f"--{purpose}" for purpose in purposes if getattr(args, purpose)]
    if len(given) > 1:
        raise UserError(f"found {' and '.join(given)}, expected one of them; leave the others out")
    runs = _Runs(job, args.config_dir)
    if not any((args.cfg, args.info, args.shell_completion, args.hydra_help, args.experimental_rerun)):
        folder, rest = _resume_folder(args.overrides)
        if folder is not None:
            if args.multirun:
                raise UserError("resume: a single run folder cannot be resumed by -m; leave -m out, or use resume=auto")
            return job(resumed(folder, rest, args.config_dir), folder, folder, rest)
        runs.check_all(_single_runs(args))
        if args.multirun:
            return runs.sweep(words, args.overrides)
    return runs.run(words)


class _Runs:
    """The runs of one command line: checked in advance where they can be foreseen, executed by Hydra."""

    def __init__(self, job: Job, config_dir: str | None) -> None:
        self.job = job
        self.config_dir = config_dir
        self.checked: dict[tuple[str, ...], RunConfig] = {}
        self.place: Path | None = None  # the folder of the sweep, if it is one
        self.planned: list[jobs.Job] = []
        self.codes: list[int] = []
        self.mistakes: list[UserError] = []

    def check_all(self, runs: list[tuple[list[str], list[str]]]) -> None:
        """Compose and check each (Hydra's overrides, own overrides); raise one ConfigError for all."""
        problems: dict[str, list[str]] = {}
        for of_hydra, overrides in runs:
            try:
                config = load([*of_hydra, *overrides], self.config_dir)
                if len(runs) > 1 and config.folder is not None:
                    raise ConfigError(["folder: several runs cannot share one; hydra.sweep.dir=... says where they go"])
                self.checked[tuple(overrides)] = config
            except ConfigError as error:
                for problem in map(str, error.problems):
                    problems.setdefault(problem, []).append(" ".join(overrides))
        if problems:
            raise ConfigError([_with_runs(problem, where, len(runs)) for problem, where in problems.items()])

    def run(self, words: list[str]) -> int:
        """Execute what is no sweep of ours; return the exit code."""
        self._hand_to_hydra(words)
        self._raise_mistakes()
        return max(self.codes, default=0)

    def _hand_to_hydra(self, words: list[str]) -> None:
        register_resolvers()
        join_search_path()
        for launcher in LAUNCHER_CLASSES:  # Hydra's own scan does not see into an editable installation
            Plugins.instance().register(launcher)
        main = hydra.main(config_path=str(shipped("conf")), config_name=ROOT, version_base=VERSION_BASE)(self.task)
        with _as_command_line(words):
            try:
                main()
            except HydraProblem as error:
                raise ConfigError([explain(error)]) from error

    def _raise_mistakes(self) -> None:
        if len(self.mistakes) == 1:
            raise self.mistakes[0]
        if self.mistakes:
            raise ConfigError([problem for mistake in self.mistakes for problem in mistake.problems])

    def task(self, tree: DictConfig) -> "int | jobs.Job | None":
        """Do with one run that Hydra has composed what is to be done: train it here, plan it, or start its process.

        Of a sweep, our launchers get the plan; any other launcher of Hydra's has brought us where the job is to run.
        """
        context = HydraConfig.get()
        overrides = tuple(str(override) for override in context.overrides.task)
        try:
            config = self.checked.get(overrides)
            if config is None:  # a sweeper has thought of it just now
                rename_in_tree(tree)
                fill_name(tree, context.runtime.choices)
                config = finish(tree)
                assert config is not None
            if context.mode == RunMode.MULTIRUN:
                planned = self._plan(config, context, overrides)
                ours = str(context.launcher.get("_target_")).startswith(LAUNCHERS)
                return planned if planned is None or ours else jobs.execute(planned, tell=print)
            folder, resume_from = place_of(config)
            # Lightning must not take Hydra's command line for that of a further process.
            HydraConfig.instance().cfg = None
            code = self.job(replace(config, folder=str(folder)), folder, resume_from, list(overrides))
        except UserError as mistake:
            self.mistakes.append(mistake)
            return None
        self.codes.append(code)
        return code

    # --- sweeps ---------------------------------------------------------------------------------------------

    def sweep(self, words: list[str], overrides: Sequence[str]) -> int:
        """Execute a sweep, or what is left of it; return the worst exit code of its runs."""
        command = [word for word in overrides if not _places(word)]
        if self.config_dir:
            command += ["-cd", self.config_dir]
        chosen = [word.partition("=")[2].strip("'\"") for word in overrides if word.startswith("hydra.sweep.dir=")]
        self.place = Path(chosen[-1]) if chosen else self._begun(command) or self._new_place()
        before = jobs.command_of(self.place)
        if before not in (None, command):
            raise UserError(
                f"hydra.sweep.dir: {self.place} holds the runs of another command ({' '.join(before or [])}); name a "
                "new folder"
            )
        jobs.begin(self.place, command)
        with jobs.claimed(self.place):
            jobs.say(self.place, f"{'sweep' if before is None else 'going on with the sweep'}: {self.place}")
            self._hand_to_hydra([*words, f"hydra.sweep.dir={in_quotes(self.place)}"])
            found = jobs.records(self.place)
            planned = {job.number for job in self.planned} or set(found)  # a launcher of Hydra's may plan elsewhere
            mine = [record for number, record in found.items() if number in planned]
            for line in jobs.summary(mine, len(planned)):
                jobs.say(self.place, line)
        self._raise_mistakes()
        return max([INTERRUPTED if len(mine) < len(planned) else 0, *(record.code or 0 for record in mine)])

    def _new_place(self) -> Path:
        names = {str(config.name) for config in self.checked.values()}
        return new_folder((os.path.commonpath(names) if names else "") or "sweeps", "_sweep")

    def _begun(self, command: list[str]) -> Path | None:
        """Return the newest sweep of the same command whose runs are still what the command asks for."""
        for place in sorted(self._new_place().parent.glob("*_sweep*"), reverse=True):
            if jobs.command_of(place) != command:
                continue
            for record in jobs.records(place).values():
                saved = RunFolder(record.folder).config_file
                config = self.checked.get(tuple(record.overrides))
                if config is not None and saved.is_file() and not same_experiment(config, read_yaml(saved)):
                    print(f"{place} is of the same command, but the configuration has changed since: a new sweep")
                    return None
            return place
        return None

    def _plan(self, config: RunConfig, context: HydraConf, overrides: tuple[str, ...]) -> "jobs.Job | None":
        """Return the job of a run of the sweep; None, and a record, if it is finished."""
        assert self.place is not None
        folder = Path(os.path.relpath(context.runtime.output_dir))
        elsewhere = unfinished(config) if config.resume == "auto" else None
        if elsewhere is not None and not any(folder.iterdir()):
            folder.rmdir()
            folder = elsewhere
        flags = ["-cd", self.config_dir] if self.config_dir else []
        own = [word for word in overrides if word.partition("=")[0].lstrip("+") not in ("resume", "folder")]
        of_hydra = [str(word) for word in context.overrides.hydra if str(word).startswith("hydra.searchpath")]
        words = (*flags, *of_hydra, *own, f"folder={in_quotes(folder)}", "resume=auto")
        shared = set.intersection(*map(set, self.checked)) if len(self.checked) > 1 else set()
        label = " ".join(word for word in overrides if word not in shared)
        job = jobs.Job(int(context.job.num), label, overrides, folder, words, self.place)
        self.planned.append(job)
        if not finished(config, folder):
            jobs.forget(job)
            return job
        jobs.keep(self.place, jobs.Record.of(job, "skipped", code=0))
        jobs.say(self.place, f"run {job.number} ({label}) is finished: {folder}")
        return None


def new_folder(name: str, ending: str = "") -> Path:
    """Return runs/<name>/<time><ending>, with a number behind it if that is taken; makes nothing."""
    stem = RUNS / name / (time.strftime("%Y-%m-%d_%H-%M-%S") + ending)
    number, folder = 1, stem
    while folder.exists():
        number += 1
        folder = stem.with_name(f"{stem.name}_{number}")
    return folder


def place_of(config: RunConfig) -> tuple[Path, Path | None]:
    """Return the folder of a single run, and the one to go on from if `resume=auto` finds one."""
    if config.folder is None:
        resume_from = unfinished(config) if config.resume == "auto" else None
        return resume_from or new_folder(str(config.name)), resume_from
    folder = Path(config.folder)
    if RunFolder(folder).is_fresh():
        return folder, None
    # A run that was killed before its first checkpoint has nothing to lose: the same command begins it again.
    if RunFolder(folder).is_run() and (config.resume == "auto" or RunFolder(folder).newest_iteration() is None):
        return folder, going_on(config, folder)
    raise UserError(f"folder: {folder} is not empty; name a new one, or write resume={folder} to go on with its run")


def _single_runs(args: Namespace) -> list[tuple[list[str], list[str]]]:
    """Return (Hydra's overrides, own overrides) of each run; none if a sweeper decides on the way."""
    if not args.multirun:
        own = [word for word in args.overrides if not _is_hydras(word)]
        return [([word for word in args.overrides if _is_hydras(word)], own)]
    register_resolvers()
    join_search_path(args.config_dir)
    loader = ConfigLoaderImpl(create_config_search_path(str(shipped("conf"))))
    parser = OverridesParser.create(config_loader=loader)
    try:
        parsed = parser.parse_overrides(args.overrides)
        of_hydra = [override for override in parsed if override.is_hydra_override()]
        if any(str(override.key_or_group).startswith(("hydra/sweeper", "hydra.sweeper")) for override in of_hydra):
            return []
        own = [override for override in parsed if not override.is_hydra_override()]
        if any(override.is_sweep_override() and not override.is_discrete_sweep() for override in own):
            return []
        runs = [run for batch in BasicSweeper.split_arguments(own, None) for run in batch]
    except HydraException:
        return [([], args.overrides)]  # composing says what is wrong
    return [([str(override.input_line) for override in of_hydra], list(run)) for run in runs]


def _is_hydras(word: str) -> bool:
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def _places(word: str) -> bool:
    """Tell whether an override says only where and how runs are executed, not which."""
    return word.lstrip("+~").startswith(("hydra/launcher", "hydra.launcher.", "hydra.sweep.dir="))


def _with_runs(problem: str, where: list[str], total: int) -> str:
    if total == 1 or len(where) == total:
        return problem
    return f"{problem} (in the run {where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''})"


def _spelled_out(word: str) -> str:
    """Return `experiments=a/b/c,d` as `experiments=a/b/c,a/b/d`, the short way to name those of a folder."""
    word = renamed_word(word)
    key, _, value = word.partition("=")
    if key != EXPERIMENTS or "," not in value or any(sign in value for sign in "()[]{}'\""):
        return word
    first, *others = value.split(",")
    folder = first.rpartition("/")[0]
    options = groups()[EXPERIMENTS]
    full = [f"{folder}/{name}" if name not in options and f"{folder}/{name}" in options else name for name in others]
    return f"{key}={','.join([first, *full])}"


def _resume_folder(overrides: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Return the run folder of `resume=FOLDER`, None for auto and null, and the other overrides."""
    chosen = [word for word in overrides if word.partition("=")[0].lstrip("+") == "resume"]
    value = chosen[-1].partition("=")[2].strip("'\"") if chosen else ""
    if value in ("", "null", "auto"):
        return None, list(overrides)
    return Path(value), [word for word in overrides if word not in chosen]


@contextmanager
def _as_command_line(words: list[str]) -> Iterator[None]:
    """Let Hydra read `words`, and raise what goes wrong instead of printing it."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [argv[0], *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full
