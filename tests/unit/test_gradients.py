"""Gradients are averaged by name, in buckets, while the backward pass runs; processes that differ stop."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from translate.distributed.gradients import GradientReducer

VALUES = {
    "both": (torch.tensor([1.0, -2.0]), torch.tensor([3.0, 6.0])),
    "first": (torch.tensor([[4.0]]), None),
    "second": (None, torch.tensor([5.0, 7.0, 9.0])),
    "neither": (None, None),
}
"""The gradient of each parameter in two processes."""

SHAPES = {"both": (2,), "first": (1, 1), "second": (3,), "neither": (4,)}
WANTED = {"both": [2.0, 2.0], "first": [[2.0]], "second": [2.5, 3.5, 4.5]}
LAYERS, WIDTH = 4, 3


def parameters(rank: int) -> dict[str, nn.Parameter]:
    made = {name: nn.Parameter(torch.zeros(shape)) for name, shape in SHAPES.items()}
    for name, parameter in made.items():
        gradient = VALUES[name][rank]
        parameter.grad = None if gradient is None else gradient.clone()
    return made


def averaged(rank: int, reducer: GradientReducer) -> dict[str, Tensor | None]:
    """Return the means of given gradients."""
    own = parameters(rank)
    kept = own["both"].grad
    reducer.reduction(own).finish()
    assert own["both"].grad is kept  # a fused optimizer and a hook may hold the tensor
    return {name: p.grad for name, p in own.items()}


def error_of_other_networks(rank: int) -> str:
    """Return the error of networks that differ: of the same sizes in both processes, but another domain's."""
    network = nn.Linear(3, 3)
    network(torch.ones(1, 3)).sum().backward()
    try:
        GradientReducer().reduction({f"encoder.{rank}.{name}": p for name, p in network.named_parameters()}).finish()
    except RuntimeError as error:
        return str(error)
    return "no error"


def network() -> nn.Sequential:
    """Return linear layers whose names are in no order of the backward pass."""
    generator = torch.Generator().manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))
    for p in layers.parameters():
        p.data.normal_(generator=generator)
    return layers


def backward(layers: nn.Sequential, rank: int, order: tuple[int, ...]) -> None:
    """Go through the layers in ``order`` and back."""
    x = torch.full((1, WIDTH), rank + 1.0)
    for number in order:
        x = layers[number](x)
    x.sum().backward()


def overlapped(rank: int) -> dict[str, Any]:
    """Return gradients of three updates, their wanted means, and how many calls began before each layer's gradient.

    The layers are used in the order 2, 0, 3, 1. In the third update, process 1 does not use layer 1.
    """
    reducer = GradientReducer(bucket_bytes=4 * (WIDTH * WIDTH + WIDTH))
    begun: list[int] = []
    plain_call = dist.all_reduce
    log: list[list[int]] = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        begun.append(1)
        return plain_call(*args, **kwargs)

    gradients, wanted = [], []
    for update in range(3):
        order = (2, 0, 3) if update == 2 and rank == 1 else (2, 0, 3, 1)
        layers, alone = network(), network()
        backward(alone, rank, order)
        for p in alone.parameters():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            plain_call(p.grad)
        wanted.append({name: p.grad / 2 for name, p in alone.named_parameters()})
        counts = [0] * LAYERS
        for number, layer in enumerate(layers):
            layer.weight.register_hook(
                lambda gradient, number=number, counts=counts: counts.__setitem__(number, len(begun))
            )
        begun.clear()
        reduction = reducer.reduction(dict(layers.named_parameters()))
        with mock.patch.object(dist, "all_reduce", counting):
            with reduction.overlap():
                backward(layers, rank, order)
            reduction.finish()
        log.append([*counts, len(begun)])
        gradients.append({name: p.grad for name, p in layers.named_parameters()})
    return {"gradients": gradients, "wanted": wanted, "log": log}


def averaged_by_backend(rank: int) -> dict[str, Tensor | None]:
    """Return the means of given gradients by a backend that averages: gloo, which adds and divides behind its back."""
    plain_call, operations = dist.all_reduce, []

    def average(tensor: Tensor, op: Any = dist.ReduceOp.SUM, **kwargs: Any) -> Any:
        operations.append(op)
        if op == dist.ReduceOp.AVG:
            tensor /= 2
        return plain_call(tensor, **kwargs)

    with mock.patch.object(dist, "all_reduce", average), mock.patch.object(dist, "get_backend", lambda: "nccl"):
        means = averaged(rank, GradientReducer())
    assert operations[1:] == [dist.ReduceOp.AVG]
    return means


def in_process(rank: int, place: Path) -> None:
    """Average as one of two processes and write the gradients, and the error of networks that differ."""
    dist.init_process_group("gloo", init_method=f"file://{place / 'store'}", rank=rank, world_size=2)
    reducer = GradientReducer(bucket_bytes=8)
    results = {
        "first update": averaged(rank, reducer),
        "second update": averaged(rank, reducer),
        "AVG": averaged_by_backend(rank),
        "overlapped": overlapped(rank),
        "error": error_of_other_networks(rank),
    }
    torch.save(results, place / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    place = tmp_path_factory.mktemp("processes")
    started = [subprocess.Popen([sys.executable, __file__, str(place), str(rank)]) for rank in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    return [torch.load(place / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", ["first update", "second update", "AVG"])
def test_gradients_are_means_and_missing_ones_are_zero(results: list[dict[str, Any]], name: str) -> None:
    for own in (result[name] for result in results):
        assert {name: own[name].tolist() for name in WANTED} == WANTED
        assert own["neither"] is None  # so its optimizer does not touch it


def test_overlapped_gradients_are_the_same_means(results: list[dict[str, Any]]) -> None:
    for own in (result["overlapped"] for result in results):
        for gradients, wanted in zip(own["gradients"], own["wanted"], strict=True):
            assert gradients.keys() == wanted.keys()
            assert all(torch.equal(gradients[name], wanted[name]) for name in wanted)


def test_calls_begin_while_the_backward_pass_runs(results: list[dict[str, Any]]) -> None:
    first, second, _ = results[0]["overlapped"]["log"]
    assert first == [0, 0, 0, 0, 1 + LAYERS]  # the order is not known: one call agrees on it
    assert second == [2, 0, 3, 1, LAYERS]  # layers 1, 3, 0, 2 in turn; the last call begins after the last gradient
    assert results[1]["overlapped"]["log"][1] == second


def test_a_missing_gradient_holds_back_its_call_and_the_next_ones(results: list[dict[str, Any]]) -> None:
    assert results[0]["overlapped"]["log"][2] == [2, 0, 3, 1, LAYERS]
    assert results[1]["overlapped"]["log"][2] == [0, 0, 0, 0, LAYERS]  # layer 1 is in the first bucket


def test_processes_that_update_different_networks_are_stopped(results: list[dict[str, Any]]) -> None:
    for rank, own in enumerate(results):
        assert f"the processes update different networks; here from encoder.{rank}.weight" in own["error"]


def test_one_process_changes_nothing() -> None:
    own = parameters(0)
    reduction = GradientReducer().reduction(own)
    with reduction.overlap():
        own["both"].sum().backward()
    reduction.finish()
    assert own["both"].grad.tolist() == [2.0, -1.0]
    assert own["second"].grad is None


if __name__ == "__main__":
    in_process(int(sys.argv[2]), Path(sys.argv[1]))
