"""Find the files of weights of metrics: named by the user, in the cache, or fetched into it once."""

import hashlib
import logging
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from translate.downloads.fetch import Unavailable, fetch, remove
from translate.downloads.sources import File
from translate.errors import Phrase, UserError
from translate.metrics.extractors import faces_file
from translate.metrics.protocols import PROTOCOLS
from translate.metrics.weights import FILES, WeightsFile

if TYPE_CHECKING:
    from translate.evaluation.specs import MetricSpec

log = logging.getLogger("translate")

CACHE = "~/.cache/translate"
FOLDER = "weights"


def weights_folder(cache: Path | None) -> Path:
    """Return the folder of weights: below the cache, or below the default cache for a run without one."""
    if cache is None:
        cache = Path(os.environ.get("TRANSLATE_CACHE", CACHE)).expanduser()
    return cache / FOLDER


def find(name: str, named: str | None, key: str, cache: Path | None) -> Path:
    """Return the path of a weights file, fetched if it must be.

    ``name`` is a key of `FILES`, ``named`` the user's own path, ``key`` the key of the configuration for that path.
    UserError for a file that does not exist and cannot be fetched, or has other content.
    """
    if named is not None:
        path = Path(named).expanduser()
        if not path.is_file():
            raise UserError(f"there is no file {path}", key=key, expected=FILES[name].about)
        return path
    known, folder = FILES[name], weights_folder(cache)
    path = folder / known.file
    if not path.is_file():
        _fetch(known, folder, key)
    if not digest_of(path).startswith(known.sha256):
        raise UserError(
            "the file is damaged or another one",
            key=str(path),
            found=Phrase(f"the SHA-256 {digest_of(path)}"),
            expected=_expected(known),
            fix=f"remove {path} and repeat the command",
        )
    return path


def find_all(specs: Iterable["MetricSpec"], cache: Path | None) -> dict[str, Path]:
    """Return the path of the weights file of each metric that has one, by label; UserError as `find`."""
    paths: dict[str, Path] = {}
    for spec in specs:
        key, named = f"{spec.key}.weights", getattr(spec.metric, "weights", None)
        library, extra = ("dlib", "faces") if spec.extractor == "faces" else _library_of(spec.file)
        if library and find_spec(library) is None:
            fix = f"pip install 'translate-gan[{extra}]'"
            raise UserError(f"the metric needs the library {library}, which is not installed", key=spec.key, fix=fix)
        if spec.extractor == "faces":
            paths[spec.label] = faces_file(named, key)
        elif spec.file is not None:
            paths[spec.label] = find(spec.file, named, key, cache)
    return paths


def _library_of(file: str | None) -> tuple[str, str]:
    """Return the library that a key of `FILES` needs, and the extra that installs it; "" for none."""
    return ("", "") if file is None else (FILES[file].package, FILES[file].extra)


def _fetch(known: WeightsFile, folder: Path, key: str) -> None:
    """Fetch a file into the folder, one process at a time; afterwards it is complete or missing."""
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
                digest = digest_of(path)
                remove(file, folder)
                raise Unavailable(
                    "the fetched file is another one",
                    key=known.file,
                    found=Phrase(f"the SHA-256 {digest}"),
                    expected=_expected(known),
                )
    except (Unavailable, OSError) as error:
        raise _missing(known, path, key) from error


def _missing(known: WeightsFile, path: Path, key: str) -> UserError:
    without_file = sorted(
        name for name, protocol in PROTOCOLS.items() if protocol.weights is None and protocol.of_translations
    )
    available = [
        name
        for name, protocol in PROTOCOLS.items()
        if protocol.weights is not None and (path.parent / FILES[protocol.weights].file).is_file()
    ]
    return UserError(
        f"{known.file} ({known.about}) is missing and could not be fetched from {known.urls[0]}",
        key=key,
        fix=f"save the file as {path}, or name another file by {key}=FILE, or use a protocol that needs no further "
        f"file: {', '.join([*without_file, *available])}",
    )


def _expected(known: WeightsFile) -> str:
    return known.sha256 if len(known.sha256) == 64 else f"a SHA-256 that begins with {known.sha256}"


_digests: dict[tuple[str, int, int], str] = {}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, computed once while the file does not change."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        with open(path, "rb") as content:
            _digests[key] = hashlib.file_digest(content, "sha256").hexdigest()
    return _digests[key]
