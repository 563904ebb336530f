"""Sweeps (``-m``): the runs of a command line, checked in advance and executed through Hydra.

All runs are composed and checked before the first starts, and no folder is created for a wrong configuration. This
module plans the runs, and the launcher executes each in its own process. Repeating the command continues the sweep (see
`translate.sweeps.jobs`). Hydra provides sweepers, launchers, --cfg and --info.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

import hydra_plugins.translate_launchers  # noqa: F401 - gives our launchers the module that Hydra expects
from translate import signals
from translate.config.command_line import CommandLine, new_folder, resumes_folder
from translate.config.compose import (
    ROOT,
    VERSION_BASE,
    Prepared,
    fill_name,
    finish,
    prepare,
)
from translate.config.hydra_search import join_search_path
from translate.config.length import settle
from translate.config.overrides import HydraProblem, explain, in_quotes
from translate.config.renamed import rename_in_tree
from translate.config.resolvers import register_resolvers
from translate.config.resume import as_long_as, finished, same_experiment, unfinished
from translate.config.schema import read_yaml
from translate.config.search_path import shipped
from translate.errors import ConfigError, Problem, UserError
from translate.runs.folder import RunFolder
from translate.sweeps import jobs
from translate.sweeps.launchers import LAUNCHERS as LAUNCHER_CLASSES

LAUNCHERS = "hydra_plugins.translate_launchers."


def launch(line: CommandLine) -> int:
    """Execute the sweep of a command line, or a flag of Hydra such as --cfg; return the worst exit code.

    Raises ConfigError with the problems of all runs before a run starts and before a file is written.
    """
    runs = _Runs(line)
    if not line.flags.multirun:
        runs.hand_to_hydra(line.words)
        return 0
    if resumes_folder(line):
        raise UserError(
            "a sweep cannot resume a single run folder", key="resume", fix="remove -m, or write resume=auto"
        )
    runs.check_all(_known_runs(line))
    return runs.sweep()


class _Runs:
    """The runs of a command line: checked in advance if their values are known, and executed through Hydra."""

    def __init__(self, line: CommandLine) -> None:
        self.line = line
        self.config_dir = line.config_dir
        self.checked: dict[tuple[str, ...], Prepared] = {}
        self.place: Path | None = None  # the folder of the sweep
        self.planned: list[jobs.Job] = []
        self.errors: list[UserError] = []  # of runs whose values a sweeper chose

    def check_all(self, runs: list[tuple[list[str], list[str]]]) -> None:
        """Compose and check runs, pairs (Hydra's overrides, own overrides); ConfigError with the problems of all."""
        where: list[tuple[Problem, list[str]]] = []  # a problem may hold a list, so it cannot be a key
        for of_hydra, overrides in runs:
            try:
                prepared = replace(prepare([*of_hydra, *overrides], self.config_dir), datasets=None)
                if len(runs) > 1 and prepared.config.folder is not None:
                    raise UserError("several runs cannot share a folder", key="folder", fix="set hydra.sweep.dir=DIR")
                self.checked[tuple(overrides)] = prepared
            except UserError as error:
                for problem in error.problems:
                    known = next((words for other, words in where if other == problem), None)
                    if known is None:
                        where.append((problem, known := []))
                    known.append(" ".join(overrides))
        if where:
            raise ConfigError([_with_runs(problem, words, len(runs)) for problem, words in where])

    def hand_to_hydra(self, words: Sequence[str]) -> None:
        """Let Hydra execute a command line."""
        register_resolvers()
        join_search_path()
        for launcher in LAUNCHER_CLASSES:  # Hydra does not scan an editable installation
            Plugins.instance().register(launcher)
        main = hydra.main(config_path=str(shipped("conf")), config_name=ROOT, version_base=VERSION_BASE)(self.task)
        with _as_command_line(words):
            try:
                main()
            except HydraProblem as error:
                raise ConfigError([explain(error)]) from error

    def _raise_errors(self) -> None:
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise ConfigError([problem for error in self.errors for problem in error.problems])

    def task(self, tree: DictConfig) -> "int | jobs.Job | None":
        """Return the job of a run that Hydra has composed, None for a finished run.

        Our launchers execute the jobs later. Other launchers of Hydra call this method where the job must run, so it
        executes the job and returns the exit code.
        """
        context = HydraConfig.get()
        signals.check()  # another launcher may have waited for the job before
        overrides = _as_written(context.overrides.task)
        try:
            prepared = self.checked.get(overrides)
            if prepared is None:  # a sweeper chose the values
                rename_in_tree(tree)
                problems = list(settle(tree, {word.partition("=")[0].lstrip("+") for word in overrides}))
                fill_name(tree, context.runtime.choices)
                prepared = finish(tree, problems=problems)
                if prepared is None or problems:
                    raise ConfigError(problems)
            planned = self._plan(prepared, context, overrides)
        except UserError as error:
            self.errors.append(error)
            return None
        ours = str(context.launcher.get("_target_")).startswith(LAUNCHERS)
        return planned if planned is None or ours else jobs.execute(planned, tell=print)

    # --- sweeps ---------------------------------------------------------------------------------------------

    def sweep(self) -> int:
        """Execute a sweep, or its unfinished runs; return the worst exit code of its runs."""
        overrides = self.line.overrides
        command = [word for word in overrides if not _places(word)]
        if self.config_dir:
            command += ["-cd", self.config_dir]
        chosen = [word.partition("=")[2].strip("'\"") for word in overrides if word.startswith("hydra.sweep.dir=")]
        self.place = Path(chosen[-1]) if chosen else self._begun(command) or self._new_place()
        before = jobs.command_of(self.place)
        if before not in (None, command):
            raise UserError(
                f"{self.place} contains the runs of another command ({' '.join(before or [])})",
                key="hydra.sweep.dir",
                fix="choose a new folder",
            )
        jobs.begin(self.place, command)
        with jobs.claimed(self.place):
            jobs.say(self.place, f"{'sweep' if before is None else 'continuing the sweep'}: {self.place}")
            self.hand_to_hydra([*self.line.words, f"hydra.sweep.dir={in_quotes(self.place)}"])
            records = jobs.records(self.place)
            planned = {job.number for job in self.planned} or set(
                records
            )  # a launcher of Hydra may plan in other processes
            mine = [record for number, record in records.items() if number in planned]
            for line in [*jobs.summary(mine, len(planned)), *jobs.advice()]:
                jobs.say(self.place, line)
        self._raise_errors()
        cut = 128 + (signals.received() or signal.SIGINT) if len(mine) < len(planned) else 0
        return max([cut, *(record.code or 0 for record in mine)])

    def _new_place(self) -> Path:
        names = {str(prepared.config.name) for prepared in self.checked.values()}
        return new_folder((os.path.commonpath(names) if names else "") or "sweeps", "_sweep")

    def _begun(self, command: list[str]) -> Path | None:
        """Return the newest sweep of the same command and configuration, None without one."""
        for place in sorted(self._new_place().parent.glob("*_sweep*"), reverse=True):
            if jobs.command_of(place) != command:
                continue
            for record in jobs.records(place).values():
                saved = RunFolder(record.folder).config_file
                prepared = self.checked.get(tuple(record.overrides))
                if prepared is not None and saved.is_file() and not _agrees(prepared, read_yaml(saved)):
                    print(f"{place} has the same command, but the configuration has changed: starting a new sweep")
                    return None
            return place
        return None

    def _plan(self, prepared: Prepared, context: HydraConf, overrides: tuple[str, ...]) -> "jobs.Job | None":
        """Return the job of a run; for a finished run, write its record and return None."""
        assert self.place is not None
        config, of_length = prepared.config, prepared.of_length
        folder = Path(os.path.relpath(context.runtime.output_dir))
        elsewhere = unfinished(config, of_length=of_length) if config.resume == "auto" else None
        if elsewhere is not None and not any(folder.iterdir()):
            folder.rmdir()
            folder = elsewhere
        flags = ["-cd", self.config_dir] if self.config_dir else []
        own = [word for word in overrides if word.partition("=")[0].lstrip("+") not in ("resume", "folder")]
        of_hydra = [word for word in _as_written(context.overrides.hydra) if word.startswith("hydra.searchpath")]
        words = (*flags, *of_hydra, *own, f"folder={in_quotes(folder)}", "resume=auto")
        shared = set.intersection(*map(set, self.checked)) if len(self.checked) > 1 else set()
        label = " ".join(word for word in overrides if word not in shared)
        job = jobs.Job(int(context.job.num), label, overrides, folder, words, self.place)
        self.planned.append(job)
        if not finished(config, folder, of_length):
            jobs.forget(job)
            return job
        jobs.keep(self.place, jobs.Record.of(job, "skipped", code=0))
        jobs.say(self.place, f"run {job.number} ({label}) is finished: {folder}")
        return None


def _as_written(overrides: Any) -> tuple[str, ...]:
    """Return overrides that Hydra has kept in its configuration, where reading one would resolve ``${share:0.5}``."""
    words: Any = OmegaConf.to_container(overrides, resolve=False)
    return tuple(map(str, words))


def _agrees(prepared: Prepared, saved: Mapping[str, Any]) -> bool:
    """Return whether a saved run is the experiment of a run of the sweep."""
    return same_experiment(as_long_as(prepared.config, saved, prepared.of_length), saved)


def _known_runs(line: CommandLine) -> list[tuple[list[str], list[str]]]:
    """Return (Hydra's overrides, own overrides) of each run; [] if a sweeper chooses the values later."""
    register_resolvers()
    join_search_path(line.config_dir)
    loader = ConfigLoaderImpl(create_config_search_path(str(shipped("conf"))))
    parser = OverridesParser.create(config_loader=loader)
    try:
        parsed = parser.parse_overrides(line.overrides)
        of_hydra = [override for override in parsed if override.is_hydra_override()]
        if any(str(override.key_or_group).startswith(("hydra/sweeper", "hydra.sweeper")) for override in of_hydra):
            return []
        own = [override for override in parsed if not override.is_hydra_override()]
        if any(override.is_sweep_override() and not override.is_discrete_sweep() for override in own):
            return []
        runs = [run for batch in BasicSweeper.split_arguments(own, None) for run in batch]
    except HydraException:
        return [([], line.overrides)]  # composing reports the problem
    return [([str(override.input_line) for override in of_hydra], list(run)) for run in runs]


def _places(word: str) -> bool:
    """Return whether an override concerns the execution of runs only, not their configuration."""
    return word.lstrip("+~").startswith(("hydra/launcher", "hydra.launcher.", "hydra.sweep.dir="))


def _with_runs(problem: Problem, where: list[str], total: int) -> Problem:
    """Return the problem with the name of its run, unless the problem occurs in all runs."""
    if total == 1 or len(where) == total:
        return problem
    more = f" and {len(where) - 1} more" if len(where) > 1 else ""
    return replace(problem, what=f"{problem.what} (in the run {where[0]}{more})".lstrip())


@contextmanager
def _as_command_line(words: Sequence[str]) -> Iterator[None]:
    """Set the command line that Hydra reads to ``words``, and let Hydra raise errors instead of printing them."""
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
