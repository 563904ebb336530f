"""How a process uses its processor: threads, and memory that it has freed."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from translate.config.compose import load
from translate.config.schema import TrainerConfig
from translate.training import process_settings

COUNT_FAULTS = """
import resource, sys

import torch

from translate.training.process_settings import keep_freed_memory
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
    monkeypatch.setattr(process_settings.ctypes, "CDLL", lambda _: object())
    assert not process_settings.keep_freed_memory()


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, True), ({"keep_memory": False}, False), ({"accelerator": "gpu"}, False)],
)
def test_what_a_process_does_is_told(
    changes: dict[str, object], kept: bool, trainer: TrainerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(process_settings, "keep_freed_memory", lambda: told.append("memory"))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: told.append(f"{count} threads"))
    process_settings.prepare(replace(trainer, threads=3, **changes))
    assert told == ["3 threads", *(["memory"] if kept else [])]
    process_settings.prepare(replace(trainer, threads=None, keep_memory=False))
    assert len(told) == 1 + kept


@pytest.fixture
def arithmetic() -> Iterator[Callable[[], tuple[bool, bool, bool]]]:
    """Return a function: whether products, convolutions round to TF32, and whether cuDNN measures its algorithms."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn

    def read() -> tuple[bool, bool, bool]:
        return products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark

    before = read()
    yield read
    products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark = before


def test_arithmetic_of_gpus(trainer: TrainerConfig, arithmetic: Callable[[], tuple[bool, bool, bool]]) -> None:
    process_settings.prepare(trainer)
    assert arithmetic() == (True, True, True)
    process_settings.prepare(replace(trainer, tf32=False, deterministic=True))
    assert arithmetic() == (False, False, False)
    process_settings.prepare(replace(trainer, cudnn_benchmark=False, deterministic="warn"))
    assert arithmetic() == (True, True, False)
