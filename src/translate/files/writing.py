"""Write whole files: a reader finds the old file or the whole new one, never a part of either."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from translate.errors import UserError, first_line
from translate.files.reading import opened, require_file

UNFINISHED = ".unfinished"
"""The suffix behind the name of a file that is being written."""

OF_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""Errors of a disk that is full, broken or read-only."""

LONGEST_NAME = 255
"""Bytes of the name of a file, in all common file systems."""


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to another: its name and a suffix, of a name that is too long a digest.

    >>> beside(Path("a/cat.png"), ".state"), len(beside(Path("n" * 250), ".state").name)
    (PosixPath('a/cat.png.state'), 70)
    """
    name = path.name
    if len(os.fsencode(name + suffix)) > LONGEST_NAME - len(UNFINISHED) * (suffix != UNFINISHED):
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return path.with_name(name + suffix)


@contextmanager
def atomic_path(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield the path of an unfinished file that takes the place of ``path`` when the block ends without an error.

    For programs that write a file on their own. Folders are made as needed. ``durable`` waits until file and folder are
    on the disk, so that the new file survives a power cut; without it only a crash of the process is covered. After an
    error ``path`` is as it was, and the unfinished file is removed, since a full disk needs the room. UserError for a
    folder, a pipe or a device at ``path``: the new file would take its place, also that of /dev/null.
    """
    if path.exists():
        require_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = beside(path, UNFINISHED)
    if os.path.lexists(unfinished):  # it may be a link or a pipe, in a folder of others
        os.unlink(unfinished)
    try:
        yield unfinished
        if durable:
            with open(unfinished, "rb") as file:
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        _name(error, path, unfinished)
        raise
    if durable:
        _sync_folder(path.parent)


def _name(error: BaseException, path: Path, unfinished: Path | None = None) -> None:
    """Let an error of the disk name the file that was to be written: a write itself names none."""
    if isinstance(error, OSError) and error.errno in OF_DISK and error.filename in (None, str(unfinished)):
        error.filename = str(path)


def append_whole(path: Path, content: bytes) -> None:
    """Add bytes to a file, all of them or, after an error such as a full disk, none."""
    try:
        with open(path, "ab", buffering=0) as file:
            end, rest = file.seek(0, os.SEEK_END), memoryview(content)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except BaseException:
                file.truncate(end)
                raise
    except OSError as error:
        _name(error, path)
        raise


@contextmanager
def written(path: Path | str) -> Iterator[None]:
    """Raise UserError about ``path`` where the block cannot write a file: no permission, no room, a file in the way."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror or first_line(error)})", key=str(path)) from error


def check_writable(folder: Path, key: str) -> None:
    """Raise UserError, with ``key``, if files cannot be written into a folder, which need not be there; make nothing.

    A file is written into the nearest folder above that exists, and removed: permissions alone do not tell, since a
    file system may be read-only or not take files at all.
    """
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        kind = "a link to nothing" if place.is_symlink() else "a file"
        raise UserError(f"{kind} is in the place of the folder", key=key, found=str(place), fix="name another folder")
    try:
        descriptor, probe = tempfile.mkstemp(prefix=".probe", dir=place)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise UserError(f"{folder} cannot be written ({reason})", key=key, fix="name another folder") from error
    os.close(descriptor)
    os.unlink(probe)


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
    with opened(path) as file:
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
