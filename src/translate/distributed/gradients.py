"""Gradients of an update, averaged over all processes in buckets, while the backward pass computes the rest.

A bucket is a flat buffer of the gradients of some parameters. Its collective call begins when the last of them is
complete. All processes begin the calls of an update in one order, that of the buckets. So the buckets follow the order
in which gradients become complete: rank 0 observes it in the first update of a kind, and sends it to the others.
"""

import functools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from translate.distributed.collectives import alone, process_rank
from translate.distributed.watchdog import CollectiveCounter

BUCKET_BYTES = 25 * 2**20
"""A bucket is complete with this size: large enough for the full rate of a link, small enough to leave few waiting."""

CHECKSUM_BITS = 32

Order = tuple[int, ...]
"""Numbers of parameters, those whose gradients are complete first in front."""


class GradientReducer:
    """Averages the gradients of updates; it remembers the order in which the gradients of each update become complete.

    Updates of parameters of equal shapes share an order, so parts of a role, one for each domain, have one order.
    """

    def __init__(self, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.bucket_bytes = bucket_bytes
        self._orders: dict[tuple[torch.Size, ...], Order] = {}

    def reduction(self, parameters: Mapping[str, nn.Parameter]) -> "Reduction":
        """Return the reduction of the gradients of parameters, by name, in one update."""
        return Reduction(self, parameters)

    def known_order(self, parameters: Mapping[str, nn.Parameter]) -> Order | None:
        """Return the order in which the gradients of such an update become complete; None before the first one."""
        return self._orders.get(tuple(p.shape for p in parameters.values()))

    def agree(self, parameters: Mapping[str, nn.Parameter], observed: Sequence[int]) -> Order:
        """Return the order that rank 0 has observed, for this update and the next ones; all processes call this."""
        order = _order_of_rank_0(parameters, observed)
        self._orders[tuple(p.shape for p in parameters.values())] = order
        return order


class Reduction:
    """The gradients of parameters, by name, on their way to their mean over all processes. It is used once.

    A parameter without a gradient in some processes counts as zero there. Without any gradient it stays as it is. All
    processes must give the same names: an error is raised otherwise, on a GPU as a failed assertion of the device. No
    process waits for the device, unless a parameter has no gradient or the update is the first of its kind.
    """

    def __init__(self, reducer: GradientReducer, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self._reducer = reducer
        self._observed: list[int] = []
        self._bucket_of: dict[int, Bucket] = {}
        self._buckets: list[Bucket] = []
        self._begun = 0  # buckets
        self._is_needed = bool(parameters) and not alone()
        if self._is_needed and (order := reducer.known_order(parameters)) is not None:
            self._lay_out(order)

    @contextmanager
    def overlap(self) -> Iterator[None]:
        """Begin the collective calls in this context, during the last backward pass of the update."""
        values = self.parameters.values() if self._is_needed else ()
        hooks = [
            p.register_post_accumulate_grad_hook(functools.partial(self._on_gradient, number))
            for number, p in enumerate(values)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def finish(self) -> None:
        """Begin the calls that have not begun, wait for all, and replace the gradients by their means."""
        if not self._is_needed:
            return
        if not self._buckets:
            self._lay_out(self._reducer.agree(self.parameters, self._observed))
        for bucket in self._buckets[self._begun :]:
            bucket.begin()
        for bucket in self._buckets:
            bucket.finish()

    def _lay_out(self, order: Order) -> None:
        """Divide the parameters into buckets."""
        names, values = list(self.parameters), list(self.parameters.values())
        checksum = zlib.crc32("\n".join(names).encode())
        capacity = size = self._reducer.bucket_bytes
        for number in order:
            p = values[number]
            if size >= capacity:
                self._buckets.append(Bucket(checksum, f"{names[0]} to {names[-1]}"))
                size = 0
            self._buckets[-1].parameters.append(p)
            self._bucket_of[number] = self._buckets[-1]
            size += p.numel() * p.element_size()
        for bucket in self._buckets:
            bucket.missing = len(bucket.parameters)

    def _on_gradient(self, number: int, p: nn.Parameter) -> None:
        """Note that a gradient is complete, and begin the calls of the buckets that now are."""
        del p
        if not self._buckets:
            self._observed.append(number)
            return
        self._bucket_of[number].missing -= 1
        while self._begun < len(self._buckets) and not self._buckets[self._begun].missing:
            self._buckets[self._begun].begin()
            self._begun += 1


class Bucket:
    """Parameters whose gradients one collective call averages.

    The flat buffer holds a place for each gradient, then for each parameter whether there is a gradient, then 32 bits
    of a checksum of the names of the update.
    """

    def __init__(self, checksum: int, names: str) -> None:
        self.checksum, self.names = checksum, names
        self.parameters: list[nn.Parameter] = []
        self.missing = 0  # gradients that are not complete

    @torch.no_grad()
    def begin(self) -> None:
        """Begin the collective call."""
        self._gradients = [p.grad for p in self.parameters]
        pairs = zip(self.parameters, self._gradients, strict=True)
        places = [torch.zeros_like(p) if gradient is None else gradient for p, gradient in pairs]
        present = tuple(gradient is not None for gradient in self._gradients)
        self._facts = _facts(present, self.checksum, places[0].dtype, places[0].device)
        self._flat = torch.cat([*(place.reshape(-1) for place in places), self._facts])
        CollectiveCounter.increment()
        self._work = dist.all_reduce(self._flat, op=_operation(), async_op=True)

    @torch.no_grad()
    def finish(self) -> None:
        """Wait for the collective call and replace the gradients by their means."""
        assert self._work is not None
        self._work.wait()
        if _operation() == dist.ReduceOp.SUM:
            self._flat /= dist.get_world_size()
        _check_checksum(self._flat[-CHECKSUM_BITS:], self._facts[-CHECKSUM_BITS:], self.names)
        sizes = [p.numel() for p in self.parameters]
        *flat_means, present = self._flat[:-CHECKSUM_BITS].split([*sizes, len(sizes)])
        means = [mean.view_as(p) for mean, p in zip(flat_means, self.parameters, strict=True)]
        kept = [(g, mean) for g, mean in zip(self._gradients, means, strict=True) if g is not None]
        if kept:
            torch._foreach_copy_([g for g, _ in kept], [mean for _, mean in kept])
        if len(kept) < len(sizes):  # this alone waits for the device
            for p, mean, elsewhere in zip(self.parameters, means, present.tolist(), strict=True):
                if p.grad is None and elsewhere:
                    p.grad = mean.clone()


def _operation() -> Any:
    """Return the mean where the processes' backend has it, else the sum."""
    return dist.ReduceOp.AVG if dist.get_backend() == "nccl" else dist.ReduceOp.SUM


@functools.lru_cache(maxsize=256)
def _facts(present: tuple[bool, ...], checksum: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return for each parameter whether it has a gradient, and the bits of the checksum, on the device."""
    facts = [*present, *_bits(checksum)]
    return torch.tensor(facts, dtype=dtype).to(device, non_blocking=True)


def _bits(checksum: int) -> list[int]:
    return [checksum >> bit & 1 for bit in range(CHECKSUM_BITS)]


def _check_checksum(mean: Tensor, own: Tensor, names: str) -> None:
    """Raise an error if the checksum differs between processes; its mean then differs by 1 / N at least."""
    equal = ((mean - own).abs() * dist.get_world_size() < 0.5).all()
    torch._assert_async(equal, f"the processes update different networks; here from {names}")


@torch.no_grad()
def _order_of_rank_0(parameters: Mapping[str, nn.Parameter], observed: Sequence[int]) -> Order:
    """Return the order of completion that rank 0 has observed, then parameters without gradients, from the last one."""
    rest = sorted(set(range(len(parameters))) - set(observed), reverse=True)
    own = [*observed, *rest] if process_rank() == 0 else [0] * len(parameters)
    names = list(parameters)
    device = parameters[names[0]].device
    bits = torch.tensor(_bits(zlib.crc32("\n".join(names).encode())), dtype=torch.float64)
    flat = torch.cat([torch.tensor(own, dtype=torch.float64), bits]).to(device)
    CollectiveCounter.increment()
    dist.all_reduce(flat)
    flat = flat.cpu()
    _check_checksum(flat[-CHECKSUM_BITS:] / dist.get_world_size(), bits, f"{names[0]} to {names[-1]}")
    return tuple(int(number) for number in flat[:-CHECKSUM_BITS])
