"""The engine of `migrate`: collect an answer for every option of a command line, and the words of our commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from translate.doctor.official.command_line import CommandLine, Given
from translate.doctor.official.options import Option
from translate.errors import UserError

DEFAULT_ALREADY = "the default already"
IN_THE_WEIGHTS = "in the weights already"


@dataclass(frozen=True)
class Row:
    """One option of the official command line, our words for it ("" without), and the reason or remark."""

    option: str
    ours: str
    remark: str = ""


class Builder:
    """Collects the rows of a command line and the words of one of our commands; each option is answered once."""

    def __init__(self, options: Mapping[str, Option], given: Given, line: CommandLine) -> None:
        self.options, self.given, self.line = options, given, line
        self.rows: list[Row] = []
        self.commands: list[tuple[str, ...]] = []  # words behind the program
        self.words: list[str] = []
        self.answered: set[str] = set()

    def value(self, name: str) -> str:
        """Return the value of an option, given or by default."""
        values = self.given.get(name)
        return values[0] if values else self.options[name].default

    def number(self, name: str) -> float:
        """Return the value of an option as a number."""
        return float(self.value(name))

    def folder(self, name: str) -> str:
        """Return the value of an option as a path, without a slash at its end."""
        return self.value(name).rstrip("/") or "/"

    def say(self, names: str | Sequence[str], words: Sequence[str], remark: str = "") -> None:
        """Add words for options: a row for each option that is given, or one for the words if none is."""
        wanted = [names] if isinstance(names, str) else list(names)
        present = [name for name in wanted if name in self.given and name not in self.answered]
        shown = " ".join(map(quoted, words))
        for name in present:
            self.rows.append(Row(self.text(name), shown, remark))
        if not present and words and not self.answered & set(wanted):
            implied = " ".join(f"{name} {self.value(name)}".strip() for name in wanted[:1])
            self.rows.append(Row(f"({implied}, by default)", shown, remark))
        self.answered.update(wanted)
        self.words += [word for word in words if word not in self.words]

    def text(self, name: str) -> str:
        """Return an option with its values."""
        return " ".join([name, *self.given[name]])

    def rest(self, used: bool = True) -> None:
        """Answer all other options by the table; ``used`` is whether overrides have a meaning in this command."""
        for name, values in self.given.items():
            if name in self.answered:
                continue
            option = self.options[name]
            words = [word.format(values[0] if values else "") for word in option.ours] if used else []
            if words and option.is_default(values):
                self.say(name, [], DEFAULT_ALREADY)
            elif words:
                self.say(name, words, option.remark)
            elif option.ours:
                self.say(name, [], IN_THE_WEIGHTS)
            else:
                self.say(name, [], option.remark or "has no counterpart")

    def finish(self, *command: str) -> None:
        """Add the command of the words."""
        self.commands.append((*command, *self.words))

    def resume(self, option: str, folder: str, files: str) -> None:
        """Say that official checkpoints are imported before training continues."""
        if option not in self.given or self.value(option) in ("", "0"):
            self.say(option, [], DEFAULT_ALREADY)
        else:
            self.say(option, [], import_first(f"{files} of {self.value(folder)}"))


Build = Callable[[Builder], None]


@dataclass(frozen=True)
class Project:
    """An official program: its name on GitHub, the names of its scripts, its options, and its translation."""

    name: str
    scripts: tuple[str, ...]
    options: Mapping[str, Option]
    build: Build


def chosen(functions: Mapping[str, Build], option: str, value: str) -> Build:
    """Return the function for the value of an option; UserError for another value."""
    if value not in functions:
        raise UserError("unknown value", key=option, found=value, known=functions)
    return functions[value]


def import_first(files: str) -> str:
    """Return the remark about files from which training continues."""
    return f"first import {files}: python -m translate import weights=FILES to=RUN_FOLDER, then resume=RUN_FOLDER"


def parent(path: str) -> tuple[str, str]:
    """Return the folder of a path, "." without one, and its last part.

    >>> parent("./data/afhq/train/"), parent("train")
    (('./data/afhq', 'train'), ('.', 'train'))
    """
    folder, _, name = path.rstrip("/").rpartition("/")
    return folder or ".", name


def key(value: str) -> str:
    """Return a value of an override, quoted where Hydra's grammar needs it."""
    return value if re.fullmatch(r"[\w./~+-]+", value) else "'" + value.replace("'", "\\'") + "'"


def quoted(word: str) -> str:
    """Return a word as a shell reads it, by double quotes where the word itself has single ones.

    >>> quoted("data.root='my cats'"), quoted("data.domains=[b,a]")
    ('"data.root=\\'my cats\\'"', "'data.domains=[b,a]'")
    """
    return f'"{word}"' if "'" in word and not re.search(r'[$`"\\!]', word) else shlex.quote(word)
