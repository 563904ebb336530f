"""Unpack untrusted zip and tar archives into a new folder.

An entry is refused before it is written if its name is outside the folder, if it is a device, or if the archive is too
large when unpacked. Archives of research data hold links, so links are accepted, but only to files of the same archive,
and as copies: no link is made on the disk. The filter "data" of tarfile makes links and does not serve zip archives, so
it is not used. Owners, modes and times are not restored.
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

from translate.downloads.disk import disk_errors, require_space
from translate.downloads.progress import Progress
from translate.errors import Phrase, UserError

Kind = Literal["zip", "tar", "none", "icons"]
"""How a file is unpacked; a tar may be compressed by gzip, bzip2 or xz. icons: a collection to render, see `icons`."""

MAX_GROWTH = 100
"""The largest ratio of unpacked to packed bytes, since images are compressed already ..."""

SMALL = 64 << 20
"""... or this number of unpacked bytes, if that is more."""

_ENTRY_SIZE = 512  # bytes that an entry counts beside its content, so that many empty files are too large
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

    ArchiveError for an archive that is damaged, hostile or too large, UserError if the disk refuses. The caller then
    removes ``target``.
    """
    try:
        with disk_errors(target):
            target.mkdir(parents=True)
            size = archive.stat().st_size
            limit = max(SMALL, MAX_GROWTH * size)
            entries = _zip_entries(archive, limit, target) if kind == "zip" else _tar_entries(archive, limit)
            with Progress(f"unpacking {archive.name}", size) as progress, contextlib.closing(entries):
                _write(entries, target, limit, progress)
    except (OSError, *_DAMAGED) as error:  # gzip and bz2 raise an OSError without errno
        raise ArchiveError(f"the archive is damaged ({str(error) or type(error).__name__})") from error
    except NotImplementedError as error:  # a compression that zipfile does not know
        raise ArchiveError(f"the archive cannot be unpacked ({error})") from error


def looks_like(path: Path, kind: Kind) -> bool:
    """Return whether a file has the signature of its kind."""
    if kind == "zip":
        return zipfile.is_zipfile(path)
    if kind == "icons":
        with open(path, "rb") as content:
            return content.read(64).lstrip().startswith(b"{")
    try:
        return kind == "none" or tarfile.is_tarfile(path)
    except (OSError, *_DAMAGED):
        return False


def safe_name(name: str) -> str:
    """Return the name of an entry as a plain relative path, "" for an entry that is no data.

    ArchiveError for a path outside the target, on this system or another.

    >>> safe_name("horse2zebra/./trainA/1.jpg")
    'horse2zebra/trainA/1.jpg'
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if any(ord(character) < 32 for character in name):
        raise ArchiveError("the name of an entry holds control characters", found=name)
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise ArchiveError("the name of an entry is outside its folder", found=name)
    return "" if _NOT_DATA & set(parts) else "/".join(parts)


def _zip_entries(archive: Path, limit: int, target: Path) -> _Entries:
    with zipfile.ZipFile(archive) as zipped:
        read, declared = 0, _Budget(limit)
        declared.spend(sum(info.file_size + _ENTRY_SIZE for info in zipped.infolist()))
        require_space(target, declared.spent)
        for info in zipped.infolist():
            if info.flag_bits & 1:
                raise ArchiveError("the archive is encrypted")
            entry = tarfile.TarInfo(info.orig_filename)
            entry.size = info.file_size
            kind = _ZIP_TYPES.get(stat.S_IFMT(info.external_attr >> 16), tarfile.CHRTYPE)
            entry.type = tarfile.DIRTYPE if info.is_dir() else kind
            if entry.issym():
                if info.file_size > _LONGEST_LINK:
                    raise ArchiveError("the target of a link is too long", found=entry.name)
                entry.linkname = zipped.read(info).decode()
            read += info.compress_size
            yield entry, partial(zipped.open, info), read


def _tar_entries(archive: Path, limit: int) -> _Entries:
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open(archive, "rb"))
        start = raw.read(6)
        raw.seek(0)
        opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
        content = _BoundedReader(stack.enter_context(opener(raw)) if opener else raw, limit)
        tar = stack.enter_context(tarfile.open(fileobj=cast(IO[bytes], content), mode="r|"))  # never seeks back
        for entry in tar:
            yield entry, partial(cast(Callable[..., IO[bytes]], tar.extractfile), entry), raw.tell()
        while content.read(_CHUNK):  # the checksum is at the end
            pass


class _Budget:
    """The bytes that may still be unpacked."""

    def __init__(self, limit: int) -> None:
        self.limit, self.spent = limit, 0

    def spend(self, size: int) -> None:
        """Count further bytes; ArchiveError beyond the limit, or for a negative size."""
        self.spent += size
        if size < 0 or self.spent > self.limit:
            found, expected = Phrase(f"{self.spent:,} bytes or more"), f"at most {self.limit:,} bytes for its size"
            raise ArchiveError("the archive is too large when unpacked", found=found, expected=expected)


class _BoundedReader:
    """Read a tar within a budget, headers included, since tarfile reads headers of any size."""

    def __init__(self, content: IO[bytes], limit: int) -> None:
        self.content, self.budget = content, _Budget(limit)

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        chunk = self.content.read(size)
        self.budget.spend(len(chunk))
        return chunk


def _write(entries: _Entries, target: Path, limit: int, progress: Progress) -> None:
    """Write all entries below ``target``, links last; every file is created anew."""
    sizes: dict[str, int] = {}
    links: dict[str, str] = {}
    budget = _Budget(limit)
    for entry, open_content, read in entries:
        name = safe_name(entry.name)
        if not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()):
            raise ArchiveError("an entry is a device", found=entry.name)
        if not name:
            continue
        if entry.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.linkname))
        elif entry.islnk():
            links[name] = safe_name(entry.linkname)
        else:
            budget.spend(entry.size + _ENTRY_SIZE if entry.isreg() else _ENTRY_SIZE)
            with _new(target, name) as path:
                if entry.isdir():
                    path.mkdir(exist_ok=True)
                else:
                    with open_content() as content, open(path, "xb") as file:
                        shutil.copyfileobj(content, file, _CHUNK)
                    sizes[name] = entry.size
        progress.update(read)
    for name, end in links.items():
        visited = {name}
        while end in links and end not in visited:
            visited.add(end)
            end = links[end]
        if end not in sizes:
            raise ArchiveError(
                "the target of a link is not a file of the archive", found=Phrase(f"{name!r} -> {end!r}")
            )
        budget.spend(sizes[end] + _ENTRY_SIZE)
        with _new(target, name) as path, open(target / end, "rb") as content, open(path, "xb") as file:
            shutil.copyfileobj(content, file, _CHUNK)


@contextlib.contextmanager
def _new(target: Path, name: str) -> Generator[Path]:
    """Yield the path of an entry to create. ArchiveError if the path of another entry is in its way."""
    try:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        yield target / name
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError("two entries have the same path", found=name) from error
