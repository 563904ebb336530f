"""Training, grids and scores on a pretended GPU: no operation has tensors of both devices."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning_fabric.utilities.optimizer import _optimizers_to_device
from PIL import Image

from pretended_gpu import GPU, MixedDevices, Pretended, Pretending, move_module, moved
from training.test_models import CASES, start
from training.tiny import tiny
from translate.cli import main
from translate.runs import checkpoints
from translate.training import build


@pytest.fixture(autouse=True)
def new_parameters() -> Iterator[None]:
    """Let a module that moves have new parameters, as torch asks for where types differ."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(before)


def test_what_would_fail_on_a_gpu_fails() -> None:
    here = torch.ones(2, requires_grad=True)
    with Pretending():
        there = torch.arange(2.0, device=GPU)
        assert isinstance(there, Pretended) and there.device == GPU
        with pytest.raises(MixedDevices, match=r"aten::add has tensors of the GPU, and one of the CPU: \(2,\)"):
            here + there
        with pytest.raises(MixedDevices):
            there.numpy()
        product = (here.to(GPU) * there + torch.tensor(1.0)).sum()
        assert product.device == GPU and product.item() == 3
        product.backward()
    assert here.grad is not None and here.grad.tolist() == [0, 1]
    assert not isinstance(there.cpu(), Pretended)


@pytest.mark.parametrize("name", CASES)
def test_an_iteration_and_its_grids(name: str) -> None:
    """With the losses of a CPU."""
    model, batch = start(name)
    model.training_step(batch, 0)
    expected = {term: value.item() for term, value in model.terms.items()}
    model, batch = start(name)
    held_out = build.build_data(CASES[name]()).held_out(4)
    move_module(model)
    with Pretending():
        model.training_step(moved(batch), 0)
        assert all(p.device == GPU for p in model.parameters())
        losses = {term: value.item() for term, value in model.terms.items()}
        # convolutions are computed by other ways, and the first step of Adam is the sign of the gradient
        assert losses == pytest.approx(expected, rel=1e-2, abs=1e-3)
        model.sample_grids(moved(held_out))


def test_a_resumed_run_finds_the_counts_of_its_optimizers() -> None:
    """Lightning moves all of an optimizer's state but its counts."""
    model, batch = start("stargan_v2")
    model.training_step(batch, 0)
    checkpoint = checkpoints.capture(model, (), {})
    for moves_counts in (True, False):
        resumed, _ = start("stargan_v2")
        checkpoints.restore(resumed, checkpoint)
        parameters = move_module(resumed)
        optimizers = [resumed.optimizer(role) for role in resumed.trained]
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["params"] = [parameters[p] for p in group["params"]]
            for old in list(optimizer.state):
                optimizer.state[parameters[old]] = optimizer.state.pop(old)
        with Pretending():
            _optimizers_to_device(optimizers, GPU)
            if moves_counts:
                resumed.on_train_start()
                resumed.training_step(moved(batch), 1)
            else:
                with pytest.raises(MixedDevices, match="aten::_fused_adam_"):
                    resumed.training_step(moved(batch), 1)


EVALUATED = {
    "srgan": "[content]",
    "stargan_v1": "[content]",
    "cyclegan": "[content]",
    "pix2pix": "[paired]",
    "icgan": "[content]",
}


@pytest.mark.parametrize("name", EVALUATED)
def test_protocols(name: str, tmp_path: Path) -> None:
    run = CASES[name].trained(tmp_path / "run", "iterations=1")
    with Pretending():
        assert main(["evaluate", f"run={run}", f"metrics={EVALUATED[name]}", "device=cuda:0"]) == 0
    assert list((run / "metrics").glob("*_last.json"))


def test_scores_and_translations(tmp_path: Path) -> None:
    """Scores are those on the CPU."""
    run = tiny.trained(tmp_path / "run", "iterations=2")
    words = ["evaluate", f"run={run}", "metrics=[local,content]", "metrics.local.num_iterations=3"]
    scores = []
    for device in ("cpu", "cuda:0"):
        with Pretending():
            assert main([*words, f"device={device}", f"output={tmp_path / device}"]) == 0
        scores.append(json.loads((tmp_path / device / "metrics" / "local_last.json").read_text())["scores"])
    assert scores[1] == pytest.approx(scores[0], rel=1e-2, abs=1e-2)
    Image.new("RGB", (40, 40), (200, 120, 40)).save(tmp_path / "cat.png")
    photograph, here = f"input={tmp_path / 'cat.png'}", "device=cuda:0"
    with Pretending():
        assert main(["grid", f"weights={run}", photograph, f"output={tmp_path / 'grid.png'}", here]) == 0
        assert main(["stylize", photograph, f"output={tmp_path / 'styles'}", "size=16", "evaluations=2", here]) == 0
