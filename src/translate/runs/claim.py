"""One process in a folder at a time: a lock that ends with the process, and a note on the process that holds it.

The lock is that of the operating system (flock), so it ends with the process that holds it, also after SIGKILL. On NFS
it holds for all machines if the server supports locks. Where a file system has none, a warning says so.
"""

import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from translate.errors import NOTHING, Phrase, UserError
from translate.files.reading import read_object
from translate.files.writing import UNFINISHED, atomic_write

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock.holder"
CLAIM_FILES = frozenset({LOCK_FILE, HOLDER_FILE, HOLDER_FILE + UNFINISHED})

POLL = 0.5  # seconds between two attempts

log = logging.getLogger("translate")


@dataclass(frozen=True)
class Holder:
    """A process that holds a folder."""

    process: int
    host: str
    since: str

    @classmethod
    def current(cls) -> "Holder":
        """Return this process."""
        return cls(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))

    @classmethod
    def of(cls, note: Mapping[str, Any]) -> "Holder":
        """Return the process of a note; KeyError, TypeError or ValueError for another content."""
        return cls(int(note["process"]), str(note["host"]), str(note["since"]))

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"

    def is_alive(self) -> bool | None:
        """Return whether the process runs; None for one on another machine."""
        if self.host != socket.gethostname():
            return None
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except OSError:  # it is another user's
            return True
        return True


def holder(folder: Path) -> Holder | None:
    """Return the process that took the folder last and has not left it; None without a readable note."""
    try:
        return Holder.of(read_object(folder / HOLDER_FILE))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def claimed(folder: Path, statement: str, fix: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a folder for this process until it ends, however it ends; UserError if another process holds it.

    ``statement`` and ``fix`` are those of the error, which names the process and its machine. ``patience`` is the
    number of seconds to wait for a process that is dead already: its children may hold the lock a moment longer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        _acquire(lock, folder, statement, fix, patience)
    except (NotImplementedError, OSError) as error:
        if isinstance(error, Timeout) or not _has_no_locks(error):
            raise
        log.warning("%s: the file system has no locks, so a second run in this folder would not be noticed", folder)
        yield
        return
    note = Holder.current()
    try:
        atomic_write(folder / HOLDER_FILE, json.dumps(note.__dict__))
        yield
    finally:
        (folder / HOLDER_FILE).unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, folder: Path, statement: str, fix: str, patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            lock.acquire(timeout=max(0.0, min(POLL, end - time.monotonic())))
            return
        except Timeout as error:
            other = holder(folder)
            alive = other is not None and other.is_alive()
            if alive or time.monotonic() >= end:
                found = NOTHING if other is None else Phrase(str(other))
                raise UserError(statement, key=str(folder), found=found, fix=fix) from error


def _has_no_locks(error: Exception) -> bool:
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in (errno.ENOLCK, errno.ENOSYS)
