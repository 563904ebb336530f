"""Tell how far a download is: a bar on a terminal, plain lines in a log, and what the disk said as a sentence."""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from translate.console import is_interactive
from translate.errors import UserError

LINE_EVERY = 10.0  # seconds between lines where no bar can be drawn

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def say(text: str) -> None:
    """Write a line about what is going on to stderr, above the bar if there is one; stdout is for results."""
    tqdm.write(text, file=sys.stderr)


def in_units(count: float) -> str:
    """Return a number of bytes for people, in powers of 1000.

    >>> in_units(999), in_units(116867962), in_units(1476754427)
    ('999 B', '117 MB', '1.48 GB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.{max(0, 2 - len(f'{count:.0f}') + 1)}f} {unit}"
    return f"{count / 1000:.2f} TB"


class Progress:
    """Bytes done of a total that may be unknown (None); used by `with`, moved by `at`."""

    def __init__(self, label: str, total: int | None = None) -> None:
        self.label, self.total = label, total
        self._bar: Any = None
        self._start: int | None = None
        self._began = self._said = time.monotonic()

    def __enter__(self) -> "Progress":
        if is_interactive():
            self._bar = tqdm(desc=self.label, total=self.total, unit="B", unit_scale=True, dynamic_ncols=True)
        return self

    def at(self, done: int, total: int | None = None) -> None:
        """Say that `done` bytes are there; `total`, once it is known."""
        self.total = total if total is not None else self.total
        if self._start is None:
            self._start = done
        now = time.monotonic()
        if self._bar is not None:
            self._bar.total = self.total
            if done < self._bar.n or not self._bar.n:  # begun anew, or goes on from an earlier run
                self._bar.initial = done
            self._bar.update(done - self._bar.n)
        elif now - self._said >= LINE_EVERY:
            self._said = now
            rate = max(0, done - self._start) / max(now - self._began, 1e-9)
            of = f" of {in_units(self.total)}" if self.total else ""
            left = f", {tqdm.format_interval((self.total - done) / rate)} left" if self.total and rate else ""
            say(f"{self.label}: {in_units(done)}{of}, {in_units(rate)}/s{left}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextlib.contextmanager
def disk(path: Path, advice: str = "choose another folder by root=DIR") -> Iterator[None]:
    """Turn what the disk refuses inside into a sentence about `path`; only for code that touches nothing else."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise full(path) from error
        problem = (os.strerror(error.errno) if error.errno else str(error)).lower()
        if error.errno in _CLOSED:
            raise UserError(f"the file cannot be written ({problem})", key=str(path), fix=advice) from error
        raise UserError(f"the disk reports {problem!r}", key=str(path), fix=advice) from error


def full(path: Path, needed: int | None = None, free: int | None = None) -> UserError:
    """Return the error of a disk that is full, or will be."""
    sizes = "" if needed is None else f": {in_units(needed)} are needed, {in_units(free or 0)} are free"
    return UserError(
        f"no space is left{sizes}",
        key=str(path),
        fix="make room and give the same command again, which continues, or choose another folder by root=DIR",
    )
