"""Commands whose training is replaced, in the processes that they start too: it does what the seed says."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SMALL = ["plugins=[my_lab]", "model=painter", "data=dots", "iterations=5", "metrics=none"]

# Python runs this first in every process. Seed 13 fails until there is a file `repaired`, seed 7 writes a checkpoint
# and waits for a signal, seeds from 50 on are slow; all lower their loss, and end with figures of their seed.
STUB = """
import json, os, signal, sys, time, types
run = types.ModuleType("translate.training.run")
def train(config, folder, resume_from, overrides, datasets, command, of_length):
    from translate.config.schema import to_yaml
    def checkpoint(number):
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / f"{number:06d}.safetensors").touch()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    with open(folder / "calls.txt", "a") as file:
        print(os.getpid(), resume_from is not None, os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
    print("training seed", config.seed)
    if config.seed == 13 and not os.path.exists("repaired"):
        raise ZeroDivisionError("unexpected")
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(143))
    signal.signal(signal.SIGINT, lambda *_: stop.append(130))
    for iteration in range(1, config.iterations + 1):
        with open(folder / "metrics.jsonl", "a") as file:
            print(json.dumps({"iteration": iteration, "loss": config.seed + 1 / iteration}), file=file)
        if config.seed >= 50:
            time.sleep(0.5)
        if config.seed == 7 and resume_from is None and iteration == 2:
            checkpoint(iteration)
            (folder / "waiting").touch()
            while not stop:
                time.sleep(0.05)
        if stop:
            checkpoint(iteration)
            return stop[0]
    checkpoint(config.iterations)
    figures = {"quality": config.seed % 10, "diversity": config.data.batch_size - config.seed % 10}
    told = {"protocol": "local", "checkpoint": "last", "iteration": config.iterations, "networks": "trained"}
    (folder / "metrics").mkdir(exist_ok=True)
    (folder / "metrics" / "local_last.json").write_text(json.dumps({**told, "scores": figures}))
    return 0
run.train = train
sys.modules["translate.training.run"] = run
"""


class Place:
    """A folder in which commands are given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "stub").mkdir()
        (path / "stub" / "sitecustomize.py").write_text(STUB)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(path / "stub"), *filter(None, sys.path)]),
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "translate", *words],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Give a command and wait for its end."""
        process = self.start(*words)
        out, err = process.communicate(timeout=180)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def sweep(self) -> Path:
        """Return the folder of the only sweep."""
        (found,) = (self.path / "runs" / "painter").glob("*_sweep*")
        return found

    def states(self) -> list[str]:
        """Return the states of its jobs."""
        paths = sorted((self.sweep() / "jobs").glob("*.json"))
        return [json.loads(path.read_text())["state"] for path in paths]

    def calls(self, number: int) -> list[list[str]]:
        """Return (process, whether it resumed, its GPUs) of every training of a job."""
        return calls_of(self.sweep() / str(number))


def calls_of(folder: Path) -> list[list[str]]:
    """Return (process, whether it resumed, its GPUs) of every training in a run folder."""
    return [line.split() for line in (folder / "calls.txt").read_text().splitlines()]


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
