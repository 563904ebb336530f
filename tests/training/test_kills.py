"""Runs that a signal ends, at twenty moments in all, come to the same end as one that nobody disturbed."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from kills import PHASES, Trial, draw_pictures

KILLS = {1: 12, 2: 8}


@pytest.mark.parametrize("processes", KILLS)
def test_killed_runs_come_to_the_same_end(processes: int, tmp_path: Path) -> None:
    trial = Trial(tmp_path, draw_pictures(tmp_path / "pictures"), processes, seed=1)
    for run in trial.kill(KILLS[processes]):
        assert run.unlike == [], f"{run.folder.name}, killed in {', '.join(run.kills)}"
    phases = Counter(phase for run in trial.runs for phase in run.kills)
    assert phases.total() == KILLS[processes]
    assert phases.keys() <= set(PHASES)
    assert phases["cache building"] + phases["checkpoint writing"] > 0  # which are aimed at
    assert sum(run.resumed for run in trial.runs) > 1
