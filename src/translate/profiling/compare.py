"""Compare two command lines, or two commits: in turns, each time in a process of its own."""

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

from translate.errors import UserError

COMMIT = "commit"


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: the words of its command, and the source tree that it runs from."""

    words: tuple[str, ...]
    source: Path | None = None  # None: the one that runs now


def sides(words: Sequence[str], changes: Sequence[str], places: dict[str, Path]) -> tuple[Side, Side]:
    """Return both sides: the words alone, and with the changes; `commit=REV` among these runs that commit's code."""
    commits = [word.partition("=")[2] for word in changes if word.startswith(f"{COMMIT}=")]
    others = [word for word in changes if not word.startswith(f"{COMMIT}=")]
    source = places[commits[-1]] if commits else None
    return Side(tuple(words)), Side((*words, *others), source)


def in_turns(first: Side, second: Side, rounds: int, own: Sequence[str]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield (round, side, figures), the sides in turns and the order turned round in every other round."""
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            yield number, which, _measured((first, second)[which], own)


def _measured(side: Side, own: Sequence[str]) -> dict[str, Any]:
    environment = dict(os.environ)
    if side.source is not None:
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(side.source / "src"), os.environ.get("PYTHONPATH")])
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures.json")
        command = [sys.executable, "-m", "translate", "benchmark", *side.words, *own, f"benchmark.json={path}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or not path.is_file():
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise UserError(" ".join(["benchmark:", *side.words, f"ended with exit code {done.returncode}:", *last]))
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def ratios(figures: Sequence[tuple[int, int, dict[str, Any]]], key: str) -> list[float]:
    """Return for every round the second side's figure divided by the first's."""
    by_round: dict[int, dict[int, float]] = {}
    for number, which, found in figures:
        by_round.setdefault(number, {})[which] = float(found[key])
    return [values[1] / values[0] for values in by_round.values() if len(values) == 2]


def middle_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and half the distance from the smallest to the largest value."""
    return statistics.median(values), (max(values) - min(values)) / 2


@contextmanager
def checked_out(changes: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Give a checkout of every commit among the changes, by its name, for as long as it is wanted."""
    names = [word.partition("=")[2] for word in changes if word.startswith(f"{COMMIT}=")]
    here = Path(__file__).parent
    places: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, name in enumerate(names):
                places[name] = Path(folder, str(number))
                _git(here, "worktree", "add", "--detach", str(places[name]), name)
                if not (places[name] / "src" / "translate" / "commands" / "benchmark.py").is_file():
                    raise UserError(f"benchmark: the code of commit {name} has no command benchmark yet")
            yield places
        finally:
            for place in places.values():
                subprocess.run(
                    ["git", "-C", str(here), "worktree", "remove", "--force", str(place)], capture_output=True
                )


def _git(here: Path, *words: str) -> None:
    try:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError("benchmark: commit=... needs git, which is not found") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise UserError(f"benchmark: commit={words[-1]}: {' '.join(last)}")
