"""What has come of a file so far: `NAME.part`, and `NAME.part.json` that tells where it came from."""

import contextlib
import hashlib
import json
import os
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any

from translate.downloads.progress import disk

CHUNK = 1 << 20  # bytes that are read at a time


class Part:
    """The bytes of a file that have come so far, their running checksum, and where they came from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes_path = path.with_name(f"{path.name}.json")
        self.notes = _read_notes(self.notes_path)
        self.digest = hashlib.sha256()
        self.size = 0
        self.inherited = False  # whether some came before this place was asked
        with disk(path):
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 # closed by __exit__
            self._file.seek(0)
            while chunk := self._file.read(CHUNK):
                self._count(chunk)

    def __enter__(self) -> "Part":
        return self

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        with disk(self.path):
            left = memoryview(chunk)
            while left:
                written = self._file.write(left)
                self._count(left[:written])
                left = left[written:]

    def restart(self) -> None:
        """Throw away what has come."""
        with disk(self.path):
            self._file.truncate(0)
        self.digest, self.size, self.inherited = hashlib.sha256(), 0, False

    def discard(self) -> None:
        """Throw away what has come, and where it came from."""
        self.restart()
        self.notes = {}
        with disk(self.notes_path):
            self.notes_path.unlink(missing_ok=True)

    def note(self, url: str, headers: "Message[str, str]") -> None:
        """Remember what the server must still say of the file for the rest to be the rest of this."""
        tag = headers.get("ETag", "")
        condition = tag if tag.startswith('"') else headers.get("Last-Modified")  # W/"..." is no promise of equal bytes
        notes = {"url": url, "condition": condition}
        if notes != self.notes:
            self.notes = notes
            with disk(self.notes_path):
                self.notes_path.write_text(json.dumps(notes), encoding="utf-8")

    def move(self, target: Path) -> None:
        """Give the whole file its name."""
        with disk(target):
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self.path, target)
            self.notes_path.unlink(missing_ok=True)

    def _count(self, chunk: bytes | memoryview) -> None:
        self.digest.update(chunk)
        self.size += len(chunk)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.size:
            with contextlib.suppress(OSError):
                self.path.unlink()


def _read_notes(path: Path) -> dict[str, Any]:
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}
