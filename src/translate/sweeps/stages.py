"""Run the stages of an experiment in order, each as a job with its own run folder, below one folder.

All stages are checked before the first starts. A stage may name the run of an earlier one, which does not exist yet:
its networks follow from its configuration. Repeating the command continues the stage that has not finished. The folder
is that of a sweep (see `translate.sweeps.jobs`), with a job for each stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from translate.config import sources
from translate.config.command_line import CommandLine, new_folder
from translate.config.compose import Prepared, prepare
from translate.config.overrides import in_quotes
from translate.config.resume import as_long_as, finished, same_experiment
from translate.config.schema import RunConfig, read_yaml
from translate.config.stages import STAGE, Stages
from translate.errors import ConfigError, Problem, UserError
from translate.runs.folder import RUNS, RunFolder
from translate.sweeps import jobs

ENDING = "_stages"


@dataclass(frozen=True)
class Outcome:
    """The end of an experiment with stages: the exit code, and the run folder of the last stage that was started."""

    code: int
    folder: Path


def launch(line: CommandLine, stages: Stages) -> Outcome:
    """Run all stages, or those that have not finished, until one fails or is stopped.

    Raises ConfigError with the problems of all stages before a file is written.
    """
    if line.flags.multirun:
        raise UserError("an experiment with stages is no sweep", key="-m", fix="leave it out, or choose stage=NAME")
    command = [word for word in line.overrides if not word.startswith(("folder=", "resume="))]
    command += ["-cd", line.config_dir] if line.config_dir else []
    place = _place(line, stages, command)
    before = jobs.command_of(place)
    if before not in (None, command):
        raise UserError(
            f"{place} contains the stages of another command ({' '.join(before or [])})",
            key="folder",
            fix="choose a new folder",
        )
    check(stages, line.overrides, place, line.config_dir)
    jobs.begin(place, command)
    with jobs.claimed(place):
        jobs.say(place, f"{'stages' if before is None else 'continuing the stages'}: {place}")
        code, folder = 0, place
        for number, name in enumerate(stages.words):
            folder = place / name
            code = _run(_job(line, stages, place, number, name), line)
            if code != 0:
                break
        for sentence in [*jobs.summary(list(jobs.records(place).values()), len(stages.words)), *jobs.advice()]:
            jobs.say(place, sentence)
    return Outcome(code, folder)


def check(
    stages: Stages,
    overrides: list[str],
    place: Path = RUNS / "stages",
    config_dir: str | None = None,
    scan: bool = True,
) -> dict[str, RunConfig]:
    """Return the checked configuration of each stage; ConfigError with the problems of all.

    Runs of earlier stages that do not exist yet count as trained.
    """
    problems: list[Problem] = []
    configs: dict[str, RunConfig] = {}
    with sources.promises() as promise:
        for name in stages.words:
            try:
                words = [word for word in _words(stages, overrides, place, name) if word != "resume=auto"]
                configs[name] = prepare(words, config_dir, scan).config
                promise(place / name, configs[name].model.networks)
            except UserError as error:
                where = f"(in the stage {name})"
                problems += [replace(each, what=f"{each.what} {where}".lstrip()) for each in error.problems]
                break  # later stages may need this one
    if problems:
        raise ConfigError(problems)
    return configs


def _words(stages: Stages, overrides: list[str], place: Path, name: str) -> list[str]:
    """Return the words of a stage's run, which name its folder."""
    own = [word for word in overrides if not word.startswith(("folder=", "resume="))]
    chosen = [f"experiments={stages.experiment}", f"{STAGE}={name}"]
    others = [word for word in own if not word.startswith("experiments=")]
    return [*chosen, *others, f"folder={in_quotes(place / name)}", "resume=auto"]


def _job(line: CommandLine, stages: Stages, place: Path, number: int, name: str) -> jobs.Job:
    words = _words(stages, line.overrides, place, name)
    flags = ["-cd", line.config_dir] if line.config_dir else []
    return jobs.Job(number, name, tuple(words), place / name, (*flags, *words), place)


def _run(job: jobs.Job, line: CommandLine) -> int:
    """Execute the job of a stage unless it has finished; return its exit code."""
    prepared = prepare(list(job.overrides), line.config_dir)
    if finished(prepared.config, job.folder, prepared.of_length):
        jobs.keep(job.sweep, jobs.Record.of(job, "skipped", code=0))
        jobs.say(job.sweep, f"stage {job.label} is finished: {job.folder}")
        return 0
    jobs.forget(job)
    jobs.say(job.sweep, f"stage {job.label}: {job.folder}")
    return jobs.execute(job, tell=print)


def _place(line: CommandLine, stages: Stages, command: list[str]) -> Path:
    """Return the folder that the command line names, else that of the newest equal command, else a new one."""
    named = [word.partition("=")[2].strip("'\"") for word in line.overrides if word.startswith("folder=")]
    if named:
        return Path(named[-1]).expanduser()
    names = [word.partition("=")[2].strip("'\"") for word in line.overrides if word.startswith("name=")]
    new = new_folder(names[-1] if names else stages.experiment, ENDING)
    for place in sorted(new.parent.glob(f"*{ENDING}*"), reverse=True):
        if jobs.command_of(place) == command and _agrees(place, line, stages):
            return place
    return new


def _agrees(place: Path, line: CommandLine, stages: Stages) -> bool:
    """Return whether the runs in a folder are those of the stages as they are configured now."""
    for name in stages.words:
        saved = RunFolder(place / name).config_file
        if not saved.is_file():
            return True
        words = [word for word in _words(stages, line.overrides, place, name) if word != "resume=auto"]
        if not _is_same(prepare(words, line.config_dir), read_yaml(saved)):
            print(f"{place} has the same command, but the configuration has changed: starting anew")
            return False
    return True


def _is_same(prepared: Prepared, saved: Mapping[str, object]) -> bool:
    return same_experiment(as_long_as(prepared.config, saved, prepared.of_length), saved)
