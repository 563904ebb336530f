"""Signs of life of processes that train together, so that one that dies or freezes is named and the others end.

A collective call waits for everybody. When a process is gone, some backends fail and some wait for half an hour; none
says who it was. Here every process counts, in a thread, in a store that all of them see. A count that stands still is a
process that is dead or frozen; a long iteration is neither, since the thread counts beside it.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

log = logging.getLogger("translate")

EVERY = 2.0  # seconds between two signs
LOST_AFTER = 25.0  # seconds without one
DONE = "done"


class Liveness:
    """The signs of life of process ``rank`` of ``count``, and the watch over the others' from the `start` on.

    ``ended`` is called, in the thread, with a sentence that names those that are lost.
    """

    def __init__(
        self,
        store: Any,
        rank: int,
        count: int,
        ended: Callable[[str], None],
        every: float = EVERY,
        lost_after: float = LOST_AFTER,
    ) -> None:
        self.store, self.rank, self.count, self.ended = store, rank, count, ended
        self.every, self.lost_after = every, lost_after
        self._stopped = threading.Event()
        self._seen: dict[int, tuple[str, float]] = {}  # rank -> its last sign, and when it came
        self._thread = threading.Thread(target=self._watch, name="liveness", daemon=True)

    def start(self) -> None:
        """Begin to give signs and to watch."""
        self._thread.start()

    def stop(self, done: bool) -> None:
        """Give no more signs; ``done``: the others shall not miss them."""
        self._stopped.set()
        self._thread.join(self.lost_after)  # or its last sign comes after the farewell
        if done:
            try:
                self.store.set(self._key(self.rank), DONE)
            except RuntimeError:  # whoever keeps the store has ended before
                log.debug("liveness: the store is gone")

    def wait(self) -> None:
        """Wait as long as it takes to know who is lost."""
        self._thread.join(self.lost_after + 3 * self.every)

    def _watch(self) -> None:
        sign = 0
        while not self._stopped.is_set():
            try:
                sign += 1
                self.store.set(self._key(self.rank), str(sign))
                lost = self._lost()
            except RuntimeError:  # the first process keeps the store
                if self._stopped.wait(3 * self.every):
                    return
                lost = [0]
            if lost and not self._stopped.is_set():
                self.ended(self._sentence(lost))
                return
            self._stopped.wait(self.every)

    def _lost(self) -> list[int]:
        now = time.monotonic()
        found = []
        for rank in range(self.count):
            if rank == self.rank:
                continue
            key = self._key(rank)
            sign = self.store.get(key).decode() if self.store.check([key]) else ""
            before, since = self._seen.get(rank, (None, now))
            if sign != before:
                since = now
            self._seen[rank] = (sign, since)
            if sign != DONE and now - since > self.lost_after:
                found.append(rank)
        return found

    def _sentence(self, lost: list[int]) -> str:
        who = f"rank{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))} of {self.count} processes"
        return f"{who}: no sign of life, so dead, frozen or cut off; rank {self.rank} ends too"

    def _key(self, rank: int) -> str:
        return f"liveness/{rank}"


def of_communication(error: BaseException) -> bool:
    """Return whether an error comes from processes that do not reach each other."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(name in text for name in ("gloo", "nccl", "connection"))
    )


def shared_store() -> Any:
    """Return a connection of its own to the store through which the processes have found each other."""
    store = dist.distributed_c10d._get_default_store()
    return store.clone() if hasattr(store, "clone") else store
