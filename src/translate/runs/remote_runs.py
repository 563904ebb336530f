"""Runs at addresses: the local folder in which such a run works, and the fetch of its newest state."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from filelock import FileLock

from translate.downloads.remote import RemoteFolder, is_address, open_folder
from translate.errors import Phrase, UserError, without_secrets
from translate.files.reading import is_whole_number
from translate.runs import headers
from translate.runs.folder import CHECKPOINT_SUFFIX, CONFIG_FILE, RunFolder

log = logging.getLogger("translate")

CHECKPOINTS = "checkpoints"
ENVIRONMENT = "environment.json"
"""Written once when a run begins, so it tells two runs apart."""

CACHE_VARIABLE = "TRANSLATE_CACHE"


def local_folder(address: str) -> Path:
    """Return where a run at an address works on this machine: a folder of the cache that the address names.

    >>> local_folder("s3://me:word@bucket/faces/run 1").parts[-4:]
    ('s3', 'bucket', 'faces', 'run_1')
    """
    kind, _, place = without_secrets(address).partition("://")
    parts = [re.sub(r"[^\w.-]", "_", part) for part in place.split("/") if part.strip(".")]
    cache = Path(os.environ.get(CACHE_VARIABLE, "~/.cache/translate")).expanduser()
    return cache.joinpath("remote", re.sub(r"[^\w.-]", "_", kind), *parts)


def is_copied(address: object, folder: Path) -> bool:
    """Return whether the run in a folder is one at this address, as its configuration says.

    Any other address in a configuration is not obeyed: the author of the file would receive the run.
    """
    return is_address(address) and local_folder(str(address)).resolve() == Path(folder).resolve()


def numbered(names: Iterable[str]) -> dict[int, str]:
    """Return the checkpoints among names of files, by iteration, the newest first."""
    paths = [PurePosixPath(name) for name in names]
    found = {
        int(path.stem): str(path)
        for path in paths
        if str(path.parent) == CHECKPOINTS and path.suffix == CHECKPOINT_SUFFIX and is_whole_number(path.stem)
    }
    return dict(sorted(found.items(), reverse=True))


def fetch(address: str, key: str, into: Path | None = None) -> Path:
    """Return the local folder of the run at an address, with its newest state.

    A local folder whose newest checkpoint is as new is left as it is. Otherwise all files but the older checkpoints are
    fetched; a checkpoint that is cut short is passed over. UserError if there is no run, or the local folder holds
    another one.
    """
    remote = open_folder(address, key)
    folder = into or local_folder(address)
    sizes = remote.sizes()
    if CONFIG_FILE not in sizes:
        found = None if sizes else Phrase("no file: it is not there, is not reached, or does not list its files")
        raise UserError(f"{remote} holds no run", key=key, found=found, expected=f"a folder with {CONFIG_FILE}")
    bring(remote, sizes, folder, key)
    return folder


def bring(remote: RemoteFolder, sizes: dict[str, int], folder: Path, key: str) -> None:
    """Fetch the newest state of a run into a folder, see `fetch`; ``sizes`` are those of the remote files."""
    run = RunFolder(folder)
    there = numbered(sizes)
    newest = max(there, default=-1)
    if run.is_run():
        _require_same_run(remote, sizes, run, key)
        if (run.newest_iteration() or -1) >= newest:
            log.info("the newest state of %s is in %s", remote, folder)
            return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        _bring(remote, sizes, run, there)


def _bring(remote: RemoteFolder, sizes: dict[str, int], run: RunFolder, there: dict[int, str]) -> None:
    folder = run.path
    if run.is_run() and (run.newest_iteration() or -1) >= max(there, default=0):
        return  # another process has fetched it
    log.info("fetching the run %s into %s", remote, folder)
    plain = [name for name in sizes if name not in there.values() and name != CONFIG_FILE and _is_inside(name)]
    for name in plain:
        remote.fetch(name, folder / name)
    for name in there.values():
        if _fetch_whole(remote, name, folder, sizes[name]):
            break
    remote.fetch(CONFIG_FILE, folder / CONFIG_FILE)  # last: without it the folder is not taken for a run


def place_of(address: str, fetches: bool) -> Path:
    """Return the local folder of a run that is to begin at an address, or to continue there if it ``fetches``.

    UserError if the address holds something else than a run without a checkpoint.
    """
    remote = open_folder(address, "folder")
    sizes, folder = remote.sizes(), local_folder(address)
    if not sizes or (CONFIG_FILE in sizes and not numbered(sizes)):
        return folder
    if not fetches or CONFIG_FILE not in sizes:
        fix = f"name a new folder, or write resume={remote} to continue its run"
        raise UserError(f"{remote} is not empty", key="folder", fix=fix)
    bring(remote, sizes, folder, "folder")
    return folder


def _require_same_run(remote: RemoteFolder, sizes: dict[str, int], run: RunFolder, key: str) -> None:
    own = run.path / ENVIRONMENT
    if ENVIRONMENT in sizes and own.is_file() and remote.text(ENVIRONMENT) != own.read_text("utf-8", "replace"):
        raise UserError(f"the local folder {run} holds another run than {remote}", key=key, fix=f"move or delete {run}")


def _fetch_whole(remote: RemoteFolder, name: str, folder: Path, size: int) -> bool:
    """Fetch a checkpoint; return whether it is whole."""
    path = folder / name
    remote.fetch(name, path)
    try:
        headers.read(path)
    except UserError as error:
        log.warning("%s/%s is not whole (%s); the checkpoint before it is fetched", remote, name, error)
        path.unlink()
        return False
    return path.stat().st_size == size


def _is_inside(name: str) -> bool:
    """Return whether a name stays below its folder; a store may hold any name."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name


@contextmanager
def stored(place: str | None, key: str) -> Iterator[Path | None]:
    """Yield the folder in which results for a place are written: for an address a local one that is copied at the end.

    UserError before the block if the address cannot be opened, and after it if the files cannot be copied.
    """
    if not is_address(place):
        yield None if place is None else Path(place).expanduser()
        return
    remote = open_folder(str(place), key)
    with TemporaryDirectory(prefix="translate_") as temporary:
        folder = Path(temporary)
        yield folder
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            remote.store(path, path.relative_to(folder).as_posix())


def local(place: str, key: str) -> Path:
    """Return a path for a place of a run: that of the fetched run for an address."""
    return fetch(place, key) if is_address(place) else Path(place).expanduser()
