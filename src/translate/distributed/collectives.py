"""Collective operations of the processes that train together. A process without others returns at once."""

import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

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


def all_reduce_gradients(parameters: Mapping[str, nn.Parameter]) -> None:
    """Replace the gradients of parameters, by name, by their mean over all processes.

    A parameter without a gradient in some processes counts as zero there. Without any gradient it stays as it is. All
    processes must give the same names: an error is raised otherwise, on a GPU as a failed assertion of the device.
    One flat buffer holds a place for each parameter, then for each parameter whether there is a gradient, then 32 bits
    of a checksum of the names. So an update needs one collective call, and no process waits for the device.
    """
    if alone() or not parameters:
        return
    names, values = list(parameters), list(parameters.values())
    gradients = [p.grad for p in values]
    places = [torch.zeros_like(p) if g is None else g for p, g in zip(values, gradients, strict=True)]
    checksum = zlib.crc32("\n".join(names).encode())
    facts = [g is not None for g in gradients] + [checksum >> bit & 1 for bit in range(CHECKSUM_BITS)]
    own = torch.tensor(facts, dtype=places[0].dtype).to(places[0].device, non_blocking=True)
    flat = torch.cat([*(place.reshape(-1) for place in places), own])
    CollectiveCounter.increment()
    dist.all_reduce(flat)
    count = dist.get_world_size()
    torch._assert_async(
        (flat[-CHECKSUM_BITS:] == own[-CHECKSUM_BITS:] * count).all(),
        f"the processes update different networks; here from {names[0]} to {names[-1]}",
    )
    *sums, present = flat[:-CHECKSUM_BITS].split([*(p.numel() for p in values), len(values)])
    means = [(each / count).view_as(p) for each, p in zip(sums, values, strict=True)]
    kept = [(g, mean) for g, mean in zip(gradients, means, strict=True) if g is not None]
    if kept:
        torch._foreach_copy_([g for g, _ in kept], [mean for _, mean in kept])
    if len(kept) < len(values):  # this alone waits for the device
        for p, mean, elsewhere in zip(values, means, present.tolist(), strict=True):
            if p.grad is None and elsewhere:
                p.grad = mean.clone()


CHECKSUM_BITS = 32


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


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether the flag is set in any process. Every process must call this."""
    if alone():
        return flag
    result = torch.tensor(float(flag), device=device)
    CollectiveCounter.increment()
    dist.all_reduce(result, op=dist.ReduceOp.MAX)
    return bool(result.item())
