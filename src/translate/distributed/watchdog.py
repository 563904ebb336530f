"""A heartbeat of every process, so that a rank that is dead or hangs is named and the others end.

A collective call waits for all ranks. When one is gone, some backends fail and some wait for half an hour, and none
names the rank. Here a thread of each process writes a heartbeat into the store that all processes share, with the
number of collective calls that the process has come to. A heartbeat that stops means a dead or frozen process. A rank
that stays behind the others in the number of collective calls hangs. A signal that has come to one process is passed on
to all in the same way.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch.distributed as dist

from translate import signals

log = logging.getLogger("translate")

INTERVAL = 2.0  # seconds between two heartbeats
HEARTBEAT_TIMEOUT = 25.0  # seconds without a heartbeat, until a rank is lost
DONE = "done"
SIGNAL = "signal"  # the key of the number of a signal that has come to a rank


class CollectiveCounter:
    """The number of collective calls that this process has come to."""

    count = 0

    @classmethod
    def increment(cls) -> None:
        """Count one call; call this before each collective call."""
        cls.count += 1


class Watchdog:
    """The heartbeat of process ``rank`` of ``count``, and the watch over the heartbeats of the others.

    ``on_failure`` is called once, in the watchdog's thread, with a sentence that names the ranks that failed. `reports`
    says whether this is the rank that prints the sentence: the first one that is left.
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
        self.reports = rank == 0
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

    def pass_on(self, number: int) -> None:
        """Tell the other ranks of a signal, and end. Rank 0, which keeps the store, waits until they have ended."""
        with suppress(RuntimeError):
            self.store.set(SIGNAL, str(number))
        self.stop(done=True)
        end = time.monotonic() + 2 * self.interval
        with suppress(RuntimeError):
            while self.rank == 0 and time.monotonic() < end and not self._are_done():
                time.sleep(0.05)

    def _are_done(self) -> bool:
        keys = [_key(rank) for rank in range(self.count)]
        return all(self.store.check([key]) and self.store.get(key).decode() == DONE for key in keys)

    def _share_signal(self) -> None:
        """Pass a signal of this process on, or take that of another one."""
        number = signals.received()
        if number is not None:
            self.store.set(SIGNAL, str(number))
        elif self.store.check([SIGNAL]):
            signals.receive(int(self.store.get(SIGNAL)))

    def tell(self, reason: str) -> bool:
        """Tell the other ranks why this one fails; return whether they can read it."""
        try:
            self.store.set(_reason_key(self.rank), reason)
        except RuntimeError:  # rank 0 keeps the store
            return False
        return True

    def wait(self) -> None:
        """Wait until a failed rank must have been named."""
        self._thread.join(self.heartbeat_timeout + 3 * self.interval)

    def _watch(self) -> None:
        beat = 0
        while not self._stopped.is_set():
            hung: list[int] = []
            failed: dict[int, str] = {}
            try:
                beat += 1
                self.store.set(_key(self.rank), f"{beat} {CollectiveCounter.count - self._start}")
                self._share_signal()
                lost = self._lost()
                hung = self._hung()
                failed = self._failed()
            except RuntimeError:  # rank 0 keeps the store
                if self._stopped.wait(3 * self.interval):
                    return
                lost = [0]
            if (lost or hung or failed) and not self._stopped.is_set():
                self.reports = self.rank == min(set(range(self.count)) - {*lost, *hung, *failed}, default=self.rank)
                self.on_failure(self._sentence(lost, hung, failed))
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

    def _failed(self) -> dict[int, str]:
        """Return the reason of each rank that has passed one on."""
        others = [rank for rank in range(self.count) if rank != self.rank and self.store.check([_reason_key(rank)])]
        return {rank: self.store.get(_reason_key(rank)).decode() for rank in others}

    def _sentence(self, lost: list[int], hung: list[int], failed: Mapping[int, str]) -> str:
        if failed:
            return "; ".join(f"rank {rank} of {self.count} processes: {reason}" for rank, reason in failed.items())
        late = f"behind the others at a collective call for {self.hang_timeout} seconds, so hung"
        parts = [
            f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {self.count} processes: {reason}"
            for ranks, reason in ((lost, "no heartbeat, so dead, frozen or unreachable"), (hung, late))
            if ranks
        ]
        return f"{'; '.join(parts)}; rank {self.rank} ends too"


def _key(rank: int) -> str:
    return f"heartbeat/{rank}"


def _reason_key(rank: int) -> str:
    return f"failed/{rank}"


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
