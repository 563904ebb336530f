"""The command `sweep`: search for good values of a configuration with Optuna."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from translate.commands.arguments import Command, arg, overrides
from translate.config.length import UNKNOWN_LENGTH
from translate.errors import ConfigError, Problem, UserError

if TYPE_CHECKING:
    from translate.config.schema import RunConfig
    from translate.sweeps.search_space import Settings, Value


def searches(words: Sequence[str] = ()) -> list[str]:
    """Return the names of the shipped search files."""
    from translate.sweeps.search_space import shipped

    return list(shipped())


@dataclass(frozen=True)
class Arguments:
    """The search file, and the values of it that the command line replaces."""

    sweep: str = arg(
        metavar="NAME|FILE.yaml", help="objectives and search space, see docs/sweeps.md", values=searches, listed=True
    )
    num_trials: int | None = arg(None, name="sweep.num_trials", metavar="N", minimum=1, help="trials of the study")
    n_jobs: int | None = arg(
        None, name="sweep.n_jobs", metavar="N", minimum=1, help="concurrent trials of this command"
    )
    gpus: tuple[str, ...] | None = arg(None, name="sweep.gpus", metavar="[0,1]", help="one GPU per concurrent trial")
    storage: str | None = arg(
        None, name="sweep.storage", metavar="URL", help="an Optuna database, through which machines share a study"
    )
    name: str | None = arg(
        None, name="sweep.name", metavar="NAME", help="name of the study; default the name of the file"
    )
    folder: str | None = arg(None, name="sweep.folder", metavar="DIR", help="folder of the trials; default runs/<name>")
    sampler: Literal["tpe", "random", "grid", "nsga2"] | None = arg(
        None, name="sweep.sampler", help="Optuna's sampler; default the sampler of the file, otherwise tpe"
    )
    pruner: Literal["null"] | None = arg(None, name="sweep.pruner", help="null: prune no trial")
    seed: int | None = arg(None, name="sweep.seed", metavar="N", help="seed of the sampler; default 0")
    overrides: tuple[str, ...] = overrides("settings of all trials, as for train")


def run(arguments: Arguments) -> int:
    """Run the search, or what is left of it; return the exit code."""
    settings, words, config_dir = read(arguments)
    config = check(settings, words, config_dir)
    if config.iterations == UNKNOWN_LENGTH:
        raise UserError("the trials of a search need equal lengths", key="budget", fix="set iterations=N")
    try:
        from translate.sweeps.optuna_study import StudyRunner
    except ModuleNotFoundError as error:
        raise UserError(
            f"the package {error.name} is not installed", key="sweep", fix="pip install 'translate-gan[sweep]'"
        ) from error
    flags = ["-cd", config_dir] if config_dir else []
    return StudyRunner(settings, words, flags, config.iterations).run()


def read(arguments: Arguments) -> "tuple[Settings, list[str], str | None]":
    """Return the settings, the overrides of every trial beside those of the settings, and the folder of -cd."""
    from translate.config.command_line import parsed_words
    from translate.sweeps.search_space import load

    names = {field.name for field in dataclasses.fields(Arguments)} - {"sweep", "pruner", "overrides"}
    changes: dict[str, Any] = {name: getattr(arguments, name) for name in names}
    changes = {name: value for name, value in changes.items() if value is not None}
    if arguments.gpus is not None:
        changes["gpus"] = list(arguments.gpus)
    if arguments.pruner is not None:
        changes["pruner"] = None
    settings = load(arguments.sweep, changes)
    words, config_dir = parsed_words(arguments.overrides)
    for word in [*settings.overrides, *words]:
        if word.partition("=")[0].lstrip("+") in ("folder", "resume"):
            raise UserError(
                "every trial has a folder of its own", key=word, fix="leave it out; sweep.folder=DIR names their place"
            )
    return settings, words, config_dir


def check(settings: "Settings", overrides: Sequence[str], config_dir: str | None, scan: bool = True) -> "RunConfig":
    """Return the configuration of a first trial, after a check of both ends of every range.

    Raises ConfigError with all problems. Without ``scan`` the data set is not opened.
    """
    from translate.config.compose import load

    base = [*settings.overrides, *overrides]
    first = {key: parameter.ends()[0] for key, parameter in settings.space.items()}
    config = load([*base, *_overrides(first)], config_dir, scan=scan)
    problems: list[Problem] = []
    for key, parameter in settings.space.items():
        for end in parameter.ends()[1:]:
            try:
                load([*base, *_overrides({**first, key: end})], config_dir, scan=False)
            except ConfigError as error:
                problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return config


def _overrides(values: "Mapping[str, Value]") -> list[str]:
    from translate.sweeps.search_space import override

    return [override(key, value) for key, value in values.items()]


COMMAND = Command(
    "sweep",
    "Search hyper-parameters with Optuna, on one or several machines.",
    Arguments,
    run,
    examples=(
        ("sweep sweep=stargan_v2_rates", "a search file of this project"),
        (
            "sweep sweep=stargan_v2_rates sweep.num_trials=40 sweep.n_jobs=4 sweep.gpus=[0,1,2,3]",
            "40 trials on four GPUs",
        ),
    ),
    notes="Repeat the command to continue a stopped search, or to add trials to a finished one. Trials are written to "
    "runs/<name>/<number>. trials.csv, best.md and plots are written to runs/<name>.",
)
