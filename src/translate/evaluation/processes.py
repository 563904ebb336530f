"""The processes that evaluate a model together."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from translate import signals
from translate.data.module import Shard
from translate.distributed import collectives
from translate.metrics.accumulators import Accumulator, merged


@dataclass(frozen=True)
class _Stopped:
    """The value of a process whose work a signal has ended."""

    number: int


class _StoppedTogether(signals.Interrupted):
    """The same signal, known to all processes."""


@dataclass(frozen=True)
class Processes:
    """The share of this process, and the exchange of values with the others."""

    shard: Shard
    exchange: Callable[[Any], list[Any]]  # a value -> the values of all processes, by rank

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all processes by rank; `Interrupted` if a signal has ended the work of one."""
        values = self.exchange(value)
        for each in values:
            if isinstance(each, _Stopped):
                raise _StoppedTogether(each.number)
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let a signal to one process end the block in all of them, which exchange values by `all_gather` alone.

        A process that `signals.check` stops sends its number instead of a value, to whichever exchange is the next of
        the others. There is one more at the end of the block, so there always is a next one.
        """
        with nullcontext() if self.shard.count == 1 else signals.deferred():
            try:
                yield
                self.all_gather(None)
            except _StoppedTogether:
                raise
            except signals.Interrupted as interrupt:
                self.exchange(_Stopped(interrupt.number))
                raise

    @property
    def is_first(self) -> bool:
        """Return whether this process writes files and logs."""
        return self.shard.rank == 0

    def merged(self, accumulators: Mapping[str, Accumulator]) -> dict[str, Accumulator]:
        """Return the accumulators of all processes merged by name."""
        gathered = self.all_gather(dict(accumulators))
        return {name: merged([each[name] for each in gathered]) for name in accumulators}

    def from_first(self, value: Any) -> Any:
        """Return the value of the first process."""
        return self.all_gather(value)[0]


SINGLE_PROCESS = Processes(Shard(), lambda value: [value])


def all_processes() -> Processes:
    """Return all processes of torch.distributed; this one alone where it is not in use."""
    return Processes(Shard(collectives.process_rank(), collectives.process_count()), collectives.all_gather_object)
