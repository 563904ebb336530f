"""The official side runs the training loops of a checkout, here of tiny repositories with the official layout."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from against_plain import Batches, compare
from official import MODULES, official_step

V2 = """
import torch
from pathlib import Path

log = Path(__file__).with_name("log")

class InputFetcher:
    pass  # the benchmark has batches of its own

class Solver:
    def __init__(self, args):
        self.args = args
        self.weight = torch.zeros(args.num_domains, args.latent_dim)
    def _load_checkpoint(self, step):
        raise AssertionError("an iteration reads no file")
    def train(self, loaders):
        fetcher = InputFetcher(loaders.src, loaders.ref, self.args.latent_dim, "train")
        next(InputFetcher(loaders.val, None, self.args.latent_dim, "val"))
        if self.args.resume_iter > 0:
            self._load_checkpoint(self.args.resume_iter)
        for i in range(self.args.resume_iter, self.args.total_iters):
            b = next(fetcher)
            assert b.x_src.shape == b.x_ref.shape == b.x_ref2.shape == (2, 3, self.args.img_size, self.args.img_size)
            self.weight[b.y_ref] += b.z_trg + b.z_trg2 + b.y_src[:, None]
            print("iteration")
            with log.open("a") as file:
                file.write(f"{i} ")
"""

V1 = """
from pathlib import Path

log = Path(__file__).with_name("log")

class Solver:
    def __init__(self, celeba_loader, rafd_loader, config):
        self.celeba_loader, self.config = celeba_loader, config
        self.resume_iters, self.num_iters = config.resume_iters, config.num_iters
    def restore_model(self, iteration):
        raise AssertionError("an iteration reads no file")
    def train(self):
        data = iter(self.celeba_loader)
        next(data)
        start = 0
        if self.resume_iters:
            start = self.resume_iters
            self.restore_model(start)
        for i in range(start, self.num_iters):
            x, label = next(data)
            assert (x.shape[2], label.shape) == (self.config.image_size, (2, self.config.c_dim))
            with log.open("a") as file:
                file.write("G " if (i + 1) % self.config.n_critic == 0 else f"{i} ")
"""

CYCLEGAN = """
from pathlib import Path
from . import networks

class CycleGANModel:
    def __init__(self, opt):
        assert opt.isTrain and opt.netG == "resnet_6blocks" and opt.gpu_ids == []
    def set_input(self, batch):
        self.batch = batch
    def optimize_parameters(self):
        networks.record(self.batch["A"].shape == self.batch["B"].shape)
"""

NETWORKS = """
from pathlib import Path

def record(value):
    with Path(__file__).with_name("log").open("a") as file:
        file.write(f"{value} ")
"""

FILES = {
    "stargan_v2": {"core/__init__.py": "", "core/solver.py": V2},
    "stargan_v1": {"solver.py": V1},
    "cyclegan": {"models/__init__.py": "", "models/cycle_gan_model.py": CYCLEGAN, "models/networks.py": NETWORKS},
}
LOGS = {"stargan_v2": "0 1 2 3 4 ", "stargan_v1": "0 1 2 3 G ", "cyclegan": "True True True True True "}


def checkout_of(name: str, folder: Path) -> Path:
    """Write a repository with the official layout."""
    for file, text in FILES[name].items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(textwrap.dedent(text))
    return folder


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Undo the imports of a repository."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for module in set(sys.modules) - modules:
        if module.partition(".")[0] in ("core", "models", "solver"):
            del sys.modules[module]


@pytest.mark.parametrize("name", list(FILES))
def test_the_loops_of_a_checkout_run_one_iteration_a_call(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    step = official_step(name, checkout_of(name, tmp_path), Batches(32, 2, torch.device("cpu")))
    for k in range(5):
        step(k)
    assert (tmp_path / MODULES[name]).with_name("log").read_text() == LOGS[name]
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_official_side_takes_its_turns(tmp_path: Path) -> None:
    found = compare("cyclegan", 32, 1, ["official"], rounds=1, checkout=checkout_of("cyclegan", tmp_path))
    assert list(found["ratios"]) == ["official"]
    assert (tmp_path / "models" / "log").read_text() == "True " * 8  # a warm-up and a round of four iterations


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no core/solver\.py"):
        official_step("stargan_v2", tmp_path, Batches(32, 2, torch.device("cpu")))


def test_a_gpu_that_the_code_would_take_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SystemExit, match="CUDA_VISIBLE_DEVICES"):
        official_step("stargan_v1", checkout_of("stargan_v1", tmp_path), Batches(32, 2, torch.device("cpu")))
