"""Collective operations of the processes that train together. A process without others returns at once."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from translate.distributed.microbatches import current_microbatch, rendezvous
from translate.distributed.watchdog import CollectiveCounter

log = logging.getLogger("translate")


def alone() -> bool:
    """Return whether this process trains without others."""
    return process_count() == 1


def process_rank() -> int:
    """Return the rank of this process; 0 without others."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def process_count() -> int:
    """Return the number of processes that train together; 1 without others."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def shard_rank() -> int:
    """Return the number of the current shard of the global batch, counted over processes and microbatches."""
    return process_rank() * current_microbatch().count + current_microbatch().index


def shard_count() -> int:
    """Return the number of shards of the global batch: processes times microbatches."""
    return process_count() * current_microbatch().count


def all_reduce_mean(tensors: list[Tensor]) -> None:
    """Replace tensors, in place, by their mean over all processes.

    One flat buffer holds all tensors, so an update needs one collective call, whatever the number of parameters.
    """
    if alone() or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    CollectiveCounter.increment()
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    means = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [mean.view_as(tensor) for mean, tensor in zip(means, tensors, strict=True)])


def gather(images: Tensor) -> Tensor:
    """Return the images (B, ...) of all processes, concatenated by rank (N * B, ...), without gradients.

    Every process must call this with the same number of images.
    """
    if alone():
        return images.detach()
    own = images.detach().contiguous()
    gathered = [torch.empty_like(own) for _ in range(process_count())]
    CollectiveCounter.increment()
    dist.all_gather(gathered, own)
    return torch.cat(gathered)


def on_global_batch(images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to the images (B, ...) of all shards, concatenated; return the rows of the current shard.

    The images have no gradients. Every process and every microbatch must call this with the same number of images.
    ``function`` is called once in each process, whatever the number of microbatches.
    """
    result = rendezvous(images, lambda microbatches: function(gather(torch.cat(microbatches))))
    return local_shard(result)


def local_shard(rows: Tensor) -> Tensor:
    """Return the rows of the current shard, of a tensor with a row for each image of the global batch."""
    return rows.chunk(shard_count())[shard_rank()]


def all_gather_object(value: Any) -> list[Any]:
    """Return the values of all processes by rank. Every process must call this. Values travel as pickles."""
    if alone():
        return [value]
    values: list[Any] = [None] * process_count()
    CollectiveCounter.increment()
    dist.all_gather_object(values, value)
    return values


def any_rank(flag: bool) -> bool:
    """Return whether the flag is set in any process. Every process must call this.

    The processes exchange the flag by their CPUs, so that none waits for its GPU in each iteration.
    """
    if alone():
        return flag
    result = torch.tensor(float(flag))
    CollectiveCounter.increment()
    dist.all_reduce(result, op=dist.ReduceOp.MAX, group=_cpu_group(dist.group.WORLD))
    return bool(result.item())


@functools.cache
def _cpu_group(world: Any) -> Any:
    """Return a group of all processes for tensors on CPUs. Every process must make the first call."""
    return world if dist.get_backend(world) == "gloo" else dist.new_group(backend="gloo")
