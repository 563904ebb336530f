"""Time ways of averaging gradients over processes: whole updates of a network, in turns, in one group of processes.

    python benchmarks/synchronizing.py
    python benchmarks/synchronizing.py --processes 8 --device cuda --size 256 --width 64 --batch 8

The network is the discriminator of StarGAN v2, an update its forward and backward pass and what averages the gradients:

    none       nothing, each process by itself: what communication is compared with
    overlap    calls for buckets of gradients, begun in the backward pass, as `translate.distributed.gradients` does
    one        one collective call for all gradients side by side, after the backward pass
    each       one collective call for each tensor, all begun before the first is waited for
    wrapper    torch's DistributedDataParallel around the network, which communicates while it computes
    unused     the same, looking for unused parameters, as one wrapper around all networks of a GAN would have to
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from translate.distributed.collectives import all_reduce_mean
from translate.distributed.gradients import GradientReducer
from translate.networks.stargan_v2 import Discriminator


def each(gradients: list[Tensor]) -> None:
    """Average gradients tensor by tensor."""
    works = [dist.all_reduce(gradient, async_op=True) for gradient in gradients]
    for work in works:
        assert work is not None
        work.wait()
    torch._foreach_div_(gradients, dist.get_world_size())


AFTERWARDS: dict[str, Callable[[list[Tensor]], None]] = {
    "none": lambda gradients: None,
    "overlap": lambda gradients: None,
    "one": all_reduce_mean,
    "each": each,
    "wrapper": lambda gradients: None,
    "unused": lambda gradients: None,
}


def process(rank: int, asked: argparse.Namespace) -> None:
    """Be one of the processes; the first one prints."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(asked.port))
    device = torch.device(asked.device, rank) if asked.device == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=asked.processes)
    torch.manual_seed(0)
    sides: dict[str, nn.Module] = {}
    for name in AFTERWARDS:
        network: nn.Module = Discriminator(2, asked.size, asked.width).to(device)
        if name in ("wrapper", "unused"):
            network = DistributedDataParallel(network, find_unused_parameters=name == "unused")
        sides[name] = network
    x = torch.randn(asked.batch, 3, asked.size, asked.size, device=device)
    domain = torch.zeros(asked.batch, dtype=torch.long, device=device)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    reducer = GradientReducer()
    for number in range(asked.rounds + 2):
        for name, network in sides.items():
            network.zero_grad(set_to_none=True)
            dist.barrier()
            began = time.perf_counter()
            reduction = reducer.reduction(dict(network.named_parameters()) if name == "overlap" else {})
            with reduction.overlap():
                network(x, domain).square().mean().backward()
            reduction.finish()
            AFTERWARDS[name]([p.grad for p in network.parameters() if p.grad is not None])
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number > 1:  # the first ones warm up
                seconds[name].append(time.perf_counter() - began)
    if rank == 0:
        count = sum(p.numel() for p in sides["none"].parameters())
        print(f"{asked.processes} processes, {count / 1e6:.1f} million parameters, batch {asked.batch} each")
        for name, found in seconds.items():
            ratios = [a / b for a, b in zip(found, seconds["none"], strict=True)]
            print(f"{name}: {1000 * statistics.median(found):.1f} ms, {statistics.median(ratios):.3f} of none")
    dist.destroy_process_group()


def main() -> None:
    """Start the processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=64, help="image side in pixels")
    parser.add_argument("--width", type=int, default=32, help="channels at full resolution")
    parser.add_argument("--batch", type=int, default=4, help="images of each process")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--port", type=int, default=29555)
    mp.spawn(process, args=(parser.parse_args(),), nprocs=parser.parse_args().processes)


if __name__ == "__main__":
    main()
