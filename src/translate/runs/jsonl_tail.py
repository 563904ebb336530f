"""Follow a growing file of JSON lines, such as the metrics.jsonl of a run."""

import json
from pathlib import Path
from typing import Any


class JsonlTail:
    """The records that were added to a file of JSON lines since the last call of `new`.

    A record is an object with the key ``iteration``; other lines are skipped.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._offset = path, 0

    def new(self) -> list[dict[str, Any]]:
        """Return the new records, [] without a file.

        An incomplete last line is returned by a later call. A file that became shorter is read from its beginning.
        """
        if not self.path.is_file():
            return []
        with open(self.path, "rb") as file:
            if self.path.stat().st_size < self._offset:
                self._offset = 0
            file.seek(self._offset)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(complete) + len(newline)
        return [record for line in complete.splitlines() if (record := _parsed(line)) is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "iteration" in record else None
