"""A small configuration that needs no data on disk: that of the plug-in example."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from translate.registry import plugins

PLUGIN = Path(__file__).parents[1] / "plugin_example"
SMALL = ["plugins=[my_lab]", "model=painter", "data=dots"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield overrides of a configuration that is good; the plug-in is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    before = list(plugins._activated)
    yield list(SMALL)
    plugins._activated[:] = before


@pytest.fixture
def problems_of(small: list[str]) -> Callable[..., list[str]]:
    """Return a function: the problems of the small configuration with these overrides."""
    from translate.config.compose import load
    from translate.errors import ConfigError

    def find(*overrides: str) -> list[str]:
        try:
            load([*small, *overrides])
        except ConfigError as error:
            return list(map(str, error.problems))
        return []

    return find


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m translate` in an empty folder."""
    place = tmp_path / "place"
    place.mkdir()

    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(PLUGIN)]))
        return subprocess.run(
            [sys.executable, "-m", "translate", *words],
            cwd=place,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "110", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call
