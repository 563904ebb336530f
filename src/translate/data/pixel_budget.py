"""A bound on the pixels that are in memory at once, whatever the number of threads."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BYTES_PER_PIXEL = 12
"""Of an image while it is decoded: its own mode, the upright one and RGB, 3 to 4 bytes each."""

SHARE = 1 / 8
"""The fraction of the available memory that images in decoding may take."""

LEAST = 24_000_000
"""Pixels that may be decoded at once with however little memory: two images of a telephone."""

UNKNOWN_MEMORY = 4 << 30  # bytes, where the system does not say what is available
_CGROUP = Path("/sys/fs/cgroup")


class PixelBudget:
    """A number of pixels that may be in memory; one image may have more if it is alone. First come, first served."""

    def __init__(self, pixels: int) -> None:
        self.free = self.pixels = pixels
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._held = threading.local()

    def take(self, pixels: int) -> None:
        """Wait until there is room, and until all that came before have it."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self.has_room(pixels))
                self.free -= pixels
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def has_room(self, pixels: int) -> bool:
        """Return whether there is room now."""
        return self.free >= pixels or self.free == self.pixels

    def give(self, pixels: int) -> None:
        """Return room."""
        with self._changed:
            self.free += pixels
            self._changed.notify_all()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Hold room during the block. A thread that holds some already does not wait for more: it would for itself."""
        if getattr(self._held, "any", False):
            yield
            return
        self.take(pixels)
        self._held.any = True
        try:
            yield
        finally:
            self._held.any = False
            self.give(pixels)


_OF_PROCESS: dict[int, PixelBudget] = {}  # by process: a forked one must not wait for threads that it does not have


def decoding_budget() -> PixelBudget:
    """Return the budget that all decoding threads of this process share, by the memory that was available at first."""
    if os.getpid() not in _OF_PROCESS:
        budget = PixelBudget(max(LEAST, int(available_memory() * SHARE / BYTES_PER_PIXEL)))
        return _OF_PROCESS.setdefault(os.getpid(), budget)  # of several threads, all have that of the first
    return _OF_PROCESS[os.getpid()]


def available_memory() -> int:
    """Return the bytes of memory that this process can still use: of the machine, or of its control group if less."""
    available = [UNKNOWN_MEMORY]
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        available = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            available = [int(line.split()[1]) * 1024]
    limit, used = (_text(_CGROUP / f"memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        available.append(int(limit) - int(used))
    return max(0, min(available))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
