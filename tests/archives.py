"""Zip and tar archives with any entries, hostile ones too."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

LINK, HARD, DEVICE, PIPE = "link", "hard link", "device", "pipe"


def make_zip(path: Path, *entries: tuple[str, bytes | str] | tuple[str, bytes | str, str]) -> Path:
    kinds = {LINK: stat.S_IFLNK, DEVICE: stat.S_IFCHR, PIPE: stat.S_IFIFO}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, *kind in entries:
            entry = zipfile.ZipInfo()
            entry.filename = entry.orig_filename = name
            entry.compress_type = zipfile.ZIP_DEFLATED
            if kind:
                entry.create_system = 3
                entry.external_attr = (kinds[kind[0]] | 0o777) << 16
            archive.writestr(entry, content)
    return path


def make_tar(path: Path, *entries: tuple[str, bytes | str] | tuple[str, bytes | str, str], mode: str = "w:gz") -> Path:
    kinds = {LINK: tarfile.SYMTYPE, HARD: tarfile.LNKTYPE, DEVICE: tarfile.CHRTYPE, PIPE: tarfile.FIFOTYPE}
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content, *kind in entries:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o6777
            if kind:
                entry.type = kinds[kind[0]]
                entry.linkname = str(content)
                archive.addfile(entry)
            else:
                assert isinstance(content, bytes)
                entry.size = len(content)
                entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                archive.addfile(entry, io.BytesIO(content))
    return path


MAKERS: dict[str, Callable[..., Path]] = {"zip": make_zip, "tar": make_tar}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder: files with their content, folders with None."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() and not path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
    }
