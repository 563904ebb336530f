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


def test_two_processes_equal_one(tmp_path: Path) -> None:
    # Adam turns a gradient that is rounding alone into a whole step; a large eps makes it smooth
    roles = ("generator", "mapping", "style_encoder", "discriminator")
    smooth = [f"+model.optimizers.{role}.eps=1e-2" for role in roles]
    smooth += [f"model.optimizers.{role}.lr=1e-4" for role in roles]
    one = train(tmp_path / "one", "iterations=5", *smooth)
    folder = tmp_path / "two"
    overrides = [o for o in TINY if not o.startswith("trainer")]
    command = [sys.executable, "-m", "translate", *overrides, "trainer=ddp_cpu", "trainer.threads=1"]
    done = subprocess.run(
        [*command, *smooth, "iterations=5", f"folder={folder}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two = checkpoints.newest(folder)
    assert two.iteration == 5
    for name, tensor in one.tensors.items():
        if name.startswith(("network", "average")):
            torch.testing.assert_close(
                two.tensors[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


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
    overrides = [o for o in TINY if not o.startswith(("trainer", "checkpoint_every"))]
    words = [*overrides, "trainer=ddp_cpu", "trainer.threads=1", "iterations=100000", "checkpoint_every=2"]
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
