"""A disk that becomes full: the operating system refuses bytes beyond a limit, in the middle of a file."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

REASON = "File too large"
"""What the system says at the limit; "No space left on device" takes the same way, see `translate.files.writing`."""


@contextmanager
def full_disk(limit: int = 0) -> Iterator[None]:
    """Let each file that this process writes during the block have at most so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_during(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, limit: int = 0, call: int = 1) -> list[int]:
    """Let the disk be full while a function works, from its call number ``call`` on; return a list of its calls."""
    honest: Callable[..., Any] = getattr(owner, name)
    calls: list[int] = []

    def limited(*words: Any, **settings: Any) -> Any:
        calls.append(len(calls) + 1)
        if len(calls) < call:
            return honest(*words, **settings)
        with full_disk(limit):
            return honest(*words, **settings)

    monkeypatch.setattr(owner, name, limited)
    return calls
