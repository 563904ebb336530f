"""A budget of time becomes a number of iterations once; from then on the run is one of that number."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest
import yaml

from training.in_turn import call
from training.tiny import TINY, differences, go_on, tiny
from translate.config.compose import prepare
from translate.config.schema import RunConfig
from translate.runs import checkpoints
from translate.training import budget, run
from translate.training.budget import Costs, number_of

SHARES = [
    'model.weights.generator.diversity={schedule: linear, start: 1.0, end: 0.0, iterations: "${share:1.0}"}',
    "checkpoint_every=${share:0.5}",
]


def config(iterations: int, **changes: int | str | None) -> RunConfig:
    return tiny(f"iterations={iterations}", *(f"{key}={'null' if v is None else v}" for key, v in changes.items()))


def test_all_parts_of_a_run_are_counted() -> None:
    costs = Costs(iteration=1.0, grids=10.0, checkpoint=100.0, evaluation=1000.0)
    alone = config(100, sample_every=None, checkpoint_every=30)
    assert costs.beside_training(alone) == 4 * 100 + 1000
    assert costs.beside_training(config(100, sample_every=30, checkpoint_every=100)) == 4 * 10 + 100 + 1000
    assert costs.beside_training(config(100, sample_every="doubling", checkpoint_every=100)) == 5 * 10 + 100 + 1000
    assert costs.beside_training(config(100, evaluate_every=40, checkpoint_every=100)) == 100 + 3 * 1000


def test_the_run_fits_into_the_budget() -> None:
    costs = Costs(iteration=0.5, grids=2.0, checkpoint=1.0, evaluation=20.0)

    def of_length(iterations: int) -> RunConfig:
        return config(iterations, sample_every="doubling", checkpoint_every=max(1, iterations // 10))

    number = number_of(600.0, costs, of_length)
    whole = number * costs.iteration + costs.beside_training(of_length(number))
    assert 590 < whole <= 600
    assert number_of(1.0, costs, of_length) == 1  # a budget that is too short trains a little


def timed(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Train with a budget that is long enough for a number of iterations; return the configuration before that."""
    prepared = prepare([*TINY, *SHARES, "budget=1h", f"folder={folder}"])
    costs = Costs(iteration=3600 / (number + 0.9), grids=0.0, checkpoint=0.0, evaluation=0.0)
    monkeypatch.setattr(budget, "measure", lambda *_: costs)  # the seconds before this are within the 0.9
    assert run.train(prepared.config, folder, None, (), prepared.datasets, (), prepared.of_length) == 0
    return prepared.config


def test_a_run_with_a_budget_equals_one_of_its_number_and_is_resumed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(tmp_path / "timed", 6, monkeypatch)
    saved = yaml.safe_load((tmp_path / "timed" / "config.yaml").read_text())
    assert (saved["iterations"], saved["budget"], saved["checkpoint_every"]) == (6, "1h", 3)
    assert saved["model"]["weights"]["generator"]["diversity"]["iterations"] == 6
    counted = tiny(*SHARES, "iterations=6")
    assert run.train(counted, tmp_path / "counted", None, []) == 0
    wanted = checkpoints.newest(tmp_path / "counted")
    assert differences(wanted, checkpoints.newest(tmp_path / "timed")) == []
    (tmp_path / "timed" / "checkpoints" / "000006.safetensors").unlink()
    monkeypatch.setattr(budget, "measure", lambda *_: pytest.fail("measured again"))
    assert differences(wanted, go_on(tmp_path / "timed")) == []


def test_the_speed_is_measured_without_a_trace(tmp_path: Path) -> None:
    """A real measurement, evaluation included; the run behind it equals one without it."""
    words = [*TINY, *SHARES, "sample_every=4", "metrics=local", "++metrics.local.num_iterations=10"]
    line = [sys.executable, "-m", "translate", *words, "budget=20s", f"folder={tmp_path / 'timed'}"]
    with Popen(line, stdout=PIPE, stderr=STDOUT, text=True) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    saved = yaml.safe_load((tmp_path / "timed" / "config.yaml").read_text())
    assert saved["iterations"] >= 1
    assert f"budget 20s: {saved['iterations']} iterations" in said
    assert [path.name for path in tmp_path.joinpath("timed").iterdir() if path.name.startswith("tmp")] == []
    lines = [json.loads(line) for line in (tmp_path / "timed" / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["iteration"] == 1
    counted = tiny(*SHARES, f"iterations={saved['iterations']}")
    assert run.train(counted, tmp_path / "counted", None, []) == 0
    timed = checkpoints.newest(tmp_path / "timed")
    assert differences(checkpoints.newest(tmp_path / "counted"), timed) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_trial(tmp_path: Path, number: signal.Signals) -> None:
    line = [sys.executable, "-m", "translate", *TINY, *SHARES, "budget=1d", f"folder={tmp_path}"]
    with Popen([*line, "log_every=1"], stdout=PIPE, stderr=STDOUT, text=True) as process:
        said = ""
        assert process.stdout is not None
        while said.count("\ndata: ") != 2 and (read := process.stdout.readline()):  # the trial is about to begin
            said += read
        time.sleep(2)
        os.kill(process.pid, number)
        said += process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    assert "stopped by " in said
    assert "nothing is lost; give the command again" in said
    assert not list(tmp_path.glob("checkpoints/*"))


def test_each_run_of_a_sweep_has_its_own_number(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    line = [
        sys.executable,
        "-m",
        "translate",
        "-m",
        *TINY,
        *SHARES,
        "seed=1,2",
        "budget=2s",
        f"hydra.sweep.dir={sweep}",
    ]
    for said in ("2 runs: 2 finished", "2 runs: 2 finished before"):
        with Popen(line, stdout=PIPE, stderr=STDOUT, text=True, cwd=tmp_path) as process:
            answer = process.communicate()[0]
        assert process.returncode == 0, answer
        assert said in answer
    for number in (0, 1):
        saved = yaml.safe_load((sweep / str(number) / "config.yaml").read_text())
        newest = checkpoints.newest(sweep / str(number))
        assert (saved["seed"], saved["budget"]) == (number + 1, "2s")
        assert newest.iteration == saved["iterations"] >= 1
        assert saved["model"]["weights"]["generator"]["diversity"]["iterations"] == saved["iterations"]


@pytest.mark.parametrize("starter", ["lightning", "torchrun"])
def test_processes_agree(tmp_path: Path, starter: str) -> None:
    begin = {
        "lightning": ["-m", "translate"],
        "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "translate"],
    }
    words = [word for word in TINY if not word.startswith("trainer")]
    two = [*words, *SHARES, "trainer=ddp_cpu", "trainer.threads=1", "budget=15s", f"folder={tmp_path / 'run'}"]
    said = call(tmp_path, *begin[starter], *two)
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    newest = checkpoints.newest(tmp_path / "run")
    assert newest.iteration == saved["iterations"] >= 1, said
    assert newest.config["iterations"] == saved["iterations"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_writes_its_grids(tmp_path: Path, number: signal.Signals) -> None:
    words = [*TINY, "sample_every=100000", "iterations=100000", f"folder={tmp_path}"]
    with Popen([sys.executable, "-m", "translate", *words], stdout=PIPE, stderr=STDOUT, text=True) as process:
        while process.poll() is None and not (tmp_path / "metrics.jsonl").exists():
            time.sleep(0.05)
        os.kill(process.pid, number)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    reached = checkpoints.newest(tmp_path).iteration
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {
        f"{reached:06d}_{name}.png" for name in ("cycle", "latent", "reference")
    }


def test_grids_on_the_doubling_schedule(tmp_path: Path) -> None:
    assert run.train(tiny("iterations=20", "sample_every=doubling"), tmp_path, None, []) == 0
    written = sorted({int(path.name[:6]) for path in (tmp_path / "samples").iterdir()})
    assert written == [8, 16, 20]
