"""The partial file of a download: `NAME.part`, and `NAME.part.json` with its URL and the server's validator."""

import contextlib
import hashlib
import json
import os
from email.message import Message
from pathlib import Path
from typing import Any

from translate.errors import UserError
from translate.files.reading import read_object
from translate.files.writing import atomic_write

CHUNK = 1 << 20
"""Bytes that are read at a time."""


class PartialFile(contextlib.AbstractContextManager["PartialFile"]):
    """The bytes of a file received so far, their running SHA-256, and the version of the file on the server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resumed = False  # whether it holds bytes from before the current source
        self._version_path = path.with_name(f"{path.name}.json")
        self._version = _read_version(self._version_path)
        self._sha256, self.size = hashlib.sha256(), 0
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 # closed by __exit__
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._count(chunk)

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the bytes so far."""
        return self._sha256.hexdigest()

    def range_headers(self, url: str, checksum_known: bool) -> dict[str, str]:
        """Return the headers of a request for the remaining bytes; {} for a request for the whole file.

        Bytes of another URL, or bytes without a validator, are combined only if a checksum can detect a mix.
        """
        validator = self._version.get("condition") if self._version.get("url") == url else None
        if not self.size or not (validator or checksum_known):
            return {}
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": validator} if validator else {})

    def set_version(self, url: str, headers: "Message[str, str]") -> None:
        """Record the URL and the validator of a response; a weak ETag (W/"...") does not promise equal bytes."""
        tag = headers.get("ETag", "")
        version = {"url": url, "condition": tag if tag.startswith('"') else headers.get("Last-Modified")}
        self._version = version
        atomic_write(self._version_path, json.dumps(version))

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        rest = memoryview(chunk)
        while rest:
            written = self._file.write(rest)
            self._count(rest[:written])
            rest = rest[written:]

    def discard(self) -> None:
        """Remove all bytes and the record of the version."""
        self._file.truncate(0)
        self._sha256, self.size, self.resumed = hashlib.sha256(), 0, False
        self._version = {}
        self._version_path.unlink(missing_ok=True)

    def rename(self, target: Path) -> None:
        """Give the complete file its name."""
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.path, target)
        self._version_path.unlink(missing_ok=True)

    def _count(self, chunk: bytes | memoryview) -> None:
        self._sha256.update(chunk)
        self.size += len(chunk)

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.size:
            with contextlib.suppress(OSError):
                self.path.unlink()


def _read_version(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except UserError:
        return {}
