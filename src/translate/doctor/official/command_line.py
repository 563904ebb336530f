"""Read the command line of an official program, as it stands in a README, a script, a notebook or a terminal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from translate.doctor.official.options import Option
from translate.errors import Phrase, UserError

CONTINUED = re.compile(r"[\\^`]\s*(\r?\n|$)")
"""A line that goes on in the next one, in a shell of Unix, of Windows, and in PowerShell."""

SHORTENED = re.compile(r"\r?\n\s*(?=-)")
"""The end of a line before an option: a long line that was wrapped without a sign."""

WINDOWS_PATH = re.compile(r"\\(?=[\w.])")
OPERATORS = re.compile(r"(&&|\|\||;|\||&|\d?>>?|<).*")
VARIABLE = re.compile(r"[A-Za-z_]\w*=.*")


@dataclass(frozen=True)
class CommandLine:
    """The parts of a command line: variables, the words that start Python, the script, and the words behind it."""

    variables: tuple[str, ...]  # CUDA_VISIBLE_DEVICES=0
    starter: tuple[str, ...]  # python, torchrun --nproc_per_node=4
    script: str  # a path
    words: tuple[str, ...]
    others: tuple[str, ...] = ()  # further commands, which are not read

    @property
    def script_name(self) -> str:
        """Return the name of the script without its folder."""
        return self.script.rpartition("/")[2]

    @property
    def processes(self) -> int:
        """Return the number of processes that torchrun or torch.distributed.launch starts; 1 without them."""
        match = re.search(r"--nproc[-_]per[-_]node[= ](\d+)", " ".join(self.starter))
        return int(match[1]) if match else 1


def read(words: Sequence[str]) -> CommandLine:
    """Return the first command that calls a Python script; UserError without such a command.

    A single word is a text, read as a shell does. Several words have been read by a shell already.
    """
    commands = list(_commands(words[0])) if len(words) == 1 else [list(words)]
    for place, command in enumerate(commands):
        for index, word in enumerate(command):
            if word.endswith(".py"):
                others = [each for each in commands[:place] if each and each[0] != "cd"] + commands[place + 1 :]
                folders = [each[1] for each in commands[:place] if each[:1] == ["cd"] and len(each) == 2]
                return _parts(command, index, "/".join(folders), tuple(" ".join(each) for each in others if each))
    raise UserError(
        "no script is called",
        key="migrate",
        found=Phrase(" ".join(words).strip()[:200] or "no words"),
        expected="a command line such as: python main.py --mode train ...",
        fix="give the line inside the script that begins with python" if any(".sh" in word for word in words) else "",
    )


def _parts(command: Sequence[str], index: int, folder: str, others: tuple[str, ...]) -> CommandLine:
    before = [word.lstrip("!$%") for word in command[:index]]
    variables = tuple(word for word in before if VARIABLE.fullmatch(word) and not word.startswith("-"))
    starter = tuple(word for word in before if word and word not in variables)
    script = command[index].lstrip("!")
    return CommandLine(
        variables, starter, f"{folder}/{script}" if folder else script, tuple(command[index + 1 :]), others
    )


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a text; comments and redirections are left out."""
    text = re.sub(r"(?m)(^|\s)#.*$", "", text)
    text = SHORTENED.sub(" ", CONTINUED.sub(" ", text))
    for line in text.splitlines():
        try:
            words = shlex.split(WINDOWS_PATH.sub("/", line))
        except ValueError:
            raise UserError(
                "a quotation mark has no partner",
                key="migrate",
                found=Phrase(line.strip()[:200]),
                fix="close the quotes",
            ) from None
        command: list[str] = []
        redirected = False
        for word in words:
            bare, ends = word.removesuffix(";"), word.endswith(";")
            if match := OPERATORS.fullmatch(word):
                redirected = match[1][-1] in "<>"
                if not redirected:
                    yield command
                    command = []
                elif word != match[1]:  # 2>&1, >log.txt
                    redirected = False
                continue
            if not redirected and bare:
                command.append(bare)
            redirected = False
            if ends:
                yield command
                command = []
        yield command


# --- options -------------------------------------------------------------------------------------------------

Given = Mapping[str, tuple[str, ...]]
"""The options of a command line -> their values; () for a flag."""


@dataclass(frozen=True)
class Options:
    """The options of a command line: known ones by their full names, those that a later one replaced, and the rest."""

    given: Given
    replaced: tuple[str, ...] = ()  # as they were written
    unknown: tuple[str, ...] = ()


def names(words: Sequence[str]) -> list[str]:
    """Return the options in words, as they are written."""
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def options(known: Mapping[str, Option], words: Sequence[str]) -> Options:
    """Return the options in words as argparse reads them; UserError for a value that the program refuses.

    ``--name=value`` is the same as ``--name value``, a name may be shortened, and the last of several values counts.
    """
    older = {name: current for current, option in known.items() for name in option.older}
    given: dict[str, tuple[str, ...]] = {}
    replaced: list[str] = []
    unknown: list[str] = []
    for written, values in _tokens(words):
        name = full_name({**dict.fromkeys(known, ""), **older}, written)
        name = older.get(name, name) if name else name
        if name is None:
            unknown.append(" ".join([written, *values]))
            continue
        option = known[name]
        option.check(written, values)
        count = 0 if option.flag else len(values) if option.many else 1
        if name in given:
            replaced.append(" ".join([name, *given[name]]))
        given[name] = tuple(values[:count])
        unknown += values[count:]
    return Options(given, tuple(replaced), tuple(unknown))


def full_name(known: Mapping[str, str], written: str) -> str | None:
    """Return the option that a word names, also by its beginning; None for no option. UserError if several begin so."""
    if written in known:
        return written
    if not written.startswith("--"):
        return None
    candidates = [name for name in known if name.startswith(written)]
    if len(candidates) > 1:
        raise UserError("this option can be any of several", key="migrate", found=written, known=candidates)
    return candidates[0] if candidates else None


def _tokens(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option and its values."""
    current: tuple[str, list[str]] | None = None
    for word in words:
        if word.startswith("--"):
            if current is not None:
                yield current
            name, equals, value = word.partition("=")
            current = name, [value] if equals else []
        elif current is None:
            yield word, []
        else:
            current[1].append(word)
    if current is not None:
        yield current
