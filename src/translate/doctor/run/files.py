"""The files of a run, read once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.config.schema import read_yaml
from translate.errors import UserError
from translate.files.reading import opened
from translate.runs.folder import RunFolder
from translate.runs.records import read_records

SPEED = ("iterations_per_second", "images_per_second")
MAX_LOG = 64_000_000
LOG_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ ([A-Z]+) (.*)$")


@dataclass(frozen=True)
class Run:
    """The files of a run, read once."""

    folder: RunFolder
    config: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]  # of terms, by iteration
    log: Sequence[tuple[str, str, str]]  # (time, level, message)
    damage: Sequence[str] = ()  # sentences on files that cannot be read

    @property
    def iterations(self) -> int:
        """Return the configured length; 0 if it is not decided yet."""
        return int(self.config.get("iterations") or 0)

    def series(self, name: str) -> list[float]:
        """Return the recorded values of a term."""
        return [float(record[name]) for record in self.records if isinstance(record.get(name), int | float)]

    def names(self) -> list[str]:
        """Return the names of all recorded terms."""
        return list(dict.fromkeys(name for record in self.records for name in record if name != "iteration"))


def read(folder: RunFolder) -> Run:
    """Read a run folder; UserError if its configuration cannot be read."""
    config = read_yaml(folder.config_file, ("model.name", "data.name"))
    damage: list[str] = []
    records: list[Mapping[str, Any]] = []
    try:
        records.extend(record for record in read_records(folder.metrics) if SPEED[0] in record)
    except UserError as error:
        damage.append(str(error))
    return Run(folder, config, records, list(_log(folder.path / "log.txt")), damage)


def _log(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        with opened(path) as file:
            text = file.read(MAX_LOG).decode("utf-8", errors="replace")
    except UserError:
        return
    for line in text.splitlines():
        if match := LOG_LINE.match(line):
            yield match[1], match[2], match[3]
