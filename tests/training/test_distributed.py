"""How several processes are started, what they write, how a run goes on with others, and how they end.

That they compute what one process computes is shown for every model in `test_many_processes`.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.in_turn import call
from training.test_evaluate import FEATURES
from training.tiny import RUN, TINY, tiny, tiny_cyclegan, train
from translate.runs import checkpoints

# Adam turns a gradient that is rounding alone into a whole step; a large eps makes it smooth
SMOOTH = [
    override
    for role in ("generator", "mapping", "style_encoder", "discriminator")
    for override in (f"+model.optimizers.{role}.eps=1e-2", f"model.optimizers.{role}.lr=1e-4")
]
ELSEWHERE = [override for override in TINY if not override.startswith("trainer")]
TWO = ["trainer=ddp_cpu", "trainer.threads=1"]
WHOLE = [*SMOOTH, *FEATURES, "iterations=4", "sample_every=2", "checkpoint_every=2", "evaluate_every=2", "best=FID"]
"""Overrides of a run that writes all that a run can write."""


def assert_near(found: checkpoints.Checkpoint, wanted: checkpoints.Checkpoint) -> None:
    assert found.iteration == wanted.iteration
    for name, tensor in wanted.tensors.items():
        if name.startswith(("network", "ema")):
            torch.testing.assert_close(
                found.tensors[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run in one process."""
    folder = tmp_path_factory.mktemp("one") / "run"
    train(folder, *WHOLE)
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def numbers(value: Any) -> list[float]:
    """Return the numbers in a JSON value, in their order, without those of speeds and clocks."""
    if isinstance(value, dict):
        return [n for key, v in value.items() if "second" not in key for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, int | float) else []


def figures(path: Path) -> list[float]:
    text = path.read_text()
    return numbers([json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text))


def sentences(log: Path, folder: Path) -> list[str]:
    """Return the lines of a log without times, figures, and the run's own place."""
    lines = log.read_text().replace(str(folder), "RUN").splitlines()
    return [re.sub(r"-?[\d.]+(e-?\d+)?", "#", line.split(" ", 2)[2]) for line in lines if line[:2] == "20"]


@pytest.mark.parametrize("starter", ["lightning", "torchrun"])
def test_a_run_folder_is_that_of_one_process(tmp_path: Path, one: Path, starter: str) -> None:
    begin = {
        "lightning": ["-m", "translate"],
        "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "translate"],
    }
    folder = tmp_path / "two"
    call(tmp_path, *begin[starter], *ELSEWHERE, *TWO, *WHOLE, f"folder={folder}")
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    assert files(folder) == files(one)
    assert sentences(folder / "log.txt", folder) == sentences(one / "log.txt", one)
    for name in files(one):
        if name.endswith(".safetensors"):
            assert_near(checkpoints.read(folder / name), checkpoints.read(one / name))
        elif name.endswith(".png"):
            pixels = [np.asarray(Image.open(run / name)).astype(int) for run in (one, folder)]
            assert np.abs(pixels[0] - pixels[1]).max() <= 1, name
        elif name.startswith("metrics"):
            assert figures(folder / name) == pytest.approx(figures(one / name), rel=1e-4, abs=1e-4), name
    assert (folder / "data.json").read_text() == (one / "data.json").read_text()


def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, one: Path) -> None:
    folder = tmp_path / "run"
    train(folder, *SMOOTH, "iterations=2")
    call(tmp_path, "-m", "translate", f"resume={folder}", *TWO, "iterations=4")
    assert_near(checkpoints.newest(folder), checkpoints.newest(one))


# --- SLURM, by the environment in which its srun starts processes -------------------------------------------


def srun(place: Path, num_nodes: int, *words: str) -> list["subprocess.Popen[str]"]:
    """Begin the two tasks of a job, on one node or on two."""
    shared = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": str(num_nodes),
        "SLURM_NTASKS_PER_NODE": str(2 // num_nodes),
        "SLURM_NODELIST": "127.0.0.1,localhost",
        "MASTER_PORT": str(free_port()),
    }
    processes = []
    for task in range(2):
        node, local = divmod(task, 2 // num_nodes)
        own = {"SLURM_PROCID": str(task), "SLURM_NODEID": str(node), "SLURM_LOCALID": str(local)}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "translate", *words],
                cwd=place,
                env={**os.environ, **shared, **own},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return processes


@pytest.mark.parametrize("num_nodes", [1, 2])
def test_tasks_of_slurm_are_one_run_that_ends_in_time_and_goes_on(tmp_path: Path, num_nodes: int) -> None:
    """SIGUSR1 comes before the time limit; the same command, in a job that was put back, goes on."""
    folder = tmp_path / "run"
    words = [*ELSEWHERE, *TWO, *SMOOTH, f"trainer.devices={2 // num_nodes}", f"trainer.num_nodes={num_nodes}"]
    words += ["resume=auto", f"folder={folder}"]
    tasks = srun(tmp_path, num_nodes, *words, "iterations=100000", "checkpoint_every=2")
    end = time.monotonic() + 180
    while not list((folder / "checkpoints").glob("*.safetensors")):
        assert all(task.poll() is None for task in tasks), [task.communicate()[0] for task in tasks]
        assert time.monotonic() < end
        time.sleep(0.1)
    for task in tasks:
        task.send_signal(signal.SIGUSR1)
    said = [task.communicate(timeout=60)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [128 + signal.SIGUSR1] * 2, said
    assert said[0].count("SIGUSR1: finishing this iteration and writing a checkpoint") == 1
    reached = checkpoints.newest(folder).iteration
    assert f"stopped at iteration {reached} of 100000" in said[0]
    again = srun(tmp_path, num_nodes, *words, f"iterations={reached + 2}", "checkpoint_every=2")
    said = [task.communicate(timeout=180)[0] for task in again]
    assert [task.returncode for task in again] == [0, 0], said
    assert checkpoints.newest(folder).iteration == reached + 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_slurm_and_the_configuration_have_to_agree(tmp_path: Path) -> None:
    tasks = srun(tmp_path, 1, *ELSEWHERE, "trainer=ddp_cpu", "trainer.devices=4", f"folder={tmp_path / 'run'}")
    for task in tasks:
        said = task.communicate(timeout=180)[0]
        assert task.returncode == 2, said
        assert "trainer.devices: srun must start one process for each device; found 4, expected 2" in said
        assert "as SLURM's --ntasks-per-node=2 says" in said
        assert "Traceback" not in said


# --- what cannot be trained together ------------------------------------------------------------------------


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    said = call(tmp_path, "-m", "translate", *ELSEWHERE, *TWO, "data.batch_size=5", "folder=run", wanted=2)
    assert "data.batch_size: the global batch is split evenly; found 5, expected a multiple of 2" in said
    assert not any(tmp_path.iterdir())


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def on_machines(places: list[Path], *words: str) -> list["subprocess.Popen[str]"]:
    """Begin a run of a process on each of some machines, every one of which has a folder of its own here."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(len(places))}
    several = [*TWO, "trainer.devices=1", f"trainer.num_nodes={len(places)}"]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "translate", *words, *several],
            cwd=place,
            env={**os.environ, **shared, "NODE_RANK": str(rank), "LOCAL_RANK": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, place in enumerate(places)
    ]


def test_machines_with_different_files_end_and_say_so(tmp_path: Path) -> None:
    places = [tmp_path / "first", tmp_path / "second"]
    for domain in ("cat", "dog"):
        folder = places[0] / "photos" / domain
        folder.mkdir(parents=True)
        for k in range(6):
            Image.new("RGB", (40, 40), (40 * k, 90, 120)).save(folder / f"{k}.png")
    shutil.copytree(places[0], places[1])
    (places[1] / "photos" / "dog" / "0.png").unlink()
    data = ["data=folder", "data.root=photos", "data.val_fraction=0.3", "data.batch_size=4", "data.num_workers=0"]
    words = [*tiny.model, *data, "data.image_size=32", "data.cache=null", *RUN, f"folder={tmp_path / 'run'}"]
    running = on_machines(places, *words)
    said = [process.communicate(timeout=600)[0] for process in running]  # the backend's own limit is half an hour
    assert [process.returncode for process in running] == [2, 2], said
    for text in said:
        found = re.search(r"data: .*: (\d) (\w+) images on rank 1 of 2 \(.*\), (\d) \2 images on rank 0 \(", text)
        assert found is not None, text
        assert int(found[1]) != int(found[3])
        assert "Traceback" not in text
    assert not list(tmp_path.rglob("*.safetensors"))


# --- sweeps -------------------------------------------------------------------------------------------------


def test_runs_of_a_sweep_have_processes_of_their_own(tmp_path: Path) -> None:
    """The first run fails by its numbers, in both of its processes; the second is trained all the same."""
    sweep = ["-m", *ELSEWHERE, *TWO, "iterations=2", "model.optimizers.discriminator.lr=1e20,1e-4"]
    said = call(tmp_path, "-m", "translate", *sweep, "hydra.sweep.dir=sweep", wanted=1)
    assert "2 runs: 1 finished, 1 failed" in said
    assert said.count("became NaN or infinite") == 2  # once by the run, not by each process, and by the sweep
    records = [json.loads((tmp_path / "sweep" / "jobs" / f"{k}.json").read_text()) for k in range(2)]
    assert [record["state"] for record in records] == ["failed", "finished"]
    for number, found in enumerate(([], ["000002.safetensors"])):
        run = tmp_path / "sweep" / str(number)
        assert [path.name for path in run.glob("checkpoints/*")] == found
        assert "devices: 2" in (run / "config.yaml").read_text()
    assert not (tmp_path / "runs").exists()


# --- processes that die or freeze ---------------------------------------------------------------------------


def further_process(folder: Path) -> int | None:
    """Return the number of the process that has joined a run."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"join" in words and f"run={folder}".encode() in words:
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
    first, other = two_that_train(tmp_path, *ELSEWHERE)
    os.kill(other if rank else first.pid, number)
    assert f"rank {rank} of 2 processes: no heartbeat" in what_they_say(tmp_path, first, other)
    assert checkpoints.newest(tmp_path / "run").iteration >= 2


STALLING = """
import os, sys, threading, time
def patch():
    while not hasattr(sys.modules.get("translate.models.cyclegan"), "CycleGAN"):
        time.sleep(0.05)
    model = sys.modules["translate.models.cyclegan"].CycleGAN
    step = model.step
    def stalling(self, batch):
        while os.path.exists("stall") and sys.modules["translate.distributed.collectives"].process_rank() == 1:
            time.sleep(1)
        step(self, batch)
    model.step = stalling
threading.Thread(target=patch, daemon=True).start()
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_a_process_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of rank 1 does not end, while its other threads go on; rank 0 waits for it."""
    (tmp_path / "sitecustomize.py").write_text(STALLING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    words = [*tiny_cyclegan.model, *tiny_cyclegan.data, *RUN, "trainer.hang_timeout=10"]
    first, other = two_that_train(tmp_path, *(word for word in words if not word.startswith("trainer=")))
    (tmp_path / "stall").touch()
    said = what_they_say(tmp_path, first, other)
    assert re.search(r"rank 1 of 2 processes: behind the others at a collective call for 10\.0 seconds, so hung", said)
    assert checkpoints.newest(tmp_path / "run").iteration >= 2


def two_that_train(place: Path, *overrides: str) -> tuple["subprocess.Popen[bytes]", int]:
    """Begin a run of two processes that would train for days; return both when it has a checkpoint."""
    kept = [override for override in overrides if not override.startswith("checkpoint_every")]
    words = [*kept, *TWO, "iterations=100000", "checkpoint_every=2", f"folder={place / 'run'}"]
    with open(place / "said.txt", "w") as said:
        first = subprocess.Popen(
            [sys.executable, "-m", "translate", *words], cwd=place, stdout=said, stderr=subprocess.STDOUT
        )
    end = time.monotonic() + 180
    while not list((place / "run" / "checkpoints").glob("*.safetensors")):
        assert first.poll() is None, (place / "said.txt").read_text()
        assert time.monotonic() < end
        time.sleep(0.2)
    other = further_process(place / "run")
    assert other is not None
    return first, other


def what_they_say(place: Path, first: "subprocess.Popen[bytes]", other: int) -> str:
    """Return what two processes have said when both have ended, within a minute."""
    end = time.monotonic() + 60
    try:
        while first.poll() is None or alive(other):
            assert time.monotonic() < end, (place / "said.txt").read_text()
            time.sleep(0.5)
    finally:
        for process in (first.pid, other):
            if alive(process):
                os.kill(process, signal.SIGKILL)
    return (place / "said.txt").read_text()
