"""Unpack zip and tar archives that nobody vouches for.

Names are taken apart and judged before anything is written; every file is created anew in a folder that did not
exist, so nothing that was there can be overwritten, and no link is ever made: where an archive has a link to one of
its own files, the file appears twice. Owners, modes and times are not taken over. How much comes out is bounded by
what went in, since pictures are compressed already.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast

from translate.downloads.progress import Progress, disk, full

Kind = Literal["zip", "tar", "none"]
"""How a file is unpacked; a tar may be compressed by gzip, bzip2 or xz."""

MAX_GROWTH = 100
"""How many bytes may come out of an archive for each of its own ..."""

SMALL = 64 << 20
"""... or this many, where that is more."""

_CHUNK = 1 << 20
_HEADER = 512  # what an entry counts for beside its content
_LONGEST_LINK = 4096
_NOT_DATA = {"__MACOSX", ".DS_Store"}
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error, UnicodeError)
_OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}

Parts = tuple[str, ...]
"""A name in an archive, taken apart."""


class ArchiveError(ValueError):
    """An archive that cannot be or shall not be unpacked; the text completes the sentence "this archive ..."."""


def unpack(archive: Path, kind: Literal["zip", "tar"], target: Path) -> None:
    """Unpack an archive into the folder `target`, which is made and must not exist.

    Raises ArchiveError for one that is damaged, hostile or a bomb, and UserError where the disk will not; what
    has been written by then is the caller's to remove.
    """
    with disk(target):
        target.mkdir(parents=True)
    size = archive.stat().st_size
    writer = _Writer(target, max(SMALL, MAX_GROWTH * size))
    with Progress(f"unpacking {archive.name}", size) as progress:
        try:
            (_unzip if kind == "zip" else _untar)(archive, writer, progress)
        except _DAMAGED as error:
            raise ArchiveError(f"is damaged ({str(error) or type(error).__name__})") from error
        except NotImplementedError as error:  # a compression that zipfile does not know
            raise ArchiveError(f"cannot be unpacked ({error})") from error
    writer.write_links()


def looks_like(path: Path, kind: Kind) -> bool:
    """Return whether a file begins, and if a zip also ends, as one of its kind does."""
    if kind == "zip":
        return zipfile.is_zipfile(path)
    try:
        return kind == "none" or tarfile.is_tarfile(path)
    except (OSError, *_DAMAGED):
        return False


def safe_parts(name: str) -> Parts:
    """Return the folders and the file that a name in an archive is made of, () for one that is no data.

    Raises ArchiveError for a name that could lead out of the target, on this system or on another.

    >>> safe_parts("horse2zebra/./trainA/1.jpg")
    ('horse2zebra', 'trainA', '1.jpg')
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if any(ord(character) < 32 for character in name):
        raise ArchiveError(f"has the entry {name!r}, whose name holds control characters")
    if name.startswith("/") or ".." in parts:
        raise ArchiveError(f"has the entry {name!r}, which leads out of its folder")
    if "\\" in name or re.match(r"[A-Za-z]:", name):
        raise ArchiveError(f"has the entry {name!r}; a drive letter and backslashes may lead out of its folder")
    return () if _NOT_DATA & set(parts) else parts


# --- zip ----------------------------------------------------------------------------------------------------


def _unzip(archive: Path, writer: "_Writer", progress: Progress) -> None:
    with zipfile.ZipFile(archive) as zipped:
        entries = zipped.infolist()
        writer.expect(sum(entry.file_size + _HEADER for entry in entries))  # before anything is written
        read = 0
        for entry in entries:
            parts = safe_parts(entry.orig_filename)
            if entry.flag_bits & 1:
                raise ArchiveError("is locked by a password")
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                raise ArchiveError(f"has the entry {entry.orig_filename!r}, which is a device")
            if kind == stat.S_IFLNK:
                if entry.file_size > _LONGEST_LINK:
                    raise ArchiveError(f"has the link {entry.orig_filename!r}, which is too long for one")
                writer.note_link(parts, zipped.read(entry).decode(), of=entry.orig_filename)
            elif entry.is_dir():
                writer.make_folder(parts)
            else:
                with zipped.open(entry) as content:
                    writer.write(parts, content, entry.file_size)
            read += entry.compress_size
            progress.at(read)


# --- tar ----------------------------------------------------------------------------------------------------


def _untar(archive: Path, writer: "_Writer", progress: Progress) -> None:
    with open(archive, "rb") as raw, _decompressed(raw) as content:
        bounded = cast(IO[bytes], _Bounded(content, writer.limit))
        with tarfile.open(fileobj=bounded, mode="r|") as tar:  # never goes back
            for entry in tar:
                parts = safe_parts(entry.name)
                if entry.isdir():
                    writer.make_folder(parts)
                elif entry.issym():
                    writer.note_link(parts, entry.linkname, of=entry.name)
                elif entry.islnk():
                    writer.note_link(parts, safe_parts(entry.linkname), of=entry.name)
                elif entry.isreg():
                    taken = tar.extractfile(entry)
                    assert taken is not None, entry.name  # of regular files there is one
                    writer.write(parts, taken, entry.size)
                else:
                    raise ArchiveError(f"has the entry {entry.name!r}, which is a device")
                progress.at(raw.tell())
        while bounded.read(_CHUNK):  # to its end, where the checksum is
            pass


@contextlib.contextmanager
def _decompressed(raw: BinaryIO) -> Iterator[BinaryIO]:
    start = raw.read(6)
    raw.seek(0)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        yield raw
        return
    with opener(raw) as content:
        yield cast(BinaryIO, content)


class _Bounded:
    """Reads until more has come out than an archive of its size should hold.

    It bounds the headers too, which tarfile reads into memory whatever size they say they have. What the
    decompressor cannot read becomes an EOFError, since gzip's own is an OSError as a bad disk's is.
    """

    def __init__(self, content: BinaryIO, limit: int) -> None:
        self.content, self.limit, self.read_so_far = content, limit, 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        try:
            found = self.content.read(size)
        except gzip.BadGzipFile as error:
            raise EOFError(str(error)) from error
        except OSError as error:
            raise EOFError(str(error)) if error.errno is None else error from error
        self.read_so_far += len(found)
        if self.read_so_far > self.limit:
            raise _bomb(self.limit)
        return found


# --- what is written ----------------------------------------------------------------------------------------


class _Writer:
    """The files of one archive on their way into a new folder."""

    def __init__(self, target: Path, limit: int) -> None:
        self.target, self.limit = target, limit
        self.written = 0
        self.files: dict[Parts, int] = {}
        self.links: dict[Parts, Parts] = {}

    def expect(self, size: int) -> None:
        """Refuse what will be too much, for an archive of its size or for the disk."""
        if size > self.limit:
            raise _bomb(self.limit, size)
        free = shutil.disk_usage(self.target).free
        if size > free:
            raise full(self.target, size, free)

    def make_folder(self, parts: Parts) -> None:
        """Make a folder, and those above it."""
        with self._new(parts):
            self.target.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def write(self, parts: Parts, content: IO[bytes], size: int) -> None:
        """Write a file of so many bytes, which must not be there yet."""
        if not parts:
            return
        self._count(size)
        self.make_folder(parts[:-1])
        left = size
        with self._new(parts), open(self.target.joinpath(*parts), "xb", buffering=0) as file:
            while left:
                with _from_archive():
                    chunk = content.read(min(_CHUNK, left))
                if not chunk:
                    raise ArchiveError(f"is damaged (it ends within {'/'.join(parts)!r})")
                _write_all(file, chunk)
                left -= len(chunk)
        self.files[parts] = size

    def note_link(self, parts: Parts, leads_to: str | Parts, of: str) -> None:
        """Remember a link by what it leads to: a path beside it as text, or a name in the archive taken apart."""
        if not parts:
            return
        if isinstance(leads_to, str):
            place = list(parts[:-1])
            if leads_to.startswith("/") or "\\" in leads_to or re.match(r"[A-Za-z]:", leads_to):
                raise _leads_out(of, leads_to)
            for part in leads_to.split("/"):
                if part == ".." and not place:
                    raise _leads_out(of, leads_to)
                if part == "..":
                    place.pop()
                elif part not in ("", "."):
                    place.append(part)
            leads_to = tuple(place)
        self.links[parts] = leads_to

    def write_links(self) -> None:
        """Let every link that was noted appear as the file that it leads to."""
        for parts in self.links:
            end, seen = parts, set[Parts]()
            while end in self.links and end not in seen:
                seen.add(end)
                end = self.links[end]
            if end not in self.files:
                raise ArchiveError(
                    f"has the link {'/'.join(parts)!r} to {'/'.join(end)!r}, which is not a file of the archive"
                )
            self._count(self.files[end])
            self.make_folder(parts[:-1])
            with self._new(parts):
                _twice(self.target.joinpath(*end), self.target.joinpath(*parts))

    def _count(self, size: int) -> None:
        self.written += size + _HEADER
        if size < 0 or self.written > self.limit:
            raise _bomb(self.limit)

    @contextlib.contextmanager
    def _new(self, parts: Parts) -> Iterator[None]:
        """Say what is wrong with a name that cannot be created because of another one, or of the disk."""
        with disk(self.target.joinpath(*parts)):
            try:
                yield
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ArchiveError(f"has two entries that would both be {'/'.join(parts)!r}") from error


@contextlib.contextmanager
def _from_archive() -> Iterator[None]:
    """Keep an archive that cannot be read from being taken for a disk that cannot be written."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"cannot be read ({error})") from error


def _write_all(file: io.FileIO, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _twice(there: Path, here: Path) -> None:
    """Let a file appear a second time: as a hard link, or as a copy where there are none."""
    if os.path.lexists(here):
        raise FileExistsError(here)
    try:
        os.link(there, here)
    except (OSError, NotImplementedError):
        shutil.copyfile(there, here)


def _leads_out(name: str, leads_to: str) -> ArchiveError:
    return ArchiveError(f"has the link {name!r} to {leads_to!r}, which leads out of its folder")


def _bomb(limit: int, size: int | None = None) -> ArchiveError:
    found = "more" if size is None else f"{size:,} bytes"
    return ArchiveError(f"would unpack to {found}, expected at most {limit:,} bytes from one of its size")
