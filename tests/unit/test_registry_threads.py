"""Threads, as those of a server, that ask where a part is defined parse its source one after the other."""

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from translate.registry import signatures


def test_source_text_is_parsed_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 raises SystemError where two threads parse at once."""
    inside, together, guard = set[int](), threading.Event(), threading.Lock()

    def getsourcelines(target: Any) -> tuple[list[str], int]:
        with guard:
            inside.add(threading.get_ident())
            if len(inside) > 1:
                together.set()
        together.wait(0.2)  # time for another thread to come
        with guard:
            inside.discard(threading.get_ident())
        return [], 7

    monkeypatch.setattr(inspect, "getsourcelines", getsourcelines)
    with ThreadPoolExecutor(2) as pool:
        places = list(pool.map(signatures.defined_at, [signatures.Entry, signatures.Parameter]))
    assert places == ["translate.registry.signatures:7"] * 2
    assert not together.is_set()
