"""A process that gives no more signs of life is named by the others; one that has finished is not missed."""

import itertools
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch.distributed as dist

from translate.distributed.watchdog import CollectiveCounter, Watchdog, of_communication, seconds_of_work

EVERY, LOST_AFTER = 0.02, 0.3


def company(count: int) -> tuple[list[Watchdog], "queue.Queue[tuple[int, str]]"]:
    store, said = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    members = [
        Watchdog(store, rank, count, lambda text, rank=rank: said.put((rank, text)), EVERY, LOST_AFTER)
        for rank in range(count)
    ]
    for member in members:
        member.start()
    return members, said


def test_the_silent_one_is_named_by_all_others() -> None:
    members, said = company(3)
    time.sleep(2 * LOST_AFTER)
    assert said.empty()
    members[1].stop(done=False)
    found = dict(said.get(timeout=10) for _ in range(2))
    assert set(found) == {0, 2}
    assert found[0].startswith("rank 1 of 3 processes: no sign of life")
    assert found[2].endswith("rank 2 ends too")
    members[0].wait()  # returns at once: it is known


def test_who_takes_leave_is_not_missed() -> None:
    members, said = company(2)
    members[1].stop(done=True)
    time.sleep(3 * LOST_AFTER)
    assert said.empty()
    members[0].stop(done=True)


@contextmanager
def telling(store: dist.Store, rank: int, meetings: int, idle: float) -> Iterator[None]:
    """Give signs of life of a rank that has come to so many meetings and does nothing for so long."""
    over = threading.Event()

    def tell() -> None:
        for sign in itertools.count():
            store.set(f"liveness/{rank}", f"{sign} {meetings} {idle}")
            if over.wait(EVERY):
                return

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("meetings", "idle", "hang_timeout", "named"),
    [(2, 31.0, 30.0, True), (3, 31.0, 30.0, False), (2, 29.0, 30.0, False), (2, 31.0, None, False)],
    ids=["behind and idle", "where the others are", "behind and busy", "nobody hangs"],
)
def test_who_does_nothing_while_others_wait_hangs(
    meetings: int, idle: float, hang_timeout: float | None, named: bool
) -> None:
    store, said = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    member = Watchdog(store, 0, 2, said.put, EVERY, LOST_AFTER, hang_timeout)
    for _ in range(3):
        CollectiveCounter.increment()
    with telling(store, 1, meetings, idle):
        member.start()
        if named:
            sentence = said.get(timeout=10)
            assert sentence == (
                "rank 1 of 2 processes: did nothing for 30 seconds while others waited, so it hangs; rank 0 ends too"
            )
        else:
            time.sleep(2 * LOST_AFTER)
            assert said.empty()
            member.stop(done=True)


def test_all_hang_if_none_does_a_thing() -> None:
    store, said = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    member = Watchdog(store, 0, 2, said.put, EVERY, LOST_AFTER, hang_timeout=0.2)
    with telling(store, 1, meetings=0, idle=31.0):
        member.start()
        assert said.get(timeout=10) == (
            "ranks 0, 1 of 2 processes: did nothing for 0.2 seconds, so they hang; rank 0 ends too"
        )


def test_one_process_alone_may_rest() -> None:
    said: queue.Queue[str] = queue.Queue()
    member = Watchdog(dist.HashStore(), 0, 1, said.put, EVERY, LOST_AFTER, hang_timeout=0.1)
    member.start()
    time.sleep(2 * LOST_AFTER)
    member.stop(done=True)
    assert said.empty()


def test_it_names_itself() -> None:
    """Nobody else can end a process on another machine."""
    store, said = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    member = Watchdog(store, 1, 2, said.put, EVERY, LOST_AFTER, hang_timeout=0.2)
    with telling(store, 0, meetings=1, idle=0.0):
        member.start()
        assert said.get(timeout=10).endswith("so it hangs; rank 1 ends too")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="without /proc children are not known")
def test_work_is_that_of_a_process_and_its_children() -> None:
    """The work of another thread and of a process that was begun counts, but for those left out; waiting does not."""

    def burn() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    before = seconds_of_work()
    time.sleep(0.3)
    burn()  # this thread watches
    assert seconds_of_work() - before < 0.1
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    assert seconds_of_work() - before > 0.15
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1.0)
        assert seconds_of_work([child.pid]) < seconds_of_work() - 0.1
    finally:
        child.kill()
        child.wait()


class Broken:
    """A store whose keeper is gone."""

    def set(self, key: str, value: str) -> None:
        raise RuntimeError("connection reset by peer")


def test_without_the_store_it_is_the_first_process() -> None:
    said: queue.Queue[str] = queue.Queue()
    member = Watchdog(Broken(), 1, 2, said.put, EVERY, LOST_AFTER)
    member.start()
    assert said.get(timeout=10).startswith("rank 0 of 2 processes")
    stopped = Watchdog(Broken(), 1, 2, said.put, EVERY, LOST_AFTER)
    stopped.start()
    stopped.stop(done=True)  # the store may go while this one ends as well
    time.sleep(10 * EVERY)
    assert said.empty()


def test_which_errors_are_of_communication() -> None:
    assert of_communication(RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error"))
    assert of_communication(dist.DistNetworkError("broken"))
    assert not of_communication(RuntimeError("shapes do not match"))
    assert not of_communication(ValueError("gloo"))
