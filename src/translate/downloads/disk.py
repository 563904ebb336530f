"""Turn errors of the disk into structured errors, and check the free space before a large write."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from translate.downloads.progress import in_units
from translate.errors import UserError

_OTHER_FOLDER = "choose another folder by root=DIR"


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a UserError about its file, or about ``path``; for code without network.

    An OSError without errno is not of the disk and passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(path) from error
        reason = os.strerror(error.errno).lower()
        raise UserError(f"the file system reports {reason!r}", key=str(path), fix=_OTHER_FOLDER) from error


def require_space(folder: Path, needed: int) -> None:
    """Raise UserError unless the disk of a folder has ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _disk_full(folder, f": {in_units(needed)} are needed, {in_units(free)} are free")


def _disk_full(path: Path, sizes: str = "") -> UserError:
    fix = f"free some space and repeat the command, which continues, or {_OTHER_FOLDER}"
    return UserError(f"no space is left{sizes}", key=str(path), fix=fix)
