"""The recorded terms of a run, metrics.jsonl: one JSON object a line, read whole or followed while it grows."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from translate.errors import UserError
from translate.files.reading import MAX_BYTES, loads, opened, read_lines
from translate.files.writing import append_whole

Record = dict[str, Any]
"""The values of terms by name, beside the number of the iteration, ``iteration``."""


BLOCK = 1 << 16


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records in a file, none without it. UserError for a line that is no record.

    A last line without an end is left out: a killed process leaves one.
    """
    if not os.path.lexists(path):
        return
    for number, line in read_lines(path):
        record = _record(line)
        if record is not None:
            yield record
        elif line.endswith(b"\n") and line.strip():
            raise UserError(
                "this line is no record",
                key=f"{path}:{number}",
                expected="a mapping in JSON with the iteration",
                fix=f"remove line {number}",
            )


def append_record(path: Path, values: Mapping[str, Any]) -> None:
    """Add a line to a file, whole or not at all. A last line without an end, of a killed process, makes room for it."""
    if path.exists():
        with open(path, "r+b") as file:
            if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                file.truncate(_end_of_lines(file))
    append_whole(path, json.dumps(values).encode("utf-8") + b"\n")


def _end_of_lines(file: BinaryIO) -> int:
    """Return the position behind the last line with an end."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _record(line: bytes) -> Record | None:
    try:
        record = loads(line)
    except ValueError:
        return None
    number = record.get("iteration") if isinstance(record, dict) else None
    return record if isinstance(number, int) and not isinstance(number, bool) else None


class RecordsTail:
    """The records that were added to a growing file since the last call of `new`; other lines are skipped."""

    def __init__(self, path: Path) -> None:
        self.path, self._offset = path, 0

    def new(self) -> list[Record]:
        """Return the new records, [] without a file.

        An incomplete last line is returned by a later call. A file that became shorter is read from its beginning.
        """
        if not self.path.is_file():
            return []
        with opened(self.path) as file:
            if os.fstat(file.fileno()).st_size < self._offset:
                self._offset = 0
            file.seek(self._offset)
            complete, newline, _ = file.read(MAX_BYTES).rpartition(b"\n")
        self._offset += len(complete) + len(newline)
        return [record for line in complete.splitlines() if (record := _record(line)) is not None]
