"""The processes that evaluate a model together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from translate.data.module import Shard
from translate.distributed import collectives
from translate.metrics.accumulators import Accumulator, merged


@dataclass(frozen=True)
class Processes:
    """The share of this process, and the exchange of values with the others."""

    shard: Shard
    all_gather: Callable[[Any], list[Any]]  # a value -> the values of all processes, by rank

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
