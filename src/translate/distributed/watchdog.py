"""A heartbeat of every process, so that a rank that is dead or hangs is named and the others end.

A collective call waits for all ranks. When one is gone, some backends fail and some wait for half an hour, and none
names the rank. Here a thread of each process writes a heartbeat into the store that all processes share, with the
number of collective calls that the process has come to. A heartbeat that stops means a dead or frozen process. A rank
that stays behind the others in the number of collective calls hangs.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

log = logging.getLogger("translate")

INTERVAL = 2.0  # seconds between two heartbeats
HEARTBEAT_TIMEOUT = 25.0  # seconds without a heartbeat, until a rank is lost
DONE = "done"


class CollectiveCounter:
    """The number of collective calls that this process has come to."""

    count = 0

    @classmethod
    def increment(cls) -> None:
        """Count one call; call this before each collective call."""
        cls.count += 1


class Watchdog:
    """The heartbeat of process ``rank`` of ``count``, and the watch over the heartbeats of the others.

    ``on_failure`` is called once, in the watchdog's thread, with a sentence that names the ranks that failed.
    ``hang_timeout`` is the number of seconds that a rank may be behind the others in collective calls; None: no limit.
    """

    def __init__(
        self,
        store: Any,
        rank: int,
        count: int,
        on_failure: Callable[[str], None],
        hang_timeout: float | None,
        interval: float = INTERVAL,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
    ) -> None:
        self.store, self.rank, self.count, self.on_failure = store, rank, count, on_failure
        self.hang_timeout, self.interval, self.heartbeat_timeout = hang_timeout, interval, heartbeat_timeout
        self._stopped = threading.Event()
        self._heartbeats: dict[int, tuple[str, float]] = {}  # rank -> its last heartbeat, and when it changed
        self._behind: dict[int, tuple[int, float]] = {}  # rank -> its number of collective calls, and since when
        self._start = CollectiveCounter.count
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin the heartbeat and the watch."""
        self._thread.start()

    def stop(self, done: bool) -> None:
        """End the heartbeat. With ``done`` the other ranks do not miss it."""
        self._stopped.set()
        self._thread.join(self.heartbeat_timeout)  # or its last heartbeat comes after DONE
        if done:
            try:
                self.store.set(_key(self.rank), DONE)
            except RuntimeError:  # the process that keeps the store has ended
                log.debug("watchdog: the store is gone")

    def wait(self) -> None:
        """Wait until a failed rank must have been named."""
        self._thread.join(self.heartbeat_timeout + 3 * self.interval)

    def _watch(self) -> None:
        beat = 0
        while not self._stopped.is_set():
            hung: list[int] = []
            try:
                beat += 1
                self.store.set(_key(self.rank), f"{beat} {CollectiveCounter.count - self._start}")
                lost = self._lost()
                hung = self._hung()
            except RuntimeError:  # rank 0 keeps the store
                if self._stopped.wait(3 * self.interval):
                    return
                lost = [0]
            if (lost or hung) and not self._stopped.is_set():
                self.on_failure(self._sentence(lost, hung))
                return
            self._stopped.wait(self.interval)

    def _lost(self) -> list[int]:
        """Read all heartbeats; return the ranks whose heartbeat has stopped."""
        now = time.monotonic()
        lost = []
        for rank in range(self.count):
            key = _key(rank)
            heartbeat = self.store.get(key).decode() if self.store.check([key]) else ""
            before, since = self._heartbeats.get(rank, (None, now))
            if heartbeat != before:
                since = now
            self._heartbeats[rank] = (heartbeat, since)
            if rank != self.rank and heartbeat != DONE and now - since > self.heartbeat_timeout:
                lost.append(rank)
        return lost

    def _hung(self) -> list[int]:
        """Return the ranks that have been behind at one collective call for longer than the limit."""
        now = time.monotonic()
        counts = {r: int(beat.split()[1]) for r, (beat, _) in self._heartbeats.items() if beat not in ("", DONE)}
        furthest = max(counts.values())
        before = self._behind
        self._behind = {rank: (count, now) for rank, count in counts.items() if count < furthest}
        for rank, (count, since) in before.items():
            if rank in self._behind and self._behind[rank][0] == count:
                self._behind[rank] = (count, since)
        if self.hang_timeout is None:
            return []
        return [rank for rank, (_, since) in self._behind.items() if now - since > self.hang_timeout]

    def _sentence(self, lost: list[int], hung: list[int]) -> str:
        late = f"behind the others at a collective call for {self.hang_timeout} seconds, so hung"
        parts = [
            f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {self.count} processes: {reason}"
            for ranks, reason in ((lost, "no heartbeat, so dead, frozen or unreachable"), (hung, late))
            if ranks
        ]
        return f"{'; '.join(parts)}; rank {self.rank} ends too"


def _key(rank: int) -> str:
    return f"heartbeat/{rank}"


def is_communication_error(error: BaseException) -> bool:
    """Return whether an error means that processes do not reach each other."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(name in text for name in ("gloo", "nccl", "connection"))
    )


def shared_store() -> Any:
    """Return a connection of its own to the store through which the processes have found each other."""
    store = dist.distributed_c10d._get_default_store()
    return store.clone() if hasattr(store, "clone") else store
