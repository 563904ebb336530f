"""What several processes that train together do in common."""

import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from translate.distributed.microbatches import current_microbatch, rendezvous
from translate.distributed.watchdog import CollectiveCounter

log = logging.getLogger("translate")

FAILED = 1  # the exit code of a process that ends because another one is gone


def alone() -> bool:
    """Return whether this process trains without others."""
    return process_count() == 1


def process_rank() -> int:
    """Return the rank of this process among those that train together; 0 when alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def process_count() -> int:
    """Return how many processes train together; 1 when alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def shard_rank() -> int:
    """Return which share of the global batch is under way: that of a process, or of one of its parts."""
    return process_rank() * current_microbatch().count + current_microbatch().index


def shard_count() -> int:
    """Return into how many shares the global batch is split, over processes and parts."""
    return process_count() * current_microbatch().count


def all_reduce_mean(tensors: list[Tensor]) -> None:
    """Replace tensors, in place, by their mean over all processes; nothing happens in a single process.

    One flat buffer for all: one collective call an update, whatever the number of parameters.
    """
    if alone() or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    CollectiveCounter.increment()
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])


def gather(images: Tensor) -> Tensor:
    """Return the images (B, ...) of all processes, one below the other by rank (N * B, ...), without gradients.

    Every process must ask, with as many images.
    """
    if alone():
        return images.detach()
    mine = images.detach().contiguous()
    found = [torch.empty_like(mine) for _ in range(process_count())]
    CollectiveCounter.increment()
    dist.all_gather(found, mine)
    return torch.cat(found)


def on_global_batch(images: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the rows of the share under way, of what ``then`` makes of the images (B, ...) of all shares.

    They come to it one below the other, without gradients. Every process and every part must ask, with as many images;
    ``then`` is called once in a process, whatever the number of its parts.
    """
    whole = rendezvous(images, lambda parts: then(gather(torch.cat(parts))))
    return local_shard(whole)


def local_shard(whole: Tensor) -> Tensor:
    """Return the rows of the share under way, of what has a row for every image of the global batch."""
    return whole.chunk(shard_count())[shard_rank()]


def all_gather_object(value: Any) -> list[Any]:
    """Return the values of all processes, by rank; every process must ask. They travel as pickles."""
    if alone():
        return [value]
    found: list[Any] = [None] * process_count()
    CollectiveCounter.increment()
    dist.all_gather_object(found, value)
    return found


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether the flag is set in any process; every process must ask."""
    if alone():
        return flag
    word = torch.tensor(float(flag), device=device)
    CollectiveCounter.increment()
    dist.all_reduce(word, op=dist.ReduceOp.MAX)
    return bool(word.item())
