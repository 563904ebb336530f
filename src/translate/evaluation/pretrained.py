"""Find the weight files of metrics: named by the user, in the cache, or fetched into it once."""

import hashlib
import logging
import os
from pathlib import Path

from filelock import FileLock

from translate.downloads.fetch import Unavailable, fetch, forget
from translate.downloads.sources import File
from translate.errors import UserError
from translate.metrics.protocols import PROTOCOLS
from translate.metrics.weights import FILES, WeightsFile

log = logging.getLogger("translate")

CACHE = "~/.cache/translate"
FOLDER = "weights"


def weights_folder(cache: Path | None) -> Path:
    """Return where weights are kept: below the cache, or below the default one for a run without a cache."""
    if cache is None:
        cache = Path(os.environ.get("TRANSLATE_CACHE", CACHE)).expanduser()
    return cache / FOLDER


def find(name: str, given: str | None, where: str, cache: Path | None) -> Path:
    """Return the path of a weights file, fetched if it must be.

    ``name`` is a key of `FILES`, ``given`` the user's own path, ``where`` the key that holds it. UserError for a file
    that is not there and cannot be fetched, or is another one than it should be.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise UserError(f"{where}: there is no file {path}; expected {FILES[name].about}")
        return path
    known, folder = FILES[name], weights_folder(cache)
    path = folder / known.file
    if not path.is_file():
        _fetch(known, folder, where)
    if not digest_of(path).startswith(known.sha256):
        raise UserError(
            f"{path}: its SHA-256 is {digest_of(path)}, expected {_expected(known)}; the file is damaged or another "
            "one: remove it and give the command again"
        )
    return path


def _fetch(known: WeightsFile, folder: Path, where: str) -> None:
    """Fetch a file into the folder, one process at a time; it is there whole or not at all."""
    path = folder / known.file
    full = known.sha256 if len(known.sha256) == 64 else None
    file = File(known.file, known.urls, full, None, "none", ".")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{known.file}.lock"):
            if path.is_file():
                return
            log.info("fetching %s, %s", known.file, known.about)
            fetch(file, folder)
            if not digest_of(path).startswith(known.sha256):
                found = digest_of(path)
                forget(file, folder)
                raise Unavailable(f"what came has the SHA-256 {found}, expected {_expected(known)}")
    except (Unavailable, OSError) as error:
        raise UserError(_missing(known, path, where)) from error


def _missing(known: WeightsFile, path: Path, where: str) -> str:
    free = ", ".join(sorted(name for name, protocol in PROTOCOLS.items() if protocol.weights is None))
    here = [
        name
        for name, protocol in PROTOCOLS.items()
        if protocol.weights is not None and (path.parent / FILES[protocol.weights].file).is_file()
    ]
    return (
        f"{where}: {known.file} ({known.about}) is not here and could not be fetched; place it at {path}, or name "
        f"another place by {where}=FILE; it is published at {known.urls[0]}. Without any file work: "
        f"{', '.join([free, *here])}"
    )


def _expected(known: WeightsFile) -> str:
    return known.sha256 if len(known.sha256) == 64 else f"one that begins with {known.sha256}"


_digests: dict[tuple[str, int, int], str] = {}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, computed once while it stays the same."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        with open(path, "rb") as content:
            _digests[key] = hashlib.file_digest(content, "sha256").hexdigest()
    return _digests[key]
