"""Whole files at addresses such as ``s3://bucket/run``: listed, fetched, stored and removed, with retries.

fsspec opens the address, so every file system that is installed will do: s3 (package s3fs), gs (gcsfs), abfs (adlfs),
sftp (paramiko), file, memory and others. Credentials come from their usual places, such as AWS_ACCESS_KEY_ID; those in
an address, ``sftp://user:password@host/run``, are used and never written or shown.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from translate.downloads.fetch import DEFAULT_RETRY_POLICY, RetryPolicy
from translate.errors import UserError, first_line, without_secrets
from translate.files.writing import UNFINISHED, atomic_path

INSTALL = "pip install 'translate-gan[remote]'"

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://")

CLAIM_FILE = ".claim.json"
"""The note of the process that writes into a folder, see `translate.runs.remote_claim`; it is never listed."""

PUTS_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci"})
"""Stores in which a file appears when all of it is there; elsewhere a file is stored by another name, then renamed."""

COMMON = ("s3", "gs", "abfs", "sftp", "file", "memory")

T = TypeVar("T")


def is_address(place: object) -> bool:
    """Return whether a place is an address instead of a path.

    >>> is_address("s3://bucket/run"), is_address("runs/a"), is_address("c:/runs")
    (True, False, False)
    """
    return isinstance(place, str) and ADDRESS.match(place) is not None


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@dataclass(frozen=True)
class Retries:
    """How often an operation is repeated, and how its waits are spent; ``wait`` returns True to give up."""

    policy: RetryPolicy = DEFAULT_RETRY_POLICY
    wait: Callable[[float], bool] = _sleep


@dataclass(frozen=True)
class RemoteFolder:
    """A folder at an address; names are relative to it, with slashes."""

    filesystem: Any
    root: str
    address: str  # without secrets
    secret: str = ""  # user name and password of the address as given

    def __str__(self) -> str:
        return self.address

    def sizes(self, retries: Retries = Retries()) -> dict[str, int]:
        """Return the sizes in bytes of all files below the folder, by name; {} if it does not exist."""

        def find() -> dict[str, Any]:
            self.filesystem.invalidate_cache()
            try:
                return dict(self.filesystem.find(self.root, detail=True))
            except FileNotFoundError:
                return {}

        start = self.root.rstrip("/") + "/"
        infos = {str(path): info for path, info in self._repeated(find, retries).items()}
        return {
            path.removeprefix(start): int(info.get("size") or 0)
            for path, info in infos.items()
            if path.startswith(start) and not path.endswith((UNFINISHED, f"/{CLAIM_FILE}"))
        }

    def fetch(self, name: str, path: Path, retries: Retries = Retries()) -> None:
        """Write a file of the folder to ``path``, whole or not at all."""

        def get() -> None:
            with atomic_path(path) as unfinished:
                self.filesystem.get_file(self._place(name), str(unfinished))

        self._repeated(get, retries)

    def text(self, name: str, retries: Retries = Retries()) -> str:
        """Return a file of the folder as text; characters that are not UTF-8 are replaced."""
        content = self._repeated(lambda: self.filesystem.cat_file(self._place(name)), retries)
        return bytes(content).decode("utf-8", "replace")

    def store(self, path: Path, name: str, retries: Retries = Retries()) -> None:
        """Copy a local file into the folder, whole or not at all. FileNotFoundError if ``path`` has gone."""
        place = self._place(name)

        def put() -> None:
            if self._puts_whole():
                self.filesystem.put_file(str(path), place)
                return
            self.filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
            self.filesystem.put_file(str(path), place + UNFINISHED)
            self.filesystem.mv(place + UNFINISHED, place)

        def put_existing() -> None:
            try:
                put()
            except FileNotFoundError:
                if path.is_file():  # the place is missing, such as a bucket
                    raise
                raise _LocalFileGone from None

        try:
            self._repeated(put_existing, retries)
        except _LocalFileGone:
            raise FileNotFoundError(str(path)) from None

    def write(self, name: str, content: bytes, retries: Retries = Retries()) -> None:
        """Write a small file of the folder, whole or not at all."""
        place = self._place(name)

        def write() -> None:
            if self._puts_whole():
                self.filesystem.pipe_file(place, content)
                return
            self.filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
            self.filesystem.pipe_file(place + UNFINISHED, content)
            self.filesystem.mv(place + UNFINISHED, place)

        self._repeated(write, retries)

    def remove(self, name: str, retries: Retries = Retries()) -> None:
        """Remove a file of the folder, if it is there."""

        def remove() -> None:
            try:
                self.filesystem.rm_file(self._place(name))
            except FileNotFoundError:
                return

        self._repeated(remove, retries)

    def _place(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def _puts_whole(self) -> bool:
        protocol = self.filesystem.protocol
        return bool(PUTS_WHOLE & ({protocol} if isinstance(protocol, str) else set(protocol)))

    def _repeated(self, action: Callable[[], T], retries: Retries) -> T:
        """Return the result of an action, repeated while it fails for a reason that may pass; UserError at the end."""
        failures = 0
        while True:
            try:
                return action()
            except _LocalFileGone:
                raise
            except Exception as error:  # each file system has errors of its own
                failures += 1
                lasting = isinstance(error, LASTING) or type(error).__name__ in LASTING_NAMES
                if lasting or failures > len(retries.policy.delays) or retries.wait(retries.policy.delay(failures, 0)):
                    raise self._problem(error, failures) from error

    def _problem(self, error: Exception, times: int) -> UserError:
        reason = without_secrets(first_line(error))
        if self.secret:
            reason = reason.replace(self.secret, "...")
        often = f", {times} times" if times > 1 else ""
        fix = "check the address, the connection and the credentials"
        return UserError(f"the folder cannot be used ({type(error).__name__}: {reason}{often})", key=str(self), fix=fix)


class _LocalFileGone(Exception):
    """The local file was removed before it was stored."""


LASTING = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    NotImplementedError,
    TypeError,
    UnicodeError,
)
"""Errors that do not pass by themselves."""

LASTING_NAMES = frozenset({"NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "ProfileNotFound"})
"""Errors of botocore that do not pass by themselves, which is imported only by s3fs."""


def open_folder(address: str, key: str) -> RemoteFolder:
    """Return the folder of an address; UserError with ``key`` if its kind is unknown or its package is missing."""
    import fsspec

    kind = address.partition("://")[0].rpartition("::")[2]
    options: dict[str, str] = {}
    user, password = _credentials(address)
    given = address
    if kind in ("s3", "s3a") and user:
        options, address = {"key": user, "secret": password}, without_secrets(address)
    with _explained(given, kind, key):
        filesystem, root = fsspec.core.url_to_fs(address, **options)
    root = str(root)
    if not root.strip("/"):
        raise UserError(key=key, found=without_secrets(given), expected=f"a folder, {kind}://NAME/FOLDER")
    return RemoteFolder(filesystem, root, without_secrets(given).rstrip("/"), f"{user}:{password}" if user else "")


def _credentials(address: str) -> tuple[str, str]:
    """Return user name and password of an address, "" without."""
    location = address.partition("://")[2].partition("/")[0]
    name, sign, _ = location.rpartition("@")
    user, _, password = name.partition(":")
    return (user, password) if sign else ("", "")


@contextmanager
def _explained(address: str, kind: str, key: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"addresses of the kind {kind} need a package ({first_line(error)})", key=key, fix=_install(kind)
        ) from error
    except ValueError as error:
        if (
            "protocol" not in str(error).lower()
        ):  # of our own text only the kind is shown: the address may hold a secret
            raise UserError(f"not an address of the kind {kind}", key=key, found=without_secrets(address)) from error
        raise UserError("unknown kind of address", key=key, found=kind, known=COMMON) from error
    except Exception as error:  # each file system has errors of its own, and some connect here
        reason = without_secrets(first_line(error))
        for secret in filter(None, _credentials(address)):
            reason = reason.replace(secret, "...")
        raise UserError(
            f"the address cannot be opened ({type(error).__name__}: {reason})",
            key=key,
            found=without_secrets(address),
            fix="check the address and the connection",
        ) from error


def _install(kind: str) -> str:
    packages = {"gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs", "sftp": "paramiko", "ssh": "paramiko"}
    return INSTALL if kind in ("s3", "s3a") else f"pip install {packages.get(kind, 'the package that it names')}"
