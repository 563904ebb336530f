"""Two processes compute what one computes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from training.tiny import TINY, train
from translate import checkpoints

# Adam turns a gradient that is rounding alone into a whole step; a large eps makes it smooth
SMOOTH = [
    override
    for role in ("generator", "mapping", "style_encoder", "discriminator")
    for override in (f"+model.optimizers.{role}.eps=1e-2", f"model.optimizers.{role}.lr=1e-4")
]
ELSEWHERE = [override for override in TINY if not override.startswith("trainer")]
TWO = ["trainer=ddp_cpu", "trainer.threads=1"]


def call(place: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=place, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def assert_near(found: checkpoints.Checkpoint, wanted: checkpoints.Checkpoint) -> None:
    assert found.iteration == wanted.iteration
    for name, tensor in wanted.tensors.items():
        if name.startswith(("network", "average")):
            torch.testing.assert_close(
                found.tensors[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> checkpoints.Checkpoint:
    """Return what five iterations in one process come to."""
    return train(tmp_path_factory.mktemp("one") / "run", "iterations=5", *SMOOTH)


@pytest.mark.parametrize("starter", ["lightning", "torchrun"])
def test_two_processes_equal_one(tmp_path: Path, one: checkpoints.Checkpoint, starter: str) -> None:
    begin = {"lightning": ["translate"], "torchrun": ["torch.distributed.run", "--nproc-per-node=2", "-m", "translate"]}
    folder = tmp_path / "two"
    call(tmp_path, *begin[starter], *ELSEWHERE, *TWO, *SMOOTH, "iterations=5", f"folder={folder}")
    assert_near(checkpoints.newest(folder), one)


def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, one: checkpoints.Checkpoint) -> None:
    folder = tmp_path / "run"
    train(folder, "iterations=2", *SMOOTH)
    call(tmp_path, "translate", f"resume={folder}", *TWO, "iterations=5")
    assert_near(checkpoints.newest(folder), one)


def further_process(folder: Path) -> int | None:
    """Return the number of the process that has joined a run."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"join" in words and str(folder).encode() in words:
            return int(place.name)
    return None


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize(("rank", "number"), [(1, signal.SIGSTOP), (0, signal.SIGKILL)])
def test_a_process_that_freezes_or_dies_is_named(tmp_path: Path, rank: int, number: int) -> None:
    folder = tmp_path / "run"
    overrides = [o for o in ELSEWHERE if not o.startswith("checkpoint_every")]
    words = [*overrides, *TWO, "iterations=100000", "checkpoint_every=2"]
    with open(tmp_path / "said.txt", "w") as said:
        first = subprocess.Popen(
            [sys.executable, "-m", "translate", *words, f"folder={folder}"], cwd=tmp_path, stdout=said, stderr=said
        )
    end = time.monotonic() + 180
    while not list((folder / "checkpoints").glob("*.safetensors")):
        assert first.poll() is None, (tmp_path / "said.txt").read_text()
        assert time.monotonic() < end
        time.sleep(0.2)
    other = further_process(folder)
    assert other is not None
    os.kill(other if rank else first.pid, number)
    end = time.monotonic() + 60
    try:
        while first.poll() is None or alive(other):
            assert time.monotonic() < end, (tmp_path / "said.txt").read_text()
            time.sleep(0.5)
    finally:
        for process in (first.pid, other):
            if alive(process):
                os.kill(process, signal.SIGKILL)
    assert f"rank {rank} of 2 processes: no sign of life" in (tmp_path / "said.txt").read_text()
    assert checkpoints.newest(folder).iteration >= 2
