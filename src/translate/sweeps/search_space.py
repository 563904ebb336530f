"""The settings of a search: objectives, search space, sampler, pruner; read from YAML and checked as a whole.

    objectives: {"domain accuracy, latent": maximize}
    overrides: [model=stargan_v2_small, iterations=2000]       # of every trial
    space:
      model.optimizers.generator.lr: {low: 1.0e-5, high: 1.0e-3, log: true}
      data.batch_size: [8, 16, 32]                             # one of these values
      model.latent_size: {low: 4, high: 16, step: 4}           # whole numbers, since both bounds are
    pruner: {name: median, by: generator/latent/style, direction: minimize}

An objective is a score at the end of the run ("clean/FID, latent" where two protocols have a score of that name), or a
term of metrics.jsonl (the mean of the last tenth of its records).
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from translate.config.search_path import conf_folders
from translate.errors import ConfigError, Problem, Problems, UserError
from translate.files import yaml_files

Value = bool | int | float | str | None

DIRECTIONS = ("minimize", "maximize")
SAMPLERS = ("tpe", "random", "grid", "nsga2")
PRUNERS = ("median", "hyperband")

CODE = ("plugins", "trust")
"""Keys that name code to load: the command line alone sets them, see `translate.registry.trust`."""

CODE_OF_FILE = "a file cannot choose code, only the command line can"


@dataclass(frozen=True)
class Choice:
    """A value from a list."""

    values: tuple[Value, ...]

    def ends(self) -> tuple[Value, ...]:
        """Return the values to try a configuration with."""
        return self.values

    def grid(self) -> tuple[Value, ...]:
        """Return all values."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included; a whole number if both bounds are whole."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Return whether the numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> tuple[Value, ...]:
        """Return the values to try a configuration with."""
        return (self.low, self.high)

    def grid(self) -> tuple[Value, ...]:
        """Return all values; UserError for a continuous range."""
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            raise UserError("a grid needs a list of values or a step")
        return tuple(self.low + k * step for k in range(math.floor((self.high - self.low) / step + 1e-9) + 1))


@dataclass(frozen=True)
class Pruner:
    """The criterion that ends a trial: its term, compared with earlier trials at the same iteration."""

    name: str  # median: worse than the median; hyperband: successive halving in several brackets
    by: str  # a term of metrics.jsonl
    direction: str
    num_startup: int = 5  # median: number of first trials that are not pruned
    warmup: int = 0  # median: no trial is pruned before this iteration
    min_iterations: int = 1  # hyperband: iterations of the shortest trial
    reduction: int = 3  # hyperband: one of this many trials continues


@dataclass(frozen=True)
class Settings:
    """A search. The command line can set all keys except ``objectives`` and ``space``, by sweep.KEY=VALUE."""

    objectives: dict[str, str]  # score or term -> minimize or maximize; several: a Pareto front
    space: dict[str, Choice | Range]  # key of the configuration -> its values
    overrides: list[str] = field(default_factory=list)  # of every trial
    sampler: str = "tpe"
    pruner: Pruner | None = None
    num_trials: int = 20  # of the study, on all machines
    n_jobs: int = 1  # concurrent trials of this command
    gpus: list[int | str] | None = None  # null: every trial sees all GPUs; [0,1]: concurrent trials see one each
    storage: str | None = None  # URL of an Optuna storage; null: SQLite in the folder
    name: str | None = None  # of the study; null: that of the file
    folder: str | None = None  # null: runs/<name>
    seed: int = 0  # of the sampler


def shipped() -> dict[str, Path]:
    """Return the search files of the package and of plug-ins by name."""
    return {path.stem: path for _, folder in conf_folders() for path in sorted((folder / "sweep").glob("*.yaml"))}


def load(named: str, changes: Mapping[str, Any]) -> Settings:
    """Return the settings of a search file, given by name or path, with the changes ``key -> value`` applied.

    Raises ConfigError with all problems.
    """
    known = shipped()
    path = known.get(named, Path(named))
    if not path.is_file():
        raise UserError(
            "unknown search", key="sweep", found=named, known=known, fix="write a known name, or the path of a file"
        )
    tree = yaml_files.load(path)
    if not isinstance(tree, dict):
        raise UserError("the file is not a mapping", key=str(path), expected="the keys objectives and space")
    problems: Problems = []
    for key, value in changes.items():
        if key in ("objectives", "space") or key not in {f.name for f in fields(Settings)}:
            settable = [f.name for f in fields(Settings) if f.name not in ("objectives", "space")]
            problems.append(
                Problem("the command line cannot set the key", key="sweep", found=key, known=tuple(settable))
            )
        else:
            tree[key] = value
    settings = parse(tree, problems)
    if problems or settings is None:
        raise ConfigError(
            [problem if problem.key.startswith("sweep") else _in_file(path, problem) for problem in problems]
        )
    return settings if settings.name is not None else replace(settings, name=path.stem)


def _in_file(path: Path, problem: Problem) -> Problem:
    return replace(problem, key=f"{path}: {problem.key}")


def parse(tree: Mapping[str, Any], problems: Problems) -> Settings | None:
    """Return the settings of a plain mapping; None, with the problems appended, for an invalid mapping."""
    before = len(problems)
    known = {f.name: f for f in fields(Settings)}
    problems.extend(_unknown(str(key), known) for key in tree if key not in known)
    for key, each in known.items():
        if each.default is MISSING and each.default_factory is MISSING and not tree.get(key):
            problems.append(Problem("the value is missing", key=key))
    values = {key: value for key, value in tree.items() if key in known}
    for key, check in _CHECKS.items():
        if key in values:
            problems.extend(problem.inside(key) for problem in check(values[key]))
    if len(problems) > before:
        return None
    space = {}
    for key, node in values["space"].items():
        if str(key).lstrip("+~") in CODE:
            problems.append(Problem(CODE_OF_FILE, key=f"space.{key}"))
        space[str(key)] = _parameter(str(key), node, problems)
    values["pruner"] = _pruner(values.get("pruner"), values["objectives"], problems)
    if len(problems) > before:
        return None
    settings = Settings(**{**values, "space": space})
    if settings.sampler == "grid":
        for key, parameter in settings.space.items():
            try:
                parameter.grid()
            except UserError as error:
                problems.extend(problem.inside(f"space.{key}") for problem in error.problems)
    return None if len(problems) > before else settings


def grid(settings: Settings) -> Iterator[dict[str, Value]]:
    """Yield every combination of the values of the space."""
    keys = list(settings.space)
    for values in itertools.product(*(settings.space[key].grid() for key in keys)):
        yield dict(zip(keys, values, strict=True))


def override(key: str, value: Value) -> str:
    """Return a value of the space as an override in Hydra's grammar.

    >>> override("a.b", 1e-05), override("+c", True), override("d", None), override("data", "afhq")
    ('a.b=1e-05', '+c=true', 'd=null', 'data=afhq')
    """
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{key}={text}"


# --- checks -------------------------------------------------------------------------------------------------


def _unknown(key: str, known: Iterable[str]) -> Problem:
    return Problem("unknown key", key=key, found=key, known=tuple(known))


def _one_of(options: Sequence[str]) -> Callable[[Any], Iterator[Problem]]:
    def check(value: Any) -> Iterator[Problem]:
        if value not in options:
            yield Problem(found=value, expected=f"one of {', '.join(options)}")

    return check


def _at_least_one(value: Any) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        yield Problem(found=value, expected="a whole number above 0")


def _whole(value: Any) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield Problem(found=value, expected="a whole number")


def _text(value: Any) -> Iterator[Problem]:
    if value is not None and not isinstance(value, str):
        yield Problem(found=value, expected="a text")


def _overrides(value: Any) -> Iterator[Problem]:
    if not isinstance(value, list) or not all(isinstance(word, str) and "=" in word for word in value):
        yield Problem(found=value, expected="a list of key=value")
        return
    for word in value:
        if word.partition("=")[0].lstrip("+~") in CODE:
            yield Problem(CODE_OF_FILE, found=word)


def _objectives(value: Any) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(found=value, expected=f"a mapping of scores to {' or '.join(DIRECTIONS)}")
        return
    for name, direction in value.items():
        if direction not in DIRECTIONS:
            yield Problem(key=name, found=direction, expected=" or ".join(DIRECTIONS))


def _space(value: Any) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(found=value, expected="a mapping of keys to values")


def _gpus(value: Any) -> Iterator[Problem]:
    if value is not None and not (isinstance(value, list) and value):
        yield Problem(found=value, expected="a list such as [0,1]")


_CHECKS: dict[str, Callable[[Any], Iterator[Problem]]] = {
    "objectives": _objectives,
    "space": _space,
    "overrides": _overrides,
    "sampler": _one_of(SAMPLERS),
    "num_trials": _at_least_one,
    "n_jobs": _at_least_one,
    "gpus": _gpus,
    "storage": _text,
    "name": _text,
    "folder": _text,
    "seed": _whole,
}


def _parameter(key: str, node: Any, problems: Problems) -> Choice | Range:
    """Return the values of a key: a list of them, or {low, high} with step or log."""
    nothing = Choice(())
    if isinstance(node, list):
        if not node or not all(value is None or isinstance(value, bool | int | float | str) for value in node):
            expected = "numbers, words, true, false or null"
            problems.append(Problem(key=f"space.{key}", found=node, expected=expected, fix="write a list as '[a,b]'"))
            return nothing
        return Choice(tuple(node))
    if not isinstance(node, dict) or not {"low", "high"} <= node.keys() or node.keys() - {"low", "high", "step", "log"}:
        expected = "a list of values, or low and high, with step or log"
        problems.append(Problem(key=f"space.{key}", found=node, expected=expected))
        return nothing
    numbers = [node["low"], node["high"], *([node["step"]] if node.get("step") is not None else [])]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        is_word = any(isinstance(number, str) for number in numbers)
        fix = "write 1.0e-5, since YAML reads 1e-5 as a word" if is_word else ""
        problems.append(Problem("low, high and step must be numbers", key=f"space.{key}", fix=fix))
        return nothing
    values = Range(node["low"], node["high"], node.get("step"), bool(node.get("log", False)))
    if values.low >= values.high:
        problems.append(Problem(f"low {values.low} is not below high {values.high}", key=f"space.{key}"))
    elif values.log and (values.low <= 0 or values.step is not None):
        problems.append(Problem("log needs low above 0 and takes no step", key=f"space.{key}"))
    elif values.step is not None and values.step <= 0:
        problems.append(Problem("step must be above 0", key=f"space.{key}"))
    elif values.whole and values.step is not None and not isinstance(values.step, int):
        what = "step must be a whole number, since low and high are"
        problems.append(Problem(what, key=f"space.{key}", fix="or write low and high with a point"))
    return values


def _pruner(node: Any, objectives: Mapping[str, str], problems: Problems) -> Pruner | None:
    if node is None:
        return None
    known = [f.name for f in fields(Pruner)]
    if not isinstance(node, dict) or not {"name", "by", "direction"} <= node.keys():
        problems.append(Problem(key="pruner", found=node, expected="null, or a mapping with name, by and direction"))
        return None
    wrong = [key for key in node if key not in known]
    problems.extend(_unknown(str(key), known).inside("pruner") for key in wrong)
    problems.extend(problem.inside("pruner.name") for problem in _one_of(PRUNERS)(node["name"]))
    problems.extend(problem.inside("pruner.direction") for problem in _one_of(DIRECTIONS)(node["direction"]))
    for key in ("num_startup", "warmup", "min_iterations", "reduction"):
        problems.extend(problem.inside(f"pruner.{key}") for problem in _whole(node.get(key, 0)))
    if len(objectives) > 1:
        what = f"no trial can be pruned with {len(objectives)} objectives"
        problems.append(Problem(what, key="pruner", fix="remove the key"))
    return Pruner(**{key: value for key, value in node.items() if key in known})
