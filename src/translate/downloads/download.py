"""Get one data set: fetch its archives, unpack them beside its folder, check the content, and rename it into place."""

import contextlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from translate.downloads.fetch import PATIENCE, RetryPolicy, Unavailable, address, fetch, forget
from translate.downloads.progress import disk, in_units, say
from translate.downloads.sources import File, Source, find, read_all
from translate.downloads.unpack import ArchiveError, unpack
from translate.errors import Phrase, UserError

ROOT = "datasets"
"""The folder of all data sets, unless the user names another."""

DOWNLOADS = "downloads"
"""The folder beside a set's own for partial files, and for archives that are kept."""

_NOTE = ".download.json"  # in a set's folder, written last: its source, number of files and bytes


@dataclass(frozen=True)
class Order:
    """One data set to get, and where to."""

    source: Source
    folder: Path  # of the set
    mirror: str | None  # the address of a folder that has the files, instead of the published places
    keep: bool  # the archives, after they are unpacked


@dataclass(frozen=True)
class _Note:
    """The content of a set's folder when it was downloaded."""

    source: str
    files: int
    bytes: int


def order_of(
    selection: Mapping[str, str],
    root: str | None = None,
    data_root: str | None = None,
    mirror: str | None = None,
    keep: bool = False,
) -> Order:
    """Return the order of the set that ``selection`` names, as `sources.find` reads it.

    ``root`` is the folder of all data sets, ``data_root`` that of this one.
    """
    source = find(selection, read_all())
    if root is not None and data_root is not None:
        raise UserError(
            "root, the folder of all data sets, and data.root, the folder of this one, exclude each other",
            fix="leave one of them out",
        )
    folder = Path(data_root or os.path.join(root or ROOT, source.name)).expanduser()
    if folder.name in ("", "..") or folder.is_symlink():
        folder = folder.resolve()
    return Order(source, folder, None if mirror is None else address(mirror), keep)


def obtain(order: Order, patience: RetryPolicy = PATIENCE) -> str:
    """Let a set lie whole in its folder; return a sentence about what is there now.

    Raises UserError where it cannot be downloaded, where something else is in the folder, and what `fetch` raises.
    """
    source, folder = order.source, order.folder
    if not source.files:
        raise UserError("a program cannot download this data set", key=f"data={source.name}", fix=_by_hand(order))
    downloads = folder.parent / DOWNLOADS
    if found := _there(source, folder):  # without a lock: a folder that is whole stays so, and may be read-only
        return found
    with disk(downloads):
        downloads.mkdir(parents=True, exist_ok=True)
    with _locked(downloads / f"{source.name}.lock", source):
        if found := _there(source, folder):  # by another process, meanwhile
            return found
        say(f"{source.name}: {source.about}; licence: {source.licence}")
        try:
            archives = {file: fetch(file, downloads, order.mirror, patience) for file in source.files}
            count, size = _set_up(order, archives)
        except KeyboardInterrupt:
            say(f"what has come is kept in {downloads}; the same command goes on from there")
            raise
        except Unavailable as error:
            if source.by_hand is None:
                raise
            raise UserError(str(error), fix=f"try again later, or by hand: {_by_hand(order)}") from error
        if not order.keep:
            for archive in archives.values():
                with disk(archive):
                    archive.unlink()
    return f"{source.name} is in {folder}: {count:,} files, {in_units(size)}"


def _set_up(order: Order, archives: Mapping[File, Path]) -> tuple[int, int]:
    """Unpack in a folder beside the set's, look whether all is there, and let it take its name."""
    source, folder = order.source, order.folder
    staging = folder.with_name(f".{folder.name}.unpacking")
    _remove(staging)  # of a process that died
    whole = staging / "whole"
    try:
        with disk(staging):
            whole.mkdir(parents=True)
        for number, (file, archive) in enumerate(archives.items()):
            content = _content(file, archive, staging / str(number), source.holds)
            _merge(content, whole / file.to, file)
        missing = [name for name in source.holds if not (whole / name).exists()]
        if missing:
            found = ", ".join(sorted(path.name for path in whole.iterdir())[:8]) or "nothing"
            kept = ", ".join(map(str, archives.values()))
            raise UserError(
                "the archive has other content; its publisher may have changed it",
                key=str(kept),
                found=Phrase(found),
                expected=", ".join(source.holds),
                fix="unpack it by hand, or remove it and download it again",
            )
        count, size = _measure(whole)
        note = _Note(source.name, count, size)
        with disk(folder):
            (whole / _NOTE).write_text(json.dumps(asdict(note)), encoding="utf-8")
            if folder.exists():
                folder.rmdir()  # empty, as was seen
            os.rename(whole, folder)
    finally:
        _remove(staging)
    return count, size


def _content(file: File, archive: Path, scratch: Path, holds: Sequence[str]) -> Path:
    """Unpack an archive; return the folder of what it holds, which is not that in which it was packed."""
    if file.unpack == "none":
        with disk(scratch):
            scratch.mkdir()
            shutil.copyfile(archive, scratch / file.name)
        return scratch
    say(f"unpacking {archive}")
    try:
        unpack(archive, file.unpack, scratch)
    except ArchiveError as error:
        forget(file, archive.parent)
        fix = f"the archive has been removed from {archive.parent}: get it anew, or from elsewhere by mirror=DIR"
        raise UserError.of(replace(error.problem, key=str(archive), fix=fix)) from error
    found = list(scratch.iterdir())
    packed = len(found) == 1 and found[0].is_dir() and found[0].name not in holds
    return found[0] if packed else scratch


def _merge(content: Path, target: Path, file: File) -> None:
    with disk(target):
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(content.iterdir()):
            if (target / path.name).exists():
                raise UserError(f"another file of the set holds {path.name} too", key=file.name)
            os.rename(path, target / path.name)


def _there(source: Source, folder: Path) -> str | None:
    """Return a sentence if the folder holds the set, None if it is empty; UserError if it holds anything else."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError("a file is in the place of the folder", key=str(folder), fix="remove it, or set root=DIR")
    note = _read_note(folder / _NOTE)
    if note is not None:
        if note.source != source.name:
            raise UserError(
                f"the folder holds {note.source}", key=str(folder), fix="choose another folder by data.root=DIR"
            )
        count, size = _measure(folder)
        if (count, size) == (note.files, note.bytes):
            return f"{source.name} is in {folder} already: {count:,} files, {in_units(size)}; nothing to do"
        raise UserError(
            "the folder has changed since the download",
            key=str(folder),
            found=Phrase(f"{count:,} files with {size:,} bytes"),
            expected=f"{note.files:,} files with {note.bytes:,} bytes",
            fix=f"remove the folder to download {source.name} again, or train on it as it is",
        )
    if not any(folder.iterdir()):
        return None
    if source.holds and all((folder / name).exists() for name in source.holds):
        return f"{source.name} is in {folder} already, put there by somebody else, so it is not checked; nothing to do"
    raise UserError(
        f"the folder is not empty and does not hold {', '.join(source.holds) or source.name}",
        key=str(folder),
        fix="choose another folder by root=DIR or data.root=DIR, or remove the folder",
    )


def _read_note(path: Path) -> _Note | None:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return _Note(str(note["source"]), int(note["files"]), int(note["bytes"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the file is damaged ({error})", key=str(path), fix=f"remove {path.parent} and download again"
        ) from error


def _measure(folder: Path) -> tuple[int, int]:
    """Return how many files are below a folder, and their bytes, without hidden ones at its top."""
    count = size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if place != str(folder) or not name.startswith("."):
                count += 1
                size += os.lstat(os.path.join(place, name)).st_size
    return count, size


def _remove(folder: Path) -> None:
    if folder.exists():
        with disk(folder):
            shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(path: Path, source: Source) -> Iterator[None]:
    lock = FileLock(path)  # the file stays: to remove it would let two processes in
    with disk(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"another process is downloading {source.name}, waiting for it")
            lock.acquire()
        except NotImplementedError as error:
            raise UserError(
                "the folder cannot be locked", key=str(path.parent), fix="choose another folder by root=DIR"
            ) from error
    try:
        yield
    finally:
        lock.release()


def training_command(order: Order) -> str | None:
    """Return the command line that trains on the set, as typed into a shell; None where that makes no sense."""
    if not order.source.train:
        return None
    place = str(order.folder)
    if not re.fullmatch(r"[\w./~+-]+", place):  # quoted for Hydra
        place = "'" + place.replace("'", "\\'") + "'"
    return "python -m translate " + shlex.join([*order.source.train, f"data.root={place}"])


def _by_hand(order: Order) -> str:
    command = training_command(order)
    instructions = (order.source.by_hand or "").replace("{folder}", str(order.folder))
    return f"{instructions}, then: {command}" if command else instructions
