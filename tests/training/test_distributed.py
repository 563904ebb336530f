"""Two processes compute what one computes."""

import subprocess
import sys
from pathlib import Path

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
