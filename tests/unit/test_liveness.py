"""A process that gives no more signs of life is named by the others; one that has finished is not missed."""

import queue
import time

import torch.distributed as dist

from translate.liveness import Liveness, of_communication

EVERY, LOST_AFTER = 0.02, 0.3


def company(count: int) -> tuple[list[Liveness], "queue.Queue[tuple[int, str]]"]:
    store, said = dist.HashStore(), queue.Queue()  # type: ignore[var-annotated]
    members = [
        Liveness(store, rank, count, lambda text, rank=rank: said.put((rank, text)), EVERY, LOST_AFTER)
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


class Broken:
    """A store whose keeper is gone."""

    def set(self, key: str, value: str) -> None:
        raise RuntimeError("connection reset by peer")


def test_without_the_store_it_is_the_first_process() -> None:
    said: queue.Queue[str] = queue.Queue()
    member = Liveness(Broken(), 1, 2, said.put, EVERY, LOST_AFTER)
    member.start()
    assert said.get(timeout=10).startswith("rank 0 of 2 processes")
    stopped = Liveness(Broken(), 1, 2, said.put, EVERY, LOST_AFTER)
    stopped.start()
    stopped.stop(done=True)  # the store may go while this one ends as well
    time.sleep(10 * EVERY)
    assert said.empty()


def test_which_errors_are_of_communication() -> None:
    assert of_communication(RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error"))
    assert of_communication(dist.DistNetworkError("broken"))
    assert not of_communication(RuntimeError("shapes do not match"))
    assert not of_communication(ValueError("gloo"))
