"""The command `sweep`: a search space in YAML, overrides of every trial, and then Optuna."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from translate.errors import ConfigError, UserError
from translate.sweeps.search_space import Settings, Value, override, shipped
from translate.sweeps.search_space import load as load_settings

if TYPE_CHECKING:
    from translate.config.schema import RunConfig

HELP = """\
  sweep=NAME|FILE.yaml       objectives and search space; shipped: {names}
  sweep.num_trials=40        of the whole study; the same command goes on where it was, killed or finished
  sweep.n_jobs=4             trials at once; sweep.gpus=[0,1,2,3]: each sees one
  sweep.storage=URL          of Optuna's: the same command on several machines works on one study
  sweep.name=... sweep.folder=DIR sweep.sampler=tpe|random|grid|nsga2 sweep.seed=0
  key=value                  all else is said to every trial, as to train

  Trials lie in runs/<name>/<number>; trials.csv, best.md and plots beside them. Such a file: docs/sweeps.md"""


def run(words: Sequence[str]) -> int:
    """Run the search that the words describe; return the exit code."""
    settings, overrides, config_dir = read(words)
    config = check(settings, overrides, config_dir)
    try:
        from translate.sweeps.optuna_study import Search
    except ModuleNotFoundError as error:
        raise UserError(f"sweep: this needs {error.name}; install it by pip install 'translate-gan[sweep]'") from error
    flags = ["-cd", config_dir] if config_dir else []
    return Search(settings, overrides, flags, config.iterations).run()


def read(words: Sequence[str]) -> tuple[Settings, list[str], str | None]:
    """Return the settings, the overrides of every trial beside theirs, and what -cd says."""
    from translate.sweeps.launch import parsed_words

    named, changes, rest = None, {}, []
    for word in words:
        key, equals, value = word.partition("=")
        if key == "sweep" and equals:
            named = value.strip("'\"")
        elif key.startswith("sweep.") and equals:
            changes[key.removeprefix("sweep.")] = value
        else:
            rest.append(word)
    if named is None:
        raise UserError("sweep: expected sweep=NAME or sweep=FILE.yaml, for example sweep=stargan_v2_rates")
    settings = load_settings(named, changes)
    overrides, config_dir = parsed_words(rest)
    for word in [*settings.overrides, *overrides]:
        if word.partition("=")[0].lstrip("+") in ("folder", "resume"):
            raise UserError(f"sweep: {word}: every trial has a folder of its own; sweep.folder=DIR says where they go")
    return settings, overrides, config_dir


def check(settings: Settings, overrides: Sequence[str], config_dir: str | None, scan: bool = True) -> "RunConfig":
    """Return the configuration of a first trial, when every end of every range was tried.

    Raises ConfigError with all problems. Without `scan` the data set is not opened.
    """
    from translate.config.compose import load

    base = [*settings.overrides, *overrides]
    first = {key: parameter.ends()[0] for key, parameter in settings.space.items()}
    config = load([*base, *_chosen(first)], config_dir, scan=scan)
    problems: list[str] = []
    for key, parameter in settings.space.items():
        for end in parameter.ends()[1:]:
            try:
                load([*base, *_chosen({**first, key: end})], config_dir, scan=False)
            except ConfigError as error:
                problems.extend(problem for problem in map(str, error.problems) if problem not in problems)
    if problems:
        raise ConfigError(problems)
    return config


def _chosen(values: Mapping[str, Value]) -> list[str]:
    return [override(key, value) for key, value in values.items()]


def help_text() -> str:
    """Return what `sweep -h` says beyond its usage."""
    return HELP.format(names=", ".join(shipped()) or "none")
