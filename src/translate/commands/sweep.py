"""The command `sweep`: search for good values of a configuration with Optuna."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from translate.commands.arguments import Command, arg, overrides
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
    """The search file, and what the command line changes in it."""

    sweep: str = arg(
        metavar="NAME|FILE.yaml", help="objectives and search space, see docs/sweeps.md", values=searches, listed=True
    )
    num_trials: int | None = arg(None, name="sweep.num_trials", metavar="N", minimum=1, help="trials of the study")
    n_jobs: int | None = arg(None, name="sweep.n_jobs", metavar="N", minimum=1, help="trials at once of this command")
    gpus: tuple[str, ...] | None = arg(
        None, name="sweep.gpus", metavar="[0,1]", help="one GPU for each of the trials that run at once"
    )
    storage: str | None = arg(
        None, name="sweep.storage", metavar="URL", help="a database of Optuna; several machines can share a study"
    )
    name: str | None = arg(None, name="sweep.name", metavar="NAME", help="the study; default the name of the file")
    folder: str | None = arg(None, name="sweep.folder", metavar="DIR", help="folder of the trials; default runs/<name>")
    sampler: Literal["tpe", "random", "grid", "nsga2"] | None = arg(
        None, name="sweep.sampler", help="how values are chosen; default that of the file, else tpe"
    )
    pruner: Literal["null"] | None = arg(None, name="sweep.pruner", help="null: every trial runs to its end")
    seed: int | None = arg(None, name="sweep.seed", metavar="N", help="seed of the sampler; default 0")
    overrides: tuple[str, ...] = overrides("settings of all trials, as for train")


def run(arguments: Arguments) -> int:
    """Run the search, or what is left of it; return the exit code."""
    settings, words, config_dir = read(arguments)
    config = check(settings, words, config_dir)
    try:
        from translate.sweeps.optuna_study import Search
    except ModuleNotFoundError as error:
        raise UserError(
            f"the package {error.name} is not installed", key="sweep", fix="pip install 'translate-gan[sweep]'"
        ) from error
    flags = ["-cd", config_dir] if config_dir else []
    return Search(settings, words, flags, config.iterations).run()


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
    "Search for good values with Optuna: pruned, resumable, on several machines.",
    Arguments,
    run,
    examples=(
        ("sweep sweep=stargan_v2_rates", "a shipped search"),
        ("sweep sweep=stargan_v2_rates sweep.num_trials=40 sweep.n_jobs=4 sweep.gpus=[0,1,2,3]", "on four GPUs"),
    ),
    notes="The same command continues a search that was stopped, or adds trials to one that is finished. Trials are in "
    "runs/<name>/<number>; trials.csv, best.md and plots are beside them.",
)
