"""Download one data set: fetch its archives, unpack them beside its folder, check the content, rename the folder."""

import errno
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from filelock import AcquireReturnProxy, FileLock, Timeout

from translate import signals
from translate.downloads import icons
from translate.downloads.disk import disk_errors
from translate.downloads.fetch import DEFAULT_RETRY_POLICY, RetryPolicy, Unavailable, fetch, remove
from translate.downloads.progress import in_units, say
from translate.downloads.sources import File, Source
from translate.downloads.unpack import ArchiveError, unpack
from translate.errors import Phrase, UserError
from translate.files.reading import read_object
from translate.files.writing import atomic_write

ROOT = "datasets"
"""The folder of all data sets, unless the user names another."""

DOWNLOADS = "downloads"
"""The folder beside that of a data set for partial files, and for archives that are kept."""

_RECORD = ".download.json"  # in the folder of a data set


class _Record(NamedTuple):
    """The content of the folder of a data set at the end of the download."""

    source: str
    files: int
    bytes: int


class DownloadRequest(NamedTuple):
    """One data set to download, and its folder."""

    source: Source
    folder: Path
    mirror: str | None = None  # the URL of a folder with the files, instead of their own URLs
    keep: bool = False  # keep the archives after unpacking
    pixels: int = icons.PIXELS  # the side of images that are rendered

    def training_command(self) -> str | None:
        """Return the shell command that trains on the data set, or None if the data set is not for training."""
        if not self.source.train:
            return None
        root = str(self.folder)
        if not re.fullmatch(r"[\w./~+-]+", root):  # quoted for Hydra
            root = "'" + root.replace("'", "\\'") + "'"
        return "python -m translate " + shlex.join([*self.source.train, f"data.root={root}"])

    def manual_instructions(self) -> str:
        """Return how a person gets the data set, and the command that trains on it."""
        instructions = (self.source.manual_instructions or "").replace("{folder}", str(self.folder))
        return ", then: ".join(filter(None, [instructions, self.training_command()]))


def download(request: DownloadRequest, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY) -> str:
    """Download the data set unless it is complete; return a sentence with its folder and size.

    UserError if it cannot be downloaded, if its folder has other content, or if the disk refuses.
    """
    source, folder = request.source, request.folder
    if not source.files:
        fix = request.manual_instructions()
        raise UserError("this data set cannot be downloaded by a program", key=f"data={source.name}", fix=fix)
    with disk_errors(folder):
        if complete := _complete(source, folder):  # without a lock, since the folder may be read-only
            return complete
        downloads = folder.parent / DOWNLOADS
        downloads.mkdir(parents=True, exist_ok=True)
        with _lock(downloads / f"{source.name}.lock", source.name):
            # Another process may have downloaded it meanwhile.
            return _complete(source, folder) or _download(request, downloads, retry_policy)


def _download(request: DownloadRequest, downloads: Path, retry_policy: RetryPolicy) -> str:
    source = request.source
    say(f"{source.name}: {source.about}; licence: {source.licence}")
    if any(file.unpack == "icons" for file in source.files):
        icons.require_renderer()
    try:
        with signals.advising(lambda: f"partial files are kept in {downloads}; repeat the command to continue"):
            archives = {file: fetch(file, downloads, request.mirror, retry_policy) for file in source.files}
            record = _install(request, archives)
    except Unavailable as error:
        if source.manual_instructions is None:
            raise
        fix = f"{error.problem.fix}, or get the data set yourself: {request.manual_instructions()}"
        raise UserError.of(replace(error.problem, fix=fix)) from error
    for archive in () if request.keep else archives.values():
        archive.unlink()
    return f"{source.name} is in {request.folder}: {record.files:,} files, {in_units(record.bytes)}"


def _lock(path: Path, name: str) -> AcquireReturnProxy:
    """Let one process at a time download a data set; the lock file stays, since its removal would admit two."""
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another process that downloads {name}")
        return lock.acquire()
    except NotImplementedError as error:
        raise OSError(errno.ENOTSUP, "no locks") from error


# --- the folder of a data set -------------------------------------------------------------------------------


def _complete(source: Source, folder: Path) -> str | None:
    """Return a sentence if the folder has the data set, None if it is empty; UserError for any other content."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError("this is a file, not a folder", key=str(folder), fix="remove the file or set root=DIR")
    record = _read_record(folder / _RECORD)
    if record is None:
        if not any(folder.iterdir()):
            return None
        if source.content and all((folder / name).exists() for name in source.content):
            return f"{source.name} is in {folder} already, not checked: no download of this program; nothing to do"
        raise UserError(
            "the folder has other content",
            key=str(folder),
            expected=", ".join(source.content) or f"the content of {source.name}",
            fix="choose another folder by root=DIR or data.root=DIR, or remove the folder",
        )
    if record.source != source.name:
        fix = "choose another folder by data.root=DIR"
        raise UserError(f"the folder holds {record.source}", key=str(folder), fix=fix)
    files, size = _measure(folder)
    if (files, size) != (record.files, record.bytes):
        raise UserError(
            "the folder has changed since the download",
            key=str(folder),
            found=Phrase(f"{files:,} files with {size:,} bytes"),
            expected=f"{record.files:,} files with {record.bytes:,} bytes",
            fix=f"remove the folder to download {source.name} again, or train on it as it is",
        )
    return f"{source.name} is in {folder} already: {files:,} files, {in_units(size)}; nothing to do"


def _read_record(path: Path) -> _Record | None:
    if not os.path.lexists(path):
        return None
    fix = f"remove {path.parent} and download the data set again"
    try:
        return _Record(**read_object(path, fix))
    except TypeError as error:
        raise UserError("this is no record of a download", key=str(path), fix=fix) from error


def _measure(folder: Path) -> tuple[int, int]:
    """Return the number of files below a folder and their bytes, without hidden files at its top."""
    sizes = [
        os.lstat(os.path.join(place, name)).st_size
        for place, _, names in os.walk(folder)
        for name in names
        if place != str(folder) or not name.startswith(".")
    ]
    return len(sizes), sum(sizes)


# --- unpacking ----------------------------------------------------------------------------------------------


def _install(request: DownloadRequest, archives: Mapping[File, Path]) -> _Record:
    """Unpack the archives into a folder beside that of the data set, check the content, and rename the folder."""
    source, folder = request.source, request.folder
    staging = folder.with_name(f".{folder.name}.unpacking")
    _remove_folder(staging)  # of a process that was killed
    complete = staging / "complete"
    try:
        complete.mkdir(parents=True)
        for number, (file, archive) in enumerate(archives.items()):
            content = _unpacked(file, archive, staging / str(number), request)
            _merge(content, complete / file.folder, file)
        _check_content(complete, source, archives)
        record = _Record(source.name, *_measure(complete))
        atomic_write(complete / _RECORD, json.dumps(record._asdict()))
        if folder.exists():
            folder.rmdir()  # empty: `_complete` has checked it
        os.rename(complete, folder)
    finally:
        _remove_folder(staging)
    return record


def _unpacked(file: File, archive: Path, scratch: Path, request: DownloadRequest) -> Path:
    """Unpack an archive into ``scratch``; return the folder of its content, without a folder that wraps it all."""
    source = request.source
    if file.unpack == "none":
        scratch.mkdir()
        shutil.copyfile(archive, scratch / file.name)
        return scratch
    say(f"unpacking {archive}")
    try:
        if file.unpack == "icons":
            icons.render(archive, scratch, request.pixels)
            return scratch
        unpack(archive, file.unpack, scratch)
    except ArchiveError as error:
        remove(file, archive.parent)
        fix = "the archive has been removed: repeat the command, or name another source by mirror=DIR or mirror=URL"
        raise UserError.of(replace(error.problem, key=str(archive), fix=fix)) from error
    paths = list(scratch.iterdir())
    wrapped = len(paths) == 1 and paths[0].is_dir() and paths[0].name not in source.content
    return paths[0] if wrapped else scratch


def _merge(content: Path, target: Path, file: File) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(content.iterdir()):
        if (target / path.name).exists():
            raise UserError(f"another file of the data set has {path.name} too", key=file.name)
        os.rename(path, target / path.name)


def _check_content(folder: Path, source: Source, archives: Mapping[File, Path]) -> None:
    if not all((folder / name).exists() for name in source.content):
        raise UserError(
            "the archive has other content; its authors may have changed it",
            key=", ".join(map(str, archives.values())),
            found=Phrase(", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"),
            expected=", ".join(source.content),
            fix="unpack the archive yourself, or remove it and download it again",
        )


def _remove_folder(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
