"""Gradients are averaged by name: missing ones count as zero, and processes that update different networks stop."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from translate.distributed.collectives import all_reduce_gradients

VALUES = {
    "both": (torch.tensor([1.0, -2.0]), torch.tensor([3.0, 6.0])),
    "first": (torch.tensor([[4.0]]), None),
    "second": (None, torch.tensor([5.0, 7.0, 9.0])),
    "neither": (None, None),
}
"""The gradient of each parameter in two processes."""

SHAPES = {"both": (2,), "first": (1, 1), "second": (3,), "neither": (4,)}


def parameters(rank: int) -> dict[str, nn.Parameter]:
    made = {name: nn.Parameter(torch.zeros(shape)) for name, shape in SHAPES.items()}
    for name, parameter in made.items():
        gradient = VALUES[name][rank]
        parameter.grad = None if gradient is None else gradient.clone()
    return made


def in_process(rank: int, place: Path) -> None:
    """Average as one of two processes and write the gradients, and the error of networks that differ."""
    dist.init_process_group("gloo", init_method=f"file://{place / 'store'}", rank=rank, world_size=2)
    own = parameters(rank)
    kept = own["both"].grad
    all_reduce_gradients(own)
    assert own["both"].grad is kept  # a fused optimizer and a hook may hold the tensor
    results: dict[str, Tensor | str | None] = {name: p.grad for name, p in own.items()}
    network = nn.Linear(3, 3)  # of the same sizes in both processes, but another domain's
    network(torch.ones(1, 3)).sum().backward()
    try:
        all_reduce_gradients({f"encoder.{rank}.{name}": p for name, p in network.named_parameters()})
    except RuntimeError as error:
        results["error"] = str(error)
    torch.save(results, place / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor | str | None]]:
    place = tmp_path_factory.mktemp("processes")
    started = [subprocess.Popen([sys.executable, __file__, str(place), str(rank)]) for rank in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    return [torch.load(place / f"{rank}.pt") for rank in range(2)]


def test_gradients_are_means_and_missing_ones_are_zero(results: list[dict[str, Tensor]]) -> None:
    wanted = {"both": [2.0, 2.0], "first": [[2.0]], "second": [2.5, 3.5, 4.5]}
    for own in results:
        assert {name: own[name].tolist() for name in wanted} == wanted
        assert own["neither"] is None  # so its optimizer does not touch it


def test_processes_that_update_different_networks_are_stopped(results: list[dict[str, str]]) -> None:
    for rank, own in enumerate(results):
        assert f"the processes update different networks; here from encoder.{rank}.weight" in own["error"]


def test_one_process_changes_nothing() -> None:
    own = parameters(0)
    all_reduce_gradients(own)
    assert own["both"].grad.tolist() == [1.0, -2.0]
    assert own["second"].grad is None


if __name__ == "__main__":
    in_process(int(sys.argv[2]), Path(sys.argv[1]))
