"""Write whole files: a reader finds the old file or the whole new one, never a part of either."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from translate.errors import UserError, first_line

UNFINISHED = ".unfinished"
"""The suffix behind the name of a file that is being written."""


@contextmanager
def atomic_path(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield the path of an unfinished file that takes the place of ``path`` when the block ends without an error.

    For programs that write a file on their own. Folders are made as needed. ``durable`` waits until file and folder are
    on the disk, so that the new file survives a power cut; without it only a crash of the process is covered. After an
    error ``path`` is as it was, and the unfinished file is removed, since a full disk needs the room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        yield unfinished
        if durable:
            with open(unfinished, "rb") as file:
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


@contextmanager
def written(path: Path | str) -> Iterator[None]:
    """Raise UserError about ``path`` where the block cannot write a file: no permission, no room, a file in the way."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror or first_line(error)})", key=str(path)) from error


@contextmanager
def atomic_open(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of ``path`` when the block ends, see `atomic_path`."""
    with atomic_path(path, durable) as unfinished, open(unfinished, "wb") as file:
        yield file


def atomic_write(path: Path, content: str | bytes, durable: bool = False) -> None:
    """Write text (as UTF-8) or bytes to ``path``, see `atomic_open`."""
    with atomic_open(path, durable) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path: Path, digest: str | None, expected: str | None) -> None:
    """Raise UserError, with the key sha256, if a file does not have the expected SHA-256; None expects nothing."""
    if expected not in (None, digest):
        raise UserError(
            f"{path} is another file than the one that was used before",
            key="sha256",
            found=digest,
            expected=str(expected),
            fix="name the file with this SHA-256 by weights",
        )


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; a system without it (Windows) has its own guarantee."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
