"""A rank whose heartbeat stops, or that stays behind, is named by the others; one that has finished is not missed."""

import atexit
import itertools
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch.distributed as dist
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy

from translate.distributed import ddp
from translate.distributed.watchdog import CollectiveCounter, Watchdog, is_communication_error

INTERVAL, HEARTBEAT_TIMEOUT = 0.02, 0.3


def group(count: int) -> tuple[list[Watchdog], "queue.Queue[tuple[int, str]]"]:
    store, messages = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    watchdogs = [
        Watchdog(
            store, rank, count, lambda text, rank=rank: messages.put((rank, text)), None, INTERVAL, HEARTBEAT_TIMEOUT
        )
        for rank in range(count)
    ]
    for watchdog in watchdogs:
        watchdog.start()
    return watchdogs, messages


def test_a_rank_without_heartbeat_is_named_by_all_others() -> None:
    watchdogs, messages = group(3)
    time.sleep(2 * HEARTBEAT_TIMEOUT)
    assert messages.empty()
    watchdogs[1].stop(done=False)
    found = dict(messages.get(timeout=10) for _ in range(2))
    assert set(found) == {0, 2}
    assert found[0].startswith("rank 1 of 3 processes: no heartbeat")
    assert found[2].endswith("rank 2 ends too")
    watchdogs[0].wait()  # returns at once: it is known


def test_a_rank_that_fails_tells_the_others_why_and_the_first_of_them_reports() -> None:
    watchdogs, messages = group(3)
    assert watchdogs[0].tell("out of memory")
    watchdogs[0].stop(done=False)
    said = dict(messages.get(timeout=10) for _ in range(2))
    assert said == dict.fromkeys((1, 2), "rank 0 of 3 processes: out of memory")
    assert [watchdog.reports for watchdog in watchdogs[1:]] == [True, False]


def test_a_rank_that_has_finished_is_not_missed() -> None:
    watchdogs, messages = group(2)
    watchdogs[1].stop(done=True)
    time.sleep(3 * HEARTBEAT_TIMEOUT)
    assert messages.empty()
    watchdogs[0].stop(done=True)


@contextmanager
def heartbeat(store: dist.Store, rank: int, count: int) -> Iterator[None]:
    """Write the heartbeat of a rank that has come to so many collective calls."""
    over = threading.Event()

    def beat() -> None:
        for number in itertools.count():
            store.set(f"heartbeat/{rank}", f"{number} {count}")
            if over.wait(INTERVAL):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("count", "hang_timeout", "named"),
    [(2, 0.2, True), (3, 0.2, False), (2, 30.0, False), (2, None, False)],
    ids=["behind", "at the same call", "behind for a short time", "no limit"],
)
def test_a_rank_that_stays_behind_is_named(count: int, hang_timeout: float | None, named: bool) -> None:
    store, messages = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    watchdog = Watchdog(store, 0, 2, messages.put, hang_timeout, INTERVAL, HEARTBEAT_TIMEOUT)
    for _ in range(3):
        CollectiveCounter.increment()
    with heartbeat(store, 1, count):
        watchdog.start()
        if named:
            assert messages.get(timeout=10) == (
                "rank 1 of 2 processes: behind the others at a collective call for 0.2 seconds, so hung; "
                "rank 0 ends too"
            )
        else:
            time.sleep(2 * HEARTBEAT_TIMEOUT)
            assert messages.empty()
            watchdog.stop(done=True)


def test_a_rank_that_falls_behind_again_and_again_does_not_hang() -> None:
    store, messages = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    watchdog = Watchdog(store, 0, 2, messages.put, 0.4, INTERVAL, 10.0)
    for _ in range(20):
        CollectiveCounter.increment()
    watchdog.start()
    for count in range(10):  # slow, but every call is reached within the limit
        with heartbeat(store, 1, count):
            time.sleep(0.15)
    watchdog.stop(done=True)
    assert messages.empty()


def test_a_single_process_never_hangs() -> None:
    messages: queue.Queue[str] = queue.Queue()
    watchdog = Watchdog(dist.HashStore(), 0, 1, messages.put, 0.1, INTERVAL, HEARTBEAT_TIMEOUT)
    watchdog.start()
    time.sleep(2 * HEARTBEAT_TIMEOUT)
    watchdog.stop(done=True)
    assert messages.empty()


def test_a_rank_names_itself() -> None:
    """No other process can end a process on another machine."""
    store, messages = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    watchdog = Watchdog(store, 1, 2, messages.put, 0.2, INTERVAL, HEARTBEAT_TIMEOUT)
    with heartbeat(store, 0, count=1):
        watchdog.start()
        assert messages.get(timeout=10).endswith("so hung; rank 1 ends too")


class Broken:
    """A store whose process is gone."""

    def set(self, key: str, value: str) -> None:
        raise RuntimeError("connection reset by peer")


def test_without_the_store_it_is_the_first_process() -> None:
    messages: queue.Queue[str] = queue.Queue()
    watchdog = Watchdog(Broken(), 1, 2, messages.put, None, INTERVAL, HEARTBEAT_TIMEOUT)
    watchdog.start()
    assert messages.get(timeout=10).startswith("rank 0 of 2 processes")
    stopped = Watchdog(Broken(), 1, 2, messages.put, None, INTERVAL, HEARTBEAT_TIMEOUT)
    stopped.start()
    stopped.stop(done=True)  # the store may go while this one ends as well
    time.sleep(10 * INTERVAL)
    assert messages.empty()


def test_which_errors_are_is_communication_error() -> None:
    assert is_communication_error(RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error"))
    assert is_communication_error(dist.DistNetworkError("broken"))
    assert not is_communication_error(RuntimeError("shapes do not match"))
    assert not is_communication_error(ValueError("gloo"))


def test_a_process_ends_its_group_before_python_ends_unless_training_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_exit: list[object] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(atexit, "unregister", lambda function: function in at_exit and at_exit.remove(function))
    monkeypatch.setattr(DDPStrategy, "setup_environment", lambda strategy: None)
    monkeypatch.setattr(ddp, "Watchdog", lambda *_: Mock())
    monkeypatch.setattr(ddp, "shared_store", dist.HashStore)
    strategies = [ddp.ExplicitDDP(None) for _ in range(2)]
    for strategy in strategies:
        strategy.set_world_ranks = lambda: None  # type: ignore[method-assign]
        strategy.cluster_environment = LightningEnvironment()
        strategy.setup_environment()
    assert at_exit == [ddp.end_process_group]
    strategies[1].on_exception(RuntimeError("gloo: connection closed by peer"))
    assert at_exit == []


def test_a_process_group_ends(tmp_path: Path) -> None:
    ddp.end_process_group()  # without one
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    ddp.end_process_group()
    assert not dist.is_initialized()
