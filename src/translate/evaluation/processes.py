"""The processes that measure together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from translate.data.module import Shard
from translate.distributed import collectives
from translate.metrics.accumulators import Accumulator, merged


@dataclass(frozen=True)
class Group:
    """Which part this process does, and how it hears of the others' values."""

    shard: Shard
    collect: Callable[[Any], list[Any]]  # a value -> those of all processes, by rank

    @property
    def first(self) -> bool:
        """Return whether this process writes and speaks."""
        return self.shard.rank == 0

    def merged(self, accumulators: Mapping[str, Accumulator]) -> dict[str, Accumulator]:
        """Return tallies of the same names that have taken what those of all processes have."""
        everywhere = self.collect(dict(accumulators))
        return {name: merged([each[name] for each in everywhere]) for name in accumulators}

    def of_first(self, value: Any) -> Any:
        """Return the first process's value."""
        return self.collect(value)[0]


ALONE = Group(Shard(), lambda value: [value])


def together() -> Group:
    """Return the group of all processes of torch.distributed; this one alone where there are no others."""
    return Group(Shard(collectives.process_rank(), collectives.process_count()), collectives.all_gather_object)
