"""How a process uses its processor: threads, and memory that it has freed."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from translate.config.compose import load
from translate.config.schema import TrainerConfig
from translate.training import cpu_process

COUNT_FAULTS = """
import resource, sys

import torch

from translate.training.cpu_process import keep_freed_memory
if sys.argv[1] == "keeping":
    print(keep_freed_memory())
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(2**24)
before = faults()
for _ in range(10):
    torch.ones(2**24)
print(faults() - before)
"""
PAGES = 10 * 2**24 * 4 // 4096  # of ten such tensors


@pytest.fixture
def trainer() -> TrainerConfig:
    return load(["model=cyclegan_small", "data=critters", "trainer=cpu"]).trainer


def test_freed_memory_is_kept() -> None:
    """Ten tensors of 64 MiB after each other come from the system ten times, unless what is freed is kept."""
    said, faults = {}, {}
    for way in ("keeping", "returning"):
        child = subprocess.run([sys.executable, "-c", COUNT_FAULTS, way], capture_output=True, text=True, check=True)
        *said[way], faults[way] = child.stdout.split()
    if said["keeping"] == ["False"]:
        pytest.skip("this C library cannot be told to keep what is freed")
    assert int(faults["keeping"]) < PAGES / 4
    assert int(faults["keeping"]) < int(faults["returning"])


def test_a_library_that_cannot_be_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_process.ctypes, "CDLL", lambda _: object())
    assert not cpu_process.keep_freed_memory()


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, True), ({"keep_memory": False}, False), ({"accelerator": "gpu"}, False)],
)
def test_what_a_process_does_is_told(
    changes: dict[str, object], kept: bool, trainer: TrainerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(cpu_process, "keep_freed_memory", lambda: told.append("memory"))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: told.append(f"{count} threads"))
    cpu_process.prepare(replace(trainer, threads=3, **changes))
    assert told == ["3 threads", *(["memory"] if kept else [])]
    cpu_process.prepare(replace(trainer, threads=None, keep_memory=False))
    assert len(told) == 1 + kept
