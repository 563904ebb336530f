"""Signs of life of processes that train together, so that one that dies, freezes or hangs is named and the others end.

A collective call waits for everybody. When a process is gone, some backends fail and some wait for half an hour; none
says who it was. Here every process counts, in a thread, in a store that all of them see. A count that stands still is a
process that is dead or frozen; a long iteration is neither, since the thread counts beside it.

A process may also live and wait for what never comes: a lock, a server, a pipe. With its count it tells to how many
meetings (collective calls) it has come and for how long it has done nothing. Whoever is behind the others and does
nothing hangs, and so do all if none does a thing; who computes, reads or writes is busy, however long it takes.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch.distributed as dist

log = logging.getLogger("translate")

EVERY = 2.0  # seconds between two signs
LOST_AFTER = 25.0  # seconds without one
HUNG_AFTER = 30.0  # seconds in which a process that others wait for did nothing
WORK = 0.01  # share of a core that is more than nothing
DONE = "done"


class CollectiveCounter:
    """How many collective calls this process has come to."""

    count = 0

    @classmethod
    def increment(cls) -> None:
        """Count one more: to be called before each."""
        cls.count += 1


class Watchdog:
    """The signs of life of process ``rank`` of ``count``, and the watch over the others' from the `start` on.

    ``ended`` is called, in the thread, with a sentence that names those that are lost. ``hang_timeout`` None: nobody is
    taken to hang. ``others`` returns the numbers of processes that this one has begun and that are members themselves.
    """

    def __init__(
        self,
        store: Any,
        rank: int,
        count: int,
        ended: Callable[[str], None],
        every: float = EVERY,
        heartbeat_timeout: float = LOST_AFTER,
        hang_timeout: float | None = HUNG_AFTER,
        others: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self.store, self.rank, self.count, self.ended = store, rank, count, ended
        self.every, self.heartbeat_timeout, self.hang_timeout, self.others = (
            every,
            heartbeat_timeout,
            hang_timeout,
            others,
        )
        self._stopped = threading.Event()
        self._seen: dict[int, tuple[str, float]] = {}  # rank -> its last sign, and when it came
        self._before = CollectiveCounter.count
        self._active = time.monotonic()  # when this process was last seen to do something
        self._work = (0.0, -1)  # what it had done by then: seconds, meetings
        self._thread = threading.Thread(target=self._watch, name="liveness", daemon=True)

    def start(self) -> None:
        """Begin to give signs and to watch."""
        self._thread.start()

    def stop(self, done: bool) -> None:
        """Give no more signs; ``done``: the others shall not miss them."""
        self._stopped.set()
        self._thread.join(self.heartbeat_timeout)  # or its last sign comes after the farewell
        if done:
            try:
                self.store.set(self._key(self.rank), DONE)
            except RuntimeError:  # whoever keeps the store has ended before
                log.debug("liveness: the store is gone")

    def wait(self) -> None:
        """Wait as long as it takes to know who is lost."""
        self._thread.join(self.heartbeat_timeout + 3 * self.every)

    def _watch(self) -> None:
        sign = 0
        while not self._stopped.is_set():
            hung: list[int] = []
            try:
                sign += 1
                meetings, idle = self._look_at_oneself()
                self.store.set(self._key(self.rank), f"{sign} {meetings} {idle:.1f}")
                lost = self._lost()
                hung = self._hung()
            except RuntimeError:  # the first process keeps the store
                if self._stopped.wait(3 * self.every):
                    return
                lost = [0]
            if (lost or hung) and not self._stopped.is_set():
                self.ended(self._sentence(lost, hung))
                return
            self._stopped.wait(self.every)

    def _look_at_oneself(self) -> tuple[int, float]:
        """Return to how many meetings this process has come, and for how many seconds it has done nothing."""
        now, work = time.monotonic(), (seconds_of_work(self.others()), CollectiveCounter.count)
        before = self._work
        if work[1] != before[1] or work[0] - before[0] > WORK * (now - self._active) or waits_for_the_disk():
            self._active, self._work = now, work
        return CollectiveCounter.count - self._before, now - self._active

    def _lost(self) -> list[int]:
        now = time.monotonic()
        found = []
        for rank in range(self.count):
            key = self._key(rank)
            sign = self.store.get(key).decode() if self.store.check([key]) else ""
            before, since = self._seen.get(rank, (None, now))
            if sign != before:
                since = now
            self._seen[rank] = (sign, since)
            if rank != self.rank and sign != DONE and now - since > self.heartbeat_timeout:
                found.append(rank)
        return found

    def _hung(self) -> list[int]:
        """Return who does nothing while others wait at a meeting that it has not come to; all, if none does a thing."""
        if self.hang_timeout is None or self.count == 1:
            return []
        told = {rank: sign.split() for rank, (sign, _) in self._seen.items() if sign not in ("", DONE)}
        furthest = max(int(meetings) for _, meetings, _ in told.values())
        hung = [rank for rank, (_, _, idle) in told.items() if float(idle) > self.hang_timeout]
        return hung if len(hung) == self.count else [rank for rank in hung if int(told[rank][1]) < furthest]

    def _sentence(self, lost: list[int], hung: list[int]) -> str:
        waited = " while others waited" if len(hung) < self.count else ""
        they = "they hang" if len(hung) > 1 else "it hangs"
        found = [
            f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {self.count} processes: {what}"
            for ranks, what in (
                (lost, "no sign of life, so dead, frozen or cut off"),
                (
                    hung,
                    f"did nothing for {self.hang_timeout:g} seconds{waited}, so {they}",
                ),
            )
            if ranks
        ]
        return f"{'; '.join(found)}; rank {self.rank} ends too"

    def _key(self, rank: int) -> str:
        return f"liveness/{rank}"


def seconds_of_work(without: Collection[int] = ()) -> float:
    """Return the processor time of this process but for the calling thread, and of those that it has begun.

    The latter load its data; they are known where there is /proc. Those ``without`` are left out.
    """
    seconds = time.process_time() - time.thread_time()
    for children in Path("/proc/self/task").glob("*/children"):
        try:
            numbers = [int(number) for number in children.read_text().split()]
        except OSError:  # a thread that has ended
            continue
        for number in numbers:
            if number not in without and (fields := _status(str(number))):
                seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def waits_for_the_disk() -> bool:
    """Return whether the main thread waits for a disk, where there is /proc: what it writes may take long."""
    return _status("self")[:1] == ["D"]


def _status(process: str) -> list[str]:
    """Return the fields of a process from its state on; none if there is no such process, or no /proc."""
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


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
