"""The record of translations beside the images: a line of JSON for each, from which the image can be made again."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.files.reading import loads, read_lines
from translate.files.writing import append_whole, atomic_write, written

FILE = "translations.jsonl"

KEY = ("target", "seed", "psi", "references", "from", "to", "weight", "weights_sha256", "resolution", "format")
"""The facts of a line that determine the translation of a source."""


class Records:
    """The lines of a folder's ``translations.jsonl`` by output; of several lines of an output the last counts."""

    def __init__(self, folder: Path) -> None:
        """Read the file if it is there; lines that are cut short are left out."""
        self.path = folder / FILE
        self.lines: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._outdated = False
        if not os.path.lexists(self.path):
            return
        for _, text in read_lines(self.path):
            try:
                line = loads(text)
            except ValueError:  # a killed process may leave a part of a line
                self._outdated = True
                continue
            if isinstance(line, dict) and isinstance(line.get("output"), str):
                self._outdated = self._outdated or line["output"] in self.lines
                self.lines[line["output"]] = line
        if self._outdated:
            self._write_anew()

    def add(self, line: Mapping[str, Any]) -> None:
        """Append the line of a translation that has been written."""
        with self._lock:
            self._outdated = self._outdated or line["output"] in self.lines
            self.lines[line["output"]] = dict(line)
            with written(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                append_whole(self.path, _text(line).encode())

    def close(self) -> None:
        """Leave one line for each output."""
        if self._outdated:
            self._write_anew()

    def _write_anew(self) -> None:
        atomic_write(self.path, "".join(_text(line) for line in self.lines.values()))
        self._outdated = False


def _text(line: Mapping[str, Any]) -> str:
    text = json.dumps(line, ensure_ascii=False) + "\n"
    if text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text):
        return text
    return json.dumps(line) + "\n"  # a file name that is not UTF-8


def same_settings(line: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Return whether a recorded translation has the facts of another one, but for its source."""
    plain = json.loads(json.dumps(facts))
    return all(line.get(key) == plain.get(key) for key in KEY)
