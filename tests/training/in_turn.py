"""Train the configurations in some files in turn, by as many processes as torchrun has started of this one.

To start processes takes longer than a few iterations of a tiny model, so all that want as many share them.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from translate.config.check import check
from translate.config.schema import RunConfig, read_yaml, to_yaml
from translate.training import run


def train_in_turn(configs: Sequence[RunConfig], place: Path, count: int) -> None:
    """Train by `count` CPU processes, each configuration in the folder that it names; what it names is made in `place`.

    All are trained in one process each if `count` is 1, and several times as fast as one after another.
    """
    files = []
    for number, config in enumerate(configs):
        trainer = replace(config.trainer, accelerator="cpu", devices=count, strategy="ddp" if count > 1 else "auto")
        files.append(place / f"{count}_{number}.yaml")
        files[-1].write_text(to_yaml(replace(config, trainer=trainer)), encoding="utf-8")
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if count > 1 else []
    call(place, *start, __file__, *map(str, files))


def call(place: Path, *command: str, wanted: int = 0) -> str:
    """Run Python in a folder and return what it printed; `wanted` is the exit code that it is to end with."""
    done = subprocess.run(
        [sys.executable, *command], cwd=place, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == wanted, done.stdout + done.stderr
    return done.stdout + done.stderr


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        config = check(read_yaml(file))
        assert config.folder is not None
        if code := run.train(config, Path(config.folder), None, []):
            sys.exit(code)
