"""Check that all processes of a run see the same data.

Each process draws its part of a batch by the numbers of items. On a machine with an older or incomplete copy of the
data, the same numbers are other images, and the run would go on without an error.
"""

import hashlib
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from translate.distributed import collectives
from translate.errors import UserError


def check_consistency(
    facts: Sequence[str], all_gather: Callable[[Any], list[Any]] = collectives.all_gather_object
) -> None:
    """Raise UserError, in every process, if their facts differ; every process must call it.

    ``facts`` describe the data in words, the simplest first. ``all_gather`` returns the values of all processes by
    rank.
    """
    gathered = all_gather((socket.gethostname(), list(facts)))
    first_host, first_facts = gathered[0]
    differences: dict[tuple[str, str, str], list[int]] = {}
    for rank, (host, own_facts) in enumerate(gathered):
        if own_facts != first_facts:
            own, first = next((a, b) for a, b in zip(own_facts, first_facts, strict=True) if a != b)
            differences.setdefault((host, own, first), []).append(rank)
    if differences:
        clauses = [
            f"{own} on rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {len(gathered)} "
            f"(host {host}), {first} on rank 0 (host {first_host})"
            for (host, own, first), ranks in differences.items()
        ]
        raise UserError(
            f"the processes see different data: {'; '.join(clauses)}",
            fix="copy the same files with their times to every machine (rsync -a), or use one shared folder",
        )


def digest(values: Iterable[object]) -> str:
    """Return 12 hexadecimal digits of the SHA-256 of arrays and other values.

    >>> digest([np.arange(3)]) == digest([np.arange(3)]), digest([np.arange(3)]) == digest([np.arange(4)])
    (True, False)
    """
    sha256 = hashlib.sha256()
    for value in values:
        sha256.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return sha256.hexdigest()[:12]
