"""The entry point of the process."""

import os

import pytest

import translate.cli
from translate import __main__ as entry
from translate import signals


@pytest.mark.parametrize(
    ("variables", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_idle_threads_spin_briefly_unless_the_environment_says_otherwise(
    variables: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that the end of the test takes it back
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen = []
    handled = signals.handled
    monkeypatch.setattr(signals, "handled", lambda to_the_end: handled(ends_process=False))
    monkeypatch.setattr(translate.cli, "main", lambda words: seen.append(os.environ.get("GOMP_SPINCOUNT")) or 5)
    assert entry.run() == 5
    assert seen == [spins]
