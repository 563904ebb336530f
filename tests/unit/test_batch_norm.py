"""Batch norm sees the global batch: in processes and microbatches it equals torch's batch norm on the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from translate.distributed.batch_norm import GlobalBatchNorm, global_statistics, is_synchronized, synchronize
from translate.distributed.collectives import all_reduce_mean
from translate.distributed.microbatches import rendezvous, run_microbatches
from translate.errors import UserError

SHARDS = {"2 microbatches": (1, 2), "2 processes": (2, 1), "2 processes with 2 microbatches": (2, 2)}
"""Name -> processes, microbatches of each."""


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.LeakyReLU(0.2), nn.Conv2d(6, 4, 3)]
    layers += [nn.BatchNorm2d(4, momentum=None), nn.Flatten(), nn.BatchNorm1d(4 * 9, affine=False), nn.Linear(36, 2)]
    made = nn.Sequential(*layers).double()
    for norm in (made[1], made[4]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return made


def images() -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    real, fake = torch.randn(2, 8, 3, 7, 7, generator=draws, dtype=torch.float64)
    return 3 * real + 5, fake - 2


def trained(made: nn.Module, num_microbatches: int) -> dict[str, Tensor]:
    """Return what two passes, of real and of fake images, leave: outputs, gradients, running statistics, by name."""
    count, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    real, fake = (whole.chunk(count)[rank].clone().requires_grad_() for whole in images())
    outputs: list[Tensor] = []

    def step(batch: tuple[Tensor, Tensor]) -> None:
        of_real, of_fake = made(batch[0]), made(batch[1])
        outputs.extend([of_real.detach(), of_fake.detach()])
        loss = of_real.sigmoid().square().mean() + (of_fake - 1).square().mean() + of_real.exp().mean()
        rendezvous(loss / num_microbatches, torch.autograd.backward)

    run_microbatches(step, list(zip(real.chunk(num_microbatches), fake.chunk(num_microbatches), strict=True)))
    gradients = [parameter.grad for parameter in made.parameters()]
    all_reduce_mean(gradients)
    named = {f"gradient of {name}": g for (name, _), g in zip(made.named_parameters(), gradients, strict=True)}
    of_images = {"gradient of real": real.grad / count, "gradient of fake": fake.grad / count}
    kept = {name: buffer.clone() for name, buffer in made.named_buffers()}
    made.eval()
    with torch.no_grad():
        kept["output in eval mode"] = made(images()[0])
    rows = {"of real": torch.cat(outputs[::2]), "of fake": torch.cat(outputs[1::2])}
    return {**named, **of_images, **kept, **rows}


def in_process(rank: int, num_microbatches: int, place: Path) -> None:
    """Train as one of two processes and write the results."""
    dist.init_process_group("gloo", init_method=f"file://{place / 'store'}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    made = network()
    assert synchronize(made)
    torch.save(trained(made, num_microbatches), place / f"{rank}.pt")
    dist.destroy_process_group()


def in_two_processes(num_microbatches: int, place: Path) -> dict[str, Tensor]:
    """Return the results of two processes; rows are concatenated, and the rest is equal."""
    place.mkdir()
    command = [sys.executable, __file__, str(num_microbatches), str(place)]
    started = [subprocess.Popen([*command, str(rank)]) for rank in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    first, second = (torch.load(place / f"{rank}.pt") for rank in range(2))
    rows = ("of real", "of fake", "gradient of real", "gradient of fake")
    for name, tensor in first.items():
        assert name in rows or tensor.equal(second[name]), name
    return {name: torch.cat([tensor, second[name]]) if name in rows else tensor for name, tensor in first.items()}


@pytest.fixture(scope="module", params=SHARDS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    num_processes, num_microbatches = SHARDS[request.param]
    if num_processes == 2:
        return in_two_processes(num_microbatches, tmp_path_factory.mktemp("processes") / "place")
    made = network()
    synchronize(made)
    return trained(made, num_microbatches)


def test_shards_equal_the_whole_batch(results: dict[str, Tensor]) -> None:
    wanted = trained(network(), 1)
    assert results.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(results[name], tensor, rtol=1e-12, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def test_statistics_of_half_the_batch_would_be_others() -> None:
    """The comparison can fail: torch's own batch norm on microbatches leaves other gradients."""
    parts, whole = trained(network(), 2), trained(network(), 1)
    assert not torch.allclose(parts["gradient of 0.weight"], whole["gradient of 0.weight"], rtol=1e-2)


def test_one_shard_is_torchs_batch_norm_to_the_bit() -> None:
    plain, made = network(), network()
    assert synchronize(made)
    assert all(isinstance(made[place], GlobalBatchNorm) for place in (1, 4, 6))
    assert made.state_dict().keys() == plain.state_dict().keys()
    results = trained(made, 1)
    assert all(tensor.equal(results[name]) for name, tensor in trained(plain, 1).items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_of_half_precision_have_statistics_in_float32(dtype: torch.dtype) -> None:
    norm, wanted = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    synchronize(norm)
    x = torch.randn(4, 4, 5, 5, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    outputs = []

    def step(batch: Tensor) -> None:
        y = norm(batch)
        outputs.append(y.detach())
        rendezvous(y.float().square().sum() + y.float().exp().sum(), torch.autograd.backward)

    run_microbatches(step, list(x.chunk(2)))
    reference = x.detach().float().requires_grad_()
    y = wanted(reference)
    (y.square().sum() + y.exp().sum()).backward()
    assert outputs[0].dtype == dtype
    torch.testing.assert_close(torch.cat(outputs).float(), y.detach(), rtol=2e-2, atol=2e-2)
    assert (x.grad.float() - reference.grad).norm() < 2e-2 * reference.grad.norm()
    torch.testing.assert_close(norm.running_var, wanted.running_var)


def test_a_single_value_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="more than one value of each channel"):
        global_statistics([torch.zeros(1, 3, 1, 1)])


def test_gradients_of_gradients_are_refused() -> None:
    norm = nn.BatchNorm2d(3)
    synchronize(norm)

    def step(batch: Tensor) -> None:
        batch.requires_grad_()
        rendezvous(norm(batch).sum(), lambda sums: torch.autograd.grad(sum(sums), batch, create_graph=True))

    with pytest.raises(UserError, match="cannot be differentiated twice"):
        run_microbatches(step, list(torch.randn(4, 3, 2, 2).chunk(2)))


class Own(nn.BatchNorm2d):
    """A batch norm with a forward pass of its own."""


def test_what_is_not_torchs_is_refused() -> None:
    assert not synchronize(nn.Conv2d(3, 3, 1))
    assert not is_synchronized(nn.BatchNorm2d(3))
    with pytest.raises(UserError, match="Own cannot share its statistics"):
        synchronize(Own(3))


if __name__ == "__main__":
    in_process(int(sys.argv[3]), int(sys.argv[1]), Path(sys.argv[2]))
