"""What a run lacks is said before it begins, and the run folder is not touched."""

import platform
import shutil
import socket
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

from training.tiny import tiny, train
from translate.data import decoding
from translate.errors import ConfigError, UserError
from translate.evaluation import pretrained
from translate.profiling import timing
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build, preflight, run

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
Disk = namedtuple("Disk", ["total", "used", "free"])


def refused(folder: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        run.train(tiny("iterations=1", *overrides), folder, None, [])
    return str(caught.value)


@NO_GPU
@pytest.mark.parametrize("trainer", ["gpu", "ddp"])
def test_a_device_that_is_not_there_is_named_before_the_run(trainer: str, tmp_path: Path) -> None:
    said = refused(tmp_path / "run", f"trainer={trainer}", "trainer.accelerator=gpu", "trainer.devices=1")
    assert said == (
        "trainer.accelerator: torch finds no such device on this machine; found 'gpu'. "
        "Fix: set trainer=cpu, or trainer=auto"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("devices", "fits"), [("1", True), ("2", True), ("3", False), ("[0,1]", True), ("[2]", False), ("auto", True)]
)
def test_more_gpus_than_there_are(devices: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    trainer = tiny("trainer.accelerator=gpu", f"trainer.devices={devices}", "data.batch_size=12").trainer
    problems = [str(problem) for problem in preflight._devices(trainer)]
    expected = "expected devices of the 2 that torch finds on this machine"
    assert [problem.partition(", ")[2] for problem in problems] == ([] if fits else [expected])


def test_a_port_in_use_is_named_before_processes_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = ("trainer.devices=2", "trainer.strategy=ddp")
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        assert f"MASTER_PORT: another program uses this port; found {port}" in refused(tmp_path / "run", *two)
        assert not (tmp_path / "run").exists()
    assert list(preflight._port(tiny(*two).trainer)) == []
    monkeypatch.setenv("MASTER_PORT", "eight")
    assert "expected a port, 1 to 65535" in refused(tmp_path / "run", *two)
    assert list(preflight._port(tiny().trainer)) == []  # one process needs no port


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "folder: a file is in the place of the folder; found" in refused(tmp_path / "file" / "run")
    assert "folder: /proc/nothing/run cannot be written (" in refused(Path("/proc/nothing/run"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_weights_of_metrics_are_looked_for_before_the_run(tmp_path: Path) -> None:
    said = refused(tmp_path / "run", "metrics=clean", f"metrics.fid_clean.weights={tmp_path / 'inception.pt'}")
    assert "metrics.fid_clean.weights: there is no file" in said
    assert not (tmp_path / "run").exists()


def test_named_weights_of_metrics_are_read_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "inception.pt").write_bytes(b"these are no weights")
    named = f"metrics.fid_clean.weights={tmp_path / 'inception.pt'}"
    said = refused(tmp_path / "run", "metrics=clean", named, "~metrics.kid_clean", "~metrics.prdc_clean")
    assert str(tmp_path / "inception.pt") in said
    assert not (tmp_path / "run").exists()


def test_a_metric_with_fewer_sources_than_domains(tmp_path: Path) -> None:
    """Each domain needs an image, which is the reference of others; the scores of all were lost at the end."""
    said = refused(tmp_path / "run", "metrics=local", "metrics.local.num_sources=2")
    assert said == "metrics.local.num_sources: found 2, expected at least 3, an image of each domain"
    assert not RunFolder(tmp_path / "run").checkpoints()


def test_a_library_of_a_metric_is_looked_for_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    assert "metrics.fid_clean: the metric needs the library torch_fidelity" in refused(
        tmp_path / "run", "metrics=clean"
    )
    assert not (tmp_path / "run").exists()


def test_a_disk_without_room_for_two_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = preflight.checkpoint_bytes(build.build_model(tiny()))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10 * size, 9 * size, 2 * size - 1))
    said = refused(tmp_path / "run")
    assert said.startswith(f"{tmp_path / 'run'}: the disk has too little room for checkpoints; found ")
    assert not RunFolder(tmp_path / "run").checkpoints()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10 * size, 8 * size, 2 * size))
    train(tmp_path / "run", "iterations=1")


def test_the_size_of_a_checkpoint_is_known_before_the_first_one(tmp_path: Path) -> None:
    written = train(tmp_path, "iterations=1")
    actual = sum(t.numel() * t.element_size() for t in written.tensors.values())
    estimate = preflight.checkpoint_bytes(build.build_model(tiny()))
    counters = sum(t.numel() * t.element_size() for name, t in written.tensors.items() if name.endswith(".step"))
    assert actual - counters == estimate
    assert checkpoints.newest(tmp_path).iteration == 1


def with_processor(
    monkeypatch: pytest.MonkeyPatch, machine: str, *, avx512_bf16: bool = False, amx: bool = False
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


def test_emulated_bfloat16_is_refused_unless_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bf16 = "trainer.precision=bf16-mixed"
    with_processor(monkeypatch, "x86_64")
    said = refused(tmp_path / "run", bf16)
    assert said.startswith("trainer.precision: this processor has no instructions for bfloat16")
    assert "trainer.emulate_bf16=true" in said
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="no instructions for bfloat16"):
        timing.measure_speed(tiny(bf16), timing.Length(warmup=1, iterations=1))
    assert [*preflight.bfloat16_is_fast(tiny(bf16, "trainer.emulate_bf16=true").trainer)] == []
    assert [*preflight.bfloat16_is_fast(tiny().trainer)] == []
    assert [*preflight.bfloat16_is_fast(tiny(bf16, "trainer.accelerator=gpu").trainer)] == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [*preflight.bfloat16_is_fast(tiny(bf16, "trainer.accelerator=auto").trainer)] == []


@pytest.mark.parametrize(
    ("machine", "found"), [("x86_64", {"avx512_bf16": True}), ("AMD64", {"amx": True}), ("aarch64", {})]
)
def test_processors_that_may_train_in_bfloat16(
    machine: str, found: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_processor(monkeypatch, machine, **found)
    assert [*preflight.bfloat16_is_fast(tiny("trainer.precision=bf16-mixed").trainer)] == []


@pytest.mark.parametrize("threads", [1, 3, None])
def test_decoding_obeys_the_number_of_threads(
    threads: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pools: list[int] = []

    class Pool(decoding.ThreadPoolExecutor):
        def __init__(self, max_workers: int, **settings: Any) -> None:
            pools.append(max_workers)
            super().__init__(max_workers, **settings)

    monkeypatch.setattr(decoding, "ThreadPoolExecutor", Pool)
    config = tiny(f"data.cache={tmp_path}", f"trainer.threads={'null' if threads is None else threads}")
    build.build_data(config).images("train")
    assert pools == [threads or decoding._available_cpus()]
