"""The words of `export` and `import`: read and checked on the standard library alone, before torch is loaded."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from translate.errors import UserError, among
from translate.runs.folder import RunFolder


def read(
    command: str, words: Sequence[str], known: Mapping[str, str], rest: bool = False
) -> tuple[dict[str, str], list[str]]:
    """Return the values of words ``key=value`` by key, and the words that are not of the command.

    ``known`` tells what each key stands for. With ``rest``, other words are left to a configuration; else they are
    mistakes.
    """
    values: dict[str, str] = {}
    others = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in known:
            if key in values:
                raise UserError(f"{command}: {key} is given twice; one of them is too many")
            if not value:
                raise UserError(f"{command}: {word} says nothing; write {key}={known[key]}")
            values[key] = value
        elif rest and equals:
            others.append(word)
        elif equals:
            raise UserError(f"{command}: unknown word {key!r}{among(key, known)}")
        else:
            raise UserError(f"{command}: found {word!r}, expected key=value. Known: {', '.join(known)}")
    return values, others


def choice(command: str, key: str, values: Mapping[str, str], choices: Sequence[str], default: str) -> str:
    """Return the value of a key that is one of several."""
    value = values.get(key, default)
    if value not in choices:
        raise UserError(f"{command}: {key}: found {value!r}{among(value, choices)}")
    return value


def needed(command: str, key: str, values: Mapping[str, str], known: Mapping[str, str]) -> str:
    """Return the value of a key that must be given."""
    if key not in values:
        raise UserError(f"{command}: {key} is missing; write {key}={known[key]}")
    return values[key]


def names(value: str) -> tuple[str, ...]:
    """Return the names in `[cat, dog]` or `cat,dog`."""
    return tuple(name.strip().strip("'\"") for name in value.strip("[]").split(",") if name.strip())


def whole_number(command: str, key: str, value: str) -> int:
    """Return a number of at least zero."""
    if not re.fullmatch(r"\d+", value):
        raise UserError(f"{command}: {key}: found {value!r}, expected a whole number")
    return int(value)


def number(command: str, key: str, value: str) -> float:
    """Return a number of at least zero."""
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found < math.inf:
        raise UserError(f"{command}: {key}: found {value!r}, expected a number of at least 0")
    return found


def existing(command: str, key: str, value: str) -> Path:
    """Return the path of a file that is there."""
    path = Path(value).expanduser()
    if path.is_dir():
        raise UserError(f"{command}: {key}: {path} is a folder, expected a file")
    if not path.is_file():
        raise UserError(f"{command}: {key}: there is no file {path}")
    return path


def run_folder(command: str, value: str) -> Path:
    """Return a run folder that has a configuration and a checkpoint."""
    folder = RunFolder(value).require_run(f"{command}: run")
    folder.choose()
    return folder.path
