"""Where translations go: a folder on this machine, or an address to which each file is copied whole.

At an address translations are made in a temporary folder and copied from there, some dozens at once, so that the disk
holds few of them. Their records are copied first: wherever a command is ended, each file at the address has its record,
and the same command makes what is missing.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from translate.downloads.fetch import DEFAULT_RETRY_POLICY, RetryPolicy
from translate.downloads.remote import RemoteFolder, Retries, is_address, open_folder
from translate.inference.records import FILE

AT_LEAST = 64
"""Translations that are copied at once."""

SHARE = 20
"""More are copied at once where there are many records, one in so many, since the records are copied each time."""

MAX_BYTES = 1_000_000_000
"""Bytes of translations that wait at most."""

UPLOADS = 8

LOCAL = ("file", "local")


class RemoteOutput:
    """The translations at an address. `begin` first, `add` after each translation, `finish` in the end."""

    def __init__(self, remote: RemoteFolder, folder: Path, policy: RetryPolicy = DEFAULT_RETRY_POLICY) -> None:
        """Fetch the records that are at the address into ``folder``, in which translations are made."""
        self.remote, self.folder = remote, folder
        self._closing = threading.Event()
        self._retries = Retries(policy, self._closing.wait)
        self._there = set(remote.sizes(self._retries))
        self._waiting: list[str] = []
        self._bytes = self._added = 0
        self._lock = threading.Lock()
        if FILE in self._there:
            remote.fetch(FILE, folder / FILE, self._retries)

    def __str__(self) -> str:
        return str(self.remote)

    def __contains__(self, name: str) -> bool:
        """Return whether a file of this name is at the address."""
        return name in self._there

    def begin(self) -> None:
        """Copy the records as they are, to notice before the work that the address cannot be written; UserError."""
        self._copy(Retries(RetryPolicy(delays=())))

    def add(self, name: str, size: int) -> None:
        """Take a translation whose file, of ``size`` bytes, and record are whole; copy those that wait if it is time.

        Several threads may call. They wait while one copies, so that files do not become more. UserError if a copy
        fails in spite of its repetitions.
        """
        with self._lock:
            self._waiting.append(name)
            self._added += 1
            self._bytes += size
            if len(self._waiting) >= max(AT_LEAST, self._added // SHARE) or self._bytes >= MAX_BYTES:
                self._copy(self._retries)

    def finish(self) -> None:
        """Copy what waits, and the records as they are in the end."""
        with self._lock:
            self._copy(self._retries)

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """After an error or a signal in the block let no copy be repeated any more."""
        try:
            yield
        except BaseException:
            self._closing.set()
            raise

    def _copy(self, retries: Retries) -> None:
        names, self._waiting, self._bytes = self._waiting, [], 0
        for name in self._there.intersection(names):  # an old file must not stand beside the record of a new one
            self.remote.remove(name, retries)
            self._there.discard(name)
        with tempfile.TemporaryDirectory() as place:
            snapshot = Path(place) / FILE
            if (self.folder / FILE).is_file():
                shutil.copyfile(self.folder / FILE, snapshot)  # other threads add to the file meanwhile
            else:
                snapshot.touch()
            self.remote.store(snapshot, FILE, retries)

        def copy(name: str) -> None:
            self.remote.store(self.folder / name, name, retries)
            (self.folder / name).unlink()

        with ThreadPoolExecutor(UPLOADS, thread_name_prefix="copy") as pool:
            for name, _ in zip(names, pool.map(copy, names), strict=True):
                self._there.add(name)


@contextmanager
def opened(place: str | os.PathLike[str], key: str = "output") -> Iterator[tuple[Path, RemoteOutput | None]]:
    """Yield the folder in which translations for a place are made, and the address to which they are copied, if any.

    UserError, with ``key``, for an address that cannot be opened.
    """
    if not is_address(place):
        yield Path(place).expanduser(), None
        return
    remote = open_folder(str(place), key)
    protocol = remote.filesystem.protocol
    if set([protocol] if isinstance(protocol, str) else protocol) & set(LOCAL):
        yield Path(remote.root), None
        return
    with tempfile.TemporaryDirectory(prefix="translate_") as temporary:
        folder = Path(temporary).resolve()
        yield folder, RemoteOutput(remote, folder)
