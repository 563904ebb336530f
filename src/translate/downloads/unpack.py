"""Unpack untrusted zip and tar archives into a new folder.

An entry is refused before anything of it is written: a name that leads out of the folder, a device, more bytes than an
archive of images can hold. No link is made on the disk: where an archive links to one of its own files, the file
appears twice. This is stricter than the filter "data" of tarfile, which makes links, and serves zip archives alike.
Owners, modes and times are not taken over.
"""

import bz2
import contextlib
import gzip
import lzma
import posixpath
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, cast

from translate.downloads.progress import Progress, disk, full
from translate.errors import Phrase, UserError

Kind = Literal["zip", "tar", "none"]
"""How a file is unpacked; a tar may be compressed by gzip, bzip2 or xz."""

MAX_GROWTH = 100
"""The most bytes that may come out of an archive for each of its own, since images are compressed already ..."""

SMALL = 64 << 20
"""... or this many, if that is more."""

_ENTRY_SIZE = 512  # what an entry counts beside its content, so that many empty files are a bomb too
_LONGEST_LINK = 4096
_CHUNK = 1 << 20
_NOT_DATA = {"__MACOSX", ".DS_Store"}
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error, UnicodeError)
_ZIP_TYPES = {0: tarfile.REGTYPE, stat.S_IFREG: tarfile.REGTYPE, stat.S_IFLNK: tarfile.SYMTYPE}
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}

_Entries = Generator[tuple[tarfile.TarInfo, Callable[[], IO[bytes]], int]]
"""Entries of an archive of either kind, each with a function that opens it and the bytes of the archive read so far."""


class ArchiveError(UserError):
    """An archive that is damaged, hostile, or of an unknown compression; the caller adds its path as the key."""


def unpack(archive: Path, kind: Literal["zip", "tar"], target: Path) -> None:
    """Unpack an archive into the folder ``target``, which must not exist.

    ArchiveError for an archive that is damaged, hostile or a bomb, UserError where the disk refuses. The caller removes
    what has been written by then.
    """
    with disk(target):
        target.mkdir(parents=True)
    size = archive.stat().st_size
    limit = max(SMALL, MAX_GROWTH * size)
    try:
        with Progress(f"unpacking {archive.name}", size) as progress:
            entries = _zip_entries(archive, limit, target) if kind == "zip" else _tar_entries(archive, limit)
            with contextlib.closing(entries):
                _write(entries, target, limit, progress)
    except _DAMAGED as error:
        raise ArchiveError(f"the archive is damaged ({str(error) or type(error).__name__})") from error
    except NotImplementedError as error:  # a compression that zipfile does not know
        raise ArchiveError(f"the archive cannot be unpacked ({error})") from error


def looks_like(path: Path, kind: Kind) -> bool:
    """Return whether a file begins, and if a zip also ends, as one of its kind does."""
    if kind == "zip":
        return zipfile.is_zipfile(path)
    try:
        return kind == "none" or tarfile.is_tarfile(path)
    except (OSError, *_DAMAGED):
        return False


def safe_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a name in an archive, () for an entry that is no data.

    ArchiveError for a name that could lead out of the target, on this system or on another.

    >>> safe_parts("horse2zebra/./trainA/1.jpg")
    ('horse2zebra', 'trainA', '1.jpg')
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if any(ord(character) < 32 for character in name):
        raise ArchiveError("the name of an entry holds control characters", found=name)
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise ArchiveError("the name of an entry leads out of its folder", found=name)
    return () if _NOT_DATA & set(parts) else parts


def _zip_entries(archive: Path, limit: int, target: Path) -> _Entries:
    with zipfile.ZipFile(archive) as zipped:
        read, declared = 0, sum(info.file_size + _ENTRY_SIZE for info in zipped.infolist())
        if declared > limit:
            raise _bomb(limit, f"{declared:,} bytes")
        free = shutil.disk_usage(target).free
        if declared > free:
            raise full(target, declared, free)
        for info in zipped.infolist():
            if info.flag_bits & 1:
                raise ArchiveError("the archive is locked by a password")
            entry = tarfile.TarInfo(info.orig_filename)
            entry.size = info.file_size
            kind = _ZIP_TYPES.get(stat.S_IFMT(info.external_attr >> 16), tarfile.CHRTYPE)
            entry.type = tarfile.DIRTYPE if info.is_dir() else kind
            if entry.issym():
                if info.file_size > _LONGEST_LINK:
                    raise ArchiveError("the text of a link is too long", found=entry.name)
                entry.linkname = zipped.read(info).decode()
            read += info.compress_size
            yield entry, partial(zipped.open, info), read


def _tar_entries(archive: Path, limit: int) -> _Entries:
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open(archive, "rb"))
        start = raw.read(6)
        raw.seek(0)
        opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
        content = _Bounded(stack.enter_context(opener(raw)) if opener else raw, limit)
        tar = stack.enter_context(tarfile.open(fileobj=cast(IO[bytes], content), mode="r|"))  # never goes back
        for entry in tar:
            yield entry, partial(cast(Callable[..., IO[bytes]], tar.extractfile), entry), raw.tell()
        while content.read(_CHUNK):  # to the end, where the checksum is
            pass


class _Bounded:
    """Read a tar until more bytes have come out than an archive of its size should hold.

    This bounds the headers too, which tarfile reads into memory whatever size they declare.
    """

    def __init__(self, content: IO[bytes], limit: int) -> None:
        self.content, self.limit, self.read_so_far = content, limit, 0

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes. EOFError for what gzip and bz2 cannot decompress: their own is an OSError."""
        try:
            chunk = self.content.read(size)
        except OSError as error:
            raise EOFError(str(error)) if error.errno is None else error from error
        self.read_so_far += len(chunk)
        if self.read_so_far > self.limit:
            raise _bomb(self.limit, "more")
        return chunk


def _write(entries: _Entries, target: Path, limit: int, progress: Progress) -> None:
    """Write all entries below ``target``, links last; every file is created anew."""
    sizes: dict[str, int] = {}
    links: dict[str, str] = {}
    written = 0
    for entry, open_content, read in entries:
        name = "/".join(safe_parts(entry.name))
        if not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()):
            raise ArchiveError("an entry is a device", found=entry.name)
        if not name:
            continue
        if entry.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.linkname))
        elif entry.islnk():
            links[name] = "/".join(safe_parts(entry.linkname))
        else:
            written = _add(written, entry.size if entry.isreg() else 0, limit)
            with _new(target, name) as path:
                if entry.isdir():
                    path.mkdir(exist_ok=True)
                else:
                    with open_content() as content, open(path, "xb") as file:
                        shutil.copyfileobj(content, file, _CHUNK)
                    sizes[name] = entry.size
        progress.at(read)
    for name, end in links.items():
        passed = {name}
        while end in links and end not in passed:
            passed.add(end)
            end = links[end]
        if end not in sizes:
            raise ArchiveError("a link leads to no file of the archive", found=Phrase(f"{name!r} -> {end!r}"))
        written = _add(written, sizes[end], limit)
        with _new(target, name) as path, open(target / end, "rb") as content, open(path, "xb") as file:
            shutil.copyfileobj(content, file, _CHUNK)


def _add(written: int, size: int, limit: int) -> int:
    """Return the bytes written with those of a further entry; ArchiveError beyond the limit."""
    written += size + _ENTRY_SIZE
    if size < 0 or written > limit:
        raise _bomb(limit, "more")
    return written


@contextlib.contextmanager
def _new(target: Path, name: str) -> Generator[Path]:
    """Yield the path of an entry to create; errors of the disk become structured errors."""
    with disk(target / name):
        try:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            yield target / name
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise ArchiveError("two entries have the same place", found=name) from error


def _bomb(limit: int, size: str) -> ArchiveError:
    expected = f"at most {limit:,} bytes from an archive of its size"
    return ArchiveError("the archive is too large when unpacked", found=Phrase(size), expected=expected)
