"""Sweeps by -m: every job a process of its own, failures on record, and the same command going on.

Training is replaced, in the children too: what matters here is which command lines run where, and what is kept.
"""

import json
import os
import signal
from pathlib import Path

import pytest

from training.stub import SMALL, Place, until


@pytest.fixture
def place(tmp_path: Path, small: list[str]) -> Place:
    return Place(tmp_path)


def test_a_failed_job_is_on_record_and_the_rest_goes_on(place: Place) -> None:
    command = ["-m", *SMALL, "seed=3,13,4", "hydra.launcher.n_jobs=2", "hydra.launcher.gpus=[5,6]"]
    answer = place.call(*command)
    assert answer.returncode == 1, answer.stderr
    assert place.states() == ["finished", "failed", "finished"]
    record = json.loads((place.sweep() / "jobs" / "1.json").read_text())
    assert (record["label"], record["code"]) == ("seed=13", 1)
    assert record["last_line"] == "ZeroDivisionError: unexpected"
    assert "Traceback" in (place.sweep() / "jobs" / "1.txt").read_text()
    assert "3 runs: 2 finished, 1 failed\n  run 1 (seed=13) failed, exit code 1: ZeroDiv" in answer.stdout
    assert "[0] training seed 3" in answer.stdout
    first, third = place.calls(0), place.calls(2)
    assert first[0][0] != third[0][0]  # processes
    assert {place.calls(0)[0][2], place.calls(1)[0][2]} == {"5", "6"}

    (place.path / "repaired").touch()
    again = place.call("-m", *SMALL, "seed=3,13,4")  # elsewhere and otherwise executed, it is the same sweep
    assert again.returncode == 0, again.stderr
    assert "3 runs: 1 finished, 2 finished before" in again.stdout
    assert place.states() == ["skipped", "finished", "skipped"]
    assert (len(place.calls(0)), len(place.calls(1)), len(place.calls(2))) == (1, 2, 1)
    assert "is finished" in (place.sweep() / "log.txt").read_text()
    files = {".lock", "log.txt", "sweep.json", "multirun.yaml"}  # the last is Hydra's own record
    assert {path.name for path in place.sweep().iterdir()} == {"0", "1", "2", "jobs", *files}


def test_other_words_or_another_configuration_are_another_sweep(place: Place) -> None:
    folder = place.path / "experiments" / "mine"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("data:\n  batch_size: 4\n")
    command = ["-m", *SMALL, "experiments=mine/a", "name=painter"]
    assert place.call(*command, "seed=3").returncode == 0
    first = place.sweep()
    refused = place.call(*command, "seed=4", f"hydra.sweep.dir={first}")
    assert refused.returncode == 2
    assert "contains the runs of another command" in refused.stderr
    assert "finished before" not in place.call(*command, "seed=4").stdout
    (folder / "a.yaml").write_text("data:\n  batch_size: 8\n")
    answer = place.call(*command, "seed=3")
    assert "the configuration has changed: starting a new sweep" in answer.stdout
    assert len(list(first.parent.iterdir())) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_goes_on(place: Place, number: int) -> None:
    command = ["-m", *SMALL, "seed=7,3"]
    process = place.start(*command)
    until(lambda: any(place.path.rglob("waiting")))
    busy = place.call(*command)
    assert busy.returncode == 2
    assert "another process executes this sweep" in busy.stderr
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "2 runs: 1 stopped, 1 not started" in out
    assert place.states() == ["stopped"]
    again = place.call(*command)
    assert again.returncode == 0, again.stderr
    assert "2 runs: 2 finished" in again.stdout
    assert [resumed for _, resumed, _ in place.calls(0)] == ["False", "True"]
    assert [p.stem for p in (place.sweep() / "0" / "checkpoints").iterdir()] == ["000002", "000005"]


def test_a_killed_sweep_goes_on(place: Place) -> None:
    process = place.start("-m", *SMALL, "seed=7,3")
    until(lambda: any(place.path.rglob("waiting")))
    process.kill()
    process.communicate()
    os.kill(int(place.calls(0)[0][0]), signal.SIGKILL)
    again = place.call("-m", *SMALL, "seed=7,3")
    assert "2 runs: 2 finished" in again.stdout, again.stderr
    assert [resumed for _, resumed, _ in place.calls(0)] == ["False", "True"]


def test_launchers_of_hydra_start_processes_too(place: Place) -> None:
    answer = place.call("-m", *SMALL, "seed=3,13", "hydra/launcher=basic")
    assert answer.returncode == 1, answer.stderr
    assert place.states() == ["finished", "failed"]
    assert place.calls(0)[0][0] != place.calls(1)[0][0]


def test_submitit_on_this_machine(place: Place) -> None:
    pytest.importorskip("submitit")
    launcher = ["hydra/launcher=slurm", "hydra.launcher.cluster=local", "hydra.launcher.gpus_per_node=0"]
    answer = place.call("-m", *SMALL, "seed=3,13", *launcher)
    assert answer.returncode == 1, answer.stderr
    assert "submitted to local" in answer.stdout
    assert place.states() == ["finished", "failed"]
    (place.path / "repaired").touch()
    again = place.call("-m", *SMALL, "seed=3,13")
    assert "1 finished, 1 finished before" in again.stdout


def test_without_a_cluster_there_is_a_sentence(place: Place) -> None:
    pytest.importorskip("submitit")
    answer = place.call("-m", *SMALL, "seed=3", "hydra/launcher=slurm")
    assert answer.returncode == 2
    assert "hydra.launcher" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_ray_on_this_machine(place: Place) -> None:
    pytest.importorskip("ray")
    answer = place.call("-m", *SMALL, "seed=3,13", "hydra/launcher=ray", "+hydra.launcher.init.num_cpus=2")
    assert answer.returncode == 1, answer.stderr
    assert place.states() == ["finished", "failed"]
    assert place.calls(0)[0][0] != place.calls(1)[0][0]
