"""Whether the processes of a run see the same data.

Each draws its share of a batch by the numbers of items. On a machine whose copy is older or not whole the same numbers
mean other pictures, and a run would go on without a word.
"""

import hashlib
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from translate.distributed import collectives
from translate.errors import UserError


def agree(facts: Sequence[str], collect: Callable[[Any], list[Any]] = collectives.all_gather_object) -> None:
    """Raise UserError, in every process, if what they see is not the same; every process must ask.

    ``facts`` are what is seen, in words, the plainest first; ``collect`` gives the values of all processes, by rank.
    """
    seen = collect((socket.gethostname(), list(facts)))
    first_host, wanted = seen[0]
    problems: dict[str, list[int]] = {}
    for rank, (host, found) in enumerate(seen):
        if found != wanted:
            mine, first = next(pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1])
            told = f"(on {host}) found {mine}, but rank 0 (on {first_host}) found {first}"
            problems.setdefault(told, []).append(rank)
    if problems:
        whole = "; ".join(
            f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {len(seen)} processes {told}"
            for told, ranks in problems.items()
        )
        raise UserError(
            f"data: {whole}; give all of them the same files, copied with their times (rsync -a), or one folder that "
            "all can read"
        )


def digest(values: Iterable[object]) -> str:
    """Return a few letters that tell one list of arrays and words from another.

    >>> digest([np.arange(3)]) == digest([np.arange(3)]), digest([np.arange(3)]) == digest([np.arange(4)])
    (True, False)
    """
    found = hashlib.sha256()
    for value in values:
        found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.hexdigest()[:12]
