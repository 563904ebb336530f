"""The targets of the Makefile that run the program give it good command lines."""

import shlex
import subprocess
from pathlib import Path

from translate.cli import command
from translate.commands.arguments import parse
from translate.config.compose import load
from translate.config.length import seconds_of

ROOT = Path(__file__).parents[2]


def lines_of(target: str) -> list[list[str]]:
    """Return the words behind ``python -m translate`` of each command of a target."""
    done = subprocess.run(["make", "-n", "-C", str(ROOT), target], capture_output=True, text=True, check=True)
    lines = [line.partition(" -m translate")[2] for line in done.stdout.splitlines() if " -m translate" in line]
    return [shlex.split(line) for line in lines]


def test_the_demo_translates_at_once_and_then_trains_for_minutes() -> None:
    first, second = lines_of("demo")
    assert first[0] == "apply"
    arguments = parse(command("apply"), first[1:])
    assert arguments.weights is None  # those that ship
    config = load(second, scan=False)
    assert config.budget is not None
    assert seconds_of(config.budget) <= 600  # two minutes are left for the start
    assert config.sample_every == "doubling"
