"""A run: its folder, its repeatability, its resumption, its end by numbers and by signals."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from training.tiny import TINY, differences, go_on, tiny, train
from translate.errors import UserError
from translate.losses.adversarial import NonSaturating
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import run


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_run_folder_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    checkpoint = train(folder, "iterations=3", "sample_every=2", "checkpoint_every=1", "keep_checkpoints=2", "seed=7")
    assert checkpoint.iteration == 3
    assert checkpoint.domains == ("bear", "cat", "rabbit")
    assert checkpoint.config["seed"] == 7
    assert [p.stem for p in RunFolder(folder).checkpoints().values()] == ["000002", "000003"]
    assert [line["iteration"] for line in lines(folder)] == [1, 2, 3]
    assert "generator/latent/cycle" in lines(folder)[0]
    assert (folder / "overrides.txt").read_text().split()[-1] == "seed=7"
    assert json.loads((folder / "environment.json").read_text())["seed"] == 7
    samples = {p.name for p in (folder / "samples").iterdir()}
    assert samples == {f"00000{k}_{kind}.png" for k in (2, 3) for kind in ("cycle", "latent", "reference")}
    assert "done" in (folder / "log.txt").read_text()
    assert not list(folder.rglob("*.unfinished"))


def limited(size: int, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command whose files may not be larger than some bytes, as if the disk were full."""
    return subprocess.run(
        [sys.executable, "-m", "translate", *words],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = limited(20_000, *TINY, "iterations=3", "checkpoint_every=2", f"folder={folder}")
    assert first.returncode == 2
    assert "the run has no checkpoint yet" in first.stderr
    assert "Traceback" not in first.stderr
    assert not list(folder.rglob("*.unfinished"))
    whole = train(tmp_path / "whole", "iterations=4", "checkpoint_every=2")
    train(tmp_path / "half", "iterations=2", "checkpoint_every=2")
    again = limited(20_000, f"resume={tmp_path / 'half'}", "iterations=4", "checkpoint_every=2")
    assert again.returncode == 2
    assert (
        "the checkpoint of iteration 2 is complete. Fix: free space; continue by: python -m translate resume="
        in again.stderr
    )
    assert differences(whole, go_on(tmp_path / "half", "iterations=4")) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"folder: a file is in the place of the folder; found"):
        train(tmp_path / "file" / "run", "iterations=1")


def test_same_seed_same_run_and_other_seed_another(tmp_path: Path) -> None:
    one = train(tmp_path / "a", "iterations=2")
    assert differences(one, train(tmp_path / "b", "iterations=2", "data.num_workers=2")) == []
    assert len(differences(one, train(tmp_path / "c", "iterations=2", "seed=1"))) > 50


def test_resumed_run_equals_uninterrupted_one(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", "iterations=6")
    train(tmp_path / "half", "iterations=3")
    half = go_on(tmp_path / "half", "iterations=6")
    assert half.iteration == 6
    assert differences(whole, half) == []
    speeds = ("iterations_per_second", "images_per_second")
    strip = [
        [{k: v for k, v in line.items() if k not in speeds} for line in lines(tmp_path / w)] for w in ("whole", "half")
    ]
    assert strip[0] == strip[1]


def test_resume_refuses_other_domains(tmp_path: Path) -> None:
    train(tmp_path, "iterations=1")
    config = tiny("iterations=2", "data.domains=[cat,dog,fox]")
    with pytest.raises(UserError, match="domains"):
        run.train(config, tmp_path, tmp_path, [])


def test_non_finite_loss_stops_with_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    count = {"calls": 0}
    honest = NonSaturating.generator

    def poisoned(self: NonSaturating, logits: torch.Tensor) -> torch.Tensor:
        count["calls"] += 1
        return honest(self, logits) * (float("nan") if count["calls"] == 2 * 3 + 1 else 1.0)  # two calls an iteration

    monkeypatch.setattr(NonSaturating, "generator", poisoned)
    code = run.train(tiny("iterations=8", "checkpoint_every=2", "log_every=3"), tmp_path, None, [])
    assert code == run.FAILED
    said = capfd.readouterr().err
    assert "iteration 4" in said
    assert "generator/latent/adversarial" in said
    kept = checkpoints.newest(tmp_path)
    assert kept.iteration == 2
    assert all(t.isfinite().all() for t in kept.tensors.values())


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "translate", *TINY, f"folder={folder}", *overrides]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder.parent)


def wait_for(folder: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until a checkpoint of iteration `number` or later is there."""
    for _ in range(1200):
        if any(int(p.stem) >= number for p in RunFolder(folder).checkpoints().values()):
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("no checkpoint appeared")


def test_killed_run_resumes_to_the_bit(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", "iterations=12")
    folder = tmp_path / "killed"
    process = start(folder, "iterations=12", "checkpoint_every=1")
    wait_for(folder, 3, process)
    process.kill()
    process.wait()
    reached = checkpoints.newest(folder).iteration
    assert 3 <= reached < 12, "the kill came too late to prove anything"
    (folder / "checkpoints" / "000099.unfinished").write_bytes(b"cut short")  # as a kill while writing leaves it
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 4, "generator/la')
    assert differences(whole, go_on(folder)) == []
    assert [line["iteration"] for line in lines(folder)] == list(range(1, 13))


DIES_IN_WRITE = """
import os, signal, sys
from translate import cli
from translate.files import writing

class Deadly:
    def __init__(self, file):
        self.file = file
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        return self
    def __exit__(self, *problem):
        self.file.close()
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

def deadly_open(path, mode, **kwargs):
    file = open(path, mode, **kwargs)
    return Deadly(file) if "000005" in str(path) else file

writing.open = deadly_open
sys.exit(cli.main(sys.argv[1:]))
"""


def test_run_killed_inside_the_writing_of_a_checkpoint_resumes_to_the_bit(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", "iterations=7")
    folder = tmp_path / "killed"
    words = [*TINY, f"folder={folder}", "iterations=7", "checkpoint_every=1"]
    done = subprocess.run([sys.executable, "-c", DIES_IN_WRITE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = folder / "checkpoints" / "000005.safetensors.unfinished"
    assert left.stat().st_size > 1000
    assert checkpoints.newest(folder).iteration == 4
    assert differences(whole, go_on(folder)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_finishes_the_iteration_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "run"
    process = start(folder, "iterations=5000")
    for _ in range(1200):
        if (folder / "metrics.jsonl").exists():
            break
        time.sleep(0.05)
    os.kill(process.pid, number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    assert f"resume={folder}" in said
    assert "Traceback" not in said
    kept = checkpoints.newest(folder)
    assert 1 <= kept.iteration < 5000
    assert go_on(folder, f"iterations={kept.iteration + 1}").iteration == kept.iteration + 1


def test_checkpoint_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = train(tmp_path, "iterations=1")
    path = RunFolder(tmp_path).checkpoint(1)

    def dies(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(OSError, match="space"):
        checkpoints.write(good, path)
    assert differences(good, checkpoints.read(path)) == []


def test_unreadable_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    train(tmp_path, "iterations=1")
    path = RunFolder(tmp_path).checkpoint(1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        checkpoints.read(path)
    path.write_bytes(b"\x80\x04\x95 a pickle")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        checkpoints.read(path)
