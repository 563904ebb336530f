"""Compare two command lines, or two commits: alternately, each time in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate import signals
from translate.errors import UserError

COMMIT = "commit"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: the arguments of its command, and the source tree that it runs from."""

    arguments: tuple[str, ...]
    source: Path | None = None  # None: the source that runs now


@dataclass(frozen=True)
class Measurement:
    """The result of one process: its round, its side (0 or 1), and its results as `benchmark` writes them."""

    round: int
    side: int
    results: dict[str, Any]


def sides(arguments: Sequence[str], changes: Sequence[str], checkouts: dict[str, Path]) -> tuple[Side, Side]:
    """Return both sides: the arguments alone, and with the changes; `commit=REV` selects the code of a commit."""
    commits = commits_among(changes)
    overrides = [word for word in changes if not word.startswith(f"{COMMIT}=")]
    source = checkouts[commits[-1]] if commits else None
    return Side(tuple(arguments)), Side((*arguments, *overrides), source)


def commits_among(changes: Sequence[str]) -> list[str]:
    """Return the revisions of the changes `commit=REV`."""
    return [word.partition("=")[2] for word in changes if word.startswith(f"{COMMIT}=")]


def alternate(first: Side, second: Side, rounds: int, settings: Sequence[str]) -> Iterator[Measurement]:
    """Measure both sides once a round, in reversed order in every other round; ``settings`` are those of benchmark."""
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            yield Measurement(number, side, measured((first, second)[side], settings))


def measured(side: Side, settings: Sequence[str]) -> dict[str, Any]:
    """Return the results of `benchmark` for a side, in a process of its own; UserError with its last words."""
    environment = dict(os.environ)
    if side.source is not None:
        paths = [str(side.source / "src"), os.environ.get("PYTHONPATH")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.json")
        command = [sys.executable, "-m", "translate", "benchmark", *side.arguments, *settings, f"benchmark.json={path}"]
        code, out, errors = output_of(command, environment)
        if code or not path.is_file():
            last = (errors.strip() or out.strip()).splitlines()[-1:]
            raise UserError(
                " ".join([f"the process ended with exit code {code};", *last]),
                key=" ".join(["benchmark", *side.arguments]),
            )
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def output_of(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Run a command; return the exit code, stdout and stderr. It ends with this process, however a signal ends it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        signals.before_end(process.kill)
        try:
            out, errors = process.communicate()
            return process.returncode, out, errors
        finally:
            process.kill()
            signals.forget(process.kill)


def ratios(measurements: Sequence[Measurement], key: str) -> list[float]:
    """Return, for every round, a result of the second side divided by that of the first."""
    by_round: dict[int, dict[int, float]] = {}
    for measurement in measurements:
        by_round.setdefault(measurement.round, {})[measurement.side] = float(measurement.results[key])
    return [values[1] / values[0] for values in by_round.values() if len(values) == 2]


def median_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the median, and half the difference between the largest and the smallest value."""
    return statistics.median(values), (max(values) - min(values)) / 2


@contextmanager
def checked_out(changes: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Check out every commit among the changes; yield the folders by revision, and remove them at the end."""
    here = Path(__file__).parent
    checkouts: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, name in enumerate(commits_among(changes)):
                checkouts[name] = Path(folder, str(number))
                _git(here, "worktree", "add", "--detach", str(checkouts[name]), name)
                if not _has_benchmark(checkouts[name] / "src" / "translate"):
                    raise UserError("the code of this commit has no command benchmark", key=f"{COMMIT}={name}")
            yield checkouts
        finally:
            for checkout in checkouts.values():
                command = ["git", "-C", str(here), "worktree", "remove", "--force", str(checkout)]
                subprocess.run(command, capture_output=True)


def _has_benchmark(package: Path) -> bool:
    """Return whether a source tree has the command benchmark; earlier commits have it in a folder of its own."""
    return any((package / name).is_file() for name in ("commands/benchmark.py", "benchmark/command.py"))


def _git(here: Path, *words: str) -> None:
    try:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError("git is not installed", key=f"{COMMIT}={words[-1]}") from error
    if done.returncode:
        raise UserError(" ".join(done.stderr.strip().splitlines()[-1:]), key=f"{COMMIT}={words[-1]}")
