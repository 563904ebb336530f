"""Read files that can come from anybody: regular files alone, of bounded size; every fault is a UserError.

A place on the disk can hold anything: a folder, a pipe that nobody writes, a link to itself or to a device that never
ends, bytes that are no text, JSON that is no record. What is opened by another library passes `require_file` first.
"""

import errno
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from numbers import Real
from typing import Any

from translate.errors import Phrase, UserError, first_line

MAX_BYTES = 256_000_000
"""The largest text that is read whole: the records of a long run have some ten megabytes."""

MAX_LINE = 4_000_000

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
"""Kinds of places that are no regular files."""

Place = str | os.PathLike[str]

USERS = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENXIO),
        *(errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENODEV, errno.EBUSY, errno.EXDEV, errno.EMLINK),
    }
)
"""Errors of the operating system about a place on the disk, not about the program."""


def is_plain(text: str) -> bool:
    """Return whether the system takes a text as a name: it has no null characters, nor half characters."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def is_whole_number(text: str) -> bool:
    """Return whether a text of others is a whole number in at most 18 digits, which `int` reads.

    Python takes more for digits, such as "²", and refuses to read thousands of them.

    >>> is_whole_number("000042"), is_whole_number("²"), is_whole_number("9" * 5000)
    (True, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) <= 18


def kind_of(path: Place) -> str:
    """Return what is at a place, links followed: "a file", "a folder", "a pipe"; UserError if nothing can be seen."""
    with _refused(path):
        return KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "a file")


def require_file(path: Place, max_bytes: int | None = None) -> None:
    """Raise UserError unless a regular file, of at most ``max_bytes``, is at a place, links followed.

    It is not opened.
    """
    if (kind := kind_of(path)) != "a file":
        raise UserError("no file can be read here", key=str(path), found=Phrase(kind), expected="a file")
    if max_bytes is not None and (size := os.stat(path).st_size) > max_bytes:
        raise _too_large(path, size, max_bytes)


def require_folder(path: Place) -> None:
    """Raise UserError unless a folder is at a place, links followed."""
    if (kind := kind_of(path)) != "a folder":
        raise UserError(key=str(path), found=Phrase(kind), expected="a folder")


@contextmanager
def opened(path: Place) -> Iterator[BufferedReader]:
    """Yield a regular file, open for reading; UserError for anything else, without waiting for a pipe."""
    require_file(path)  # before it is opened, which some devices notice
    with _refused(path):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            require_file(path)
        with _refused(path):
            yield file


def read_bytes(path: Place, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file; UserError for one of more than ``max_bytes``."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > max_bytes else file.read(max_bytes + 1)
    if max(size, len(content)) > max_bytes:
        raise _too_large(path, max(size, len(content)), max_bytes)
    return content


def _too_large(path: Place, size: int, limit: int) -> UserError:
    found, expected = Phrase(f"{size:,} bytes"), f"at most {limit:,} bytes"
    return UserError("the file is too large", key=str(path), found=found, expected=expected)


def read_text(path: Place, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a UTF-8 file; UserError for other bytes."""
    content = read_bytes(path, max_bytes)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {content[error.start]:#04x} at position {error.start}"
        raise UserError("the file is not text", key=str(path), found=Phrase(found), expected="UTF-8") from error


def read_lines(path: Place) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, the first is 1; UserError for one of more than `MAX_LINE` bytes."""
    with opened(path) as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise UserError("the line is too long", key=f"{path}:{number}", expected=f"at most {MAX_LINE:,} bytes")
            yield number, line


def read_object(path: Place, fix: str = "", max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the mapping in a JSON file; UserError, with the ``fix``, for anything else."""
    try:
        text = read_text(path, max_bytes)
    except UserError as error:
        raise with_fix(error, fix) from error
    return parse_object(text, str(path), fix)


def parse_object(text: str, key: str, fix: str = "") -> dict[str, Any]:
    """Return the mapping in a JSON text, found at ``key``; UserError, with the ``fix``, for anything else."""
    try:
        tree = loads(text)
    except ValueError as error:
        raise UserError(f"this is not JSON ({first_line(error)})", key=key, fix=fix) from error
    if not isinstance(tree, dict):
        raise UserError(key=key, found=kind_of_json(tree), expected="a mapping in JSON", fix=fix)
    return tree


def loads(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError for anything else, also for more levels than Python can read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it has too many levels") from error


def is_finite(value: Any) -> bool:
    """Return whether a value of a file is a number that is finite, also as a float, which 10^400 is not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def kind_of_json(value: Any) -> Phrase:
    """Return the kind of a JSON value in words; YAML has others too.

    >>> kind_of_json([1]), kind_of_json(None), kind_of_json(b"")
    ('a list', 'null', 'a value of the type bytes')
    """
    names = {list: "a list", dict: "a mapping", str: "a text", bool: "a truth value", type(None): "null"}
    other = "a number" if isinstance(value, Real) else f"a value of the type {type(value).__name__}"
    return Phrase(names.get(type(value), other))


def with_fix(error: UserError, fix: str) -> UserError:
    """Return the same error with a fix, unless it has one."""
    return UserError.of(replace(error.problem, fix=error.problem.fix or fix))


def of_system(error: OSError) -> UserError | None:
    """Return an error of the operating system about a place on the disk as a UserError; None for any other."""
    if error.errno not in USERS:
        return None
    name = error.filename if error.filename2 is None else error.filename2
    return _cannot("this place cannot be used", name if isinstance(name, str | os.PathLike) else "", error)


@contextmanager
def _refused(path: Place) -> Iterator[None]:
    """Raise UserError where the block cannot read a place, or where the system takes no such name."""
    try:
        yield
    except OSError as error:
        raise _cannot("the file cannot be read", path, error) from error
    except UserError:  # of the block, which has its own sentence
        raise
    except UnicodeEncodeError as error:
        raise UserError("the name has characters that no file name can have", key=str(path)) from error
    except ValueError as error:  # an embedded null character
        raise UserError(f"this is no name of a file ({first_line(error)})", key=str(path)) from error


def _cannot(statement: str, path: Place, error: OSError) -> UserError:
    fixes = {
        errno.ELOOP: "remove the link, which leads to itself",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.EACCES: "check the permissions",
        errno.EPERM: "check the permissions",
        errno.ENOSPC: "free space on the disk",
    }
    key = os.fspath(path) if path else ""
    key = key if len(key) <= 200 else f"{key[:100]}...{key[-60:]}"
    reason = error.strerror or first_line(error)
    return UserError(f"{statement} ({reason})", key=key, fix=fixes.get(error.errno or 0, ""))
