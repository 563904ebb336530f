"""The command `benchmark` measures, and compares settings and commits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training.tiny import tiny
from translate.runs.environment import commit

WORDS = [*tiny.model, *tiny.data, "trainer=cpu", "trainer.threads=1", "benchmark.warmup=1", "benchmark.iterations=2"]


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "translate", "benchmark", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_figures_of_a_configuration(tmp_path: Path) -> None:
    done = call(tmp_path, *WORDS, f"benchmark.json={tmp_path / 'found.json'}")
    assert done.returncode == 0, done.stderr
    assert "where the time goes" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["seconds"]) == 2
    assert found["images_per_second"] == pytest.approx(4 / found["seconds_per_iteration"])
    assert found["operations_per_iteration"] > 1e6
    assert 0 < found["share_of_machine"] < 1
    assert 0 <= found["data_wait_share"] < 1
    assert found["environment"]["packages"]["torch"]
    assert "discriminator: backward" in found["parts"]
    assert found["estimated_bytes"] > 12 * sum(found["parameters"].values())  # weights and two moments, and more
    assert " estimated)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]  # no run folder


@pytest.mark.parametrize("change", ["data.batch_size=2", "commit=HEAD"])
def test_comparison(tmp_path: Path, change: str) -> None:
    if change.startswith("commit") and commit() is None:
        pytest.skip("not in a checkout")
    words = [*WORDS, "benchmark.rounds=1", f"benchmark.json={tmp_path / 'found.json'}"]
    done = call(tmp_path, *words, "--compare", change)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    (first, second) = found["rounds"]
    assert [first["side"], second["side"]] == ["A", "B"]
    if change.startswith("commit"):
        assert second["environment"]["commit"] == str(first["environment"]["commit"]).removesuffix("+")
        assert second["operations_per_iteration"] == first["operations_per_iteration"]
    else:
        assert second["operations_per_iteration"] == pytest.approx(first["operations_per_iteration"] / 2, rel=0.05)
    assert "B / A" in done.stdout


def test_two_processes(tmp_path: Path) -> None:
    """One process measures for both, and alone prints and writes."""
    done = call(tmp_path, *WORDS, "trainer.devices=2", f"benchmark.json={tmp_path / 'found.json'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("where the time goes") == 1
    assert "2 processes, each on 1 CPU threads" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["processes"] == 2
    assert len(found["seconds"]) == 2
    assert found["images_per_second"] == pytest.approx(4 / found["seconds_per_iteration"])
