"""The command line: the table of commands, dispatch, and exit codes.

A command is a module of `commands` with a declaration, `COMMAND`. A mistake of the user is a UserError and ends as
sentences on stderr with exit code 2; every other error keeps its traceback.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from translate import __version__
from translate.commands import completion
from translate.commands import help as texts
from translate.commands.arguments import Command, parse
from translate.errors import UserError
from translate.runs.environment import shared_package

USER_MISTAKE = 2
INTERRUPTED = 130
HELP = ("-h", "--help")

MODULES = {
    "train": "train",
    "apply": "apply",
    "stylize": "stylize",
    "show": "show",
    "list": "list",
    "evaluate": "evaluate",
    "serve": "serve",
    "sweep": "sweep",
    "table": "table",
    "benchmark": "benchmark",
    "grid": "grid",
    "video": "video",
    "export": "export",
    "import": "import_weights",
    "download": "download",
    "align": "align",
    "doctor": "doctor",
    "migrate": "migrate",
    "join": "join",
}
"""Every command with its module in `commands`, in the order of the overview."""


def command(name: str) -> Command[Any]:
    """Return the declaration of a command."""
    declared: Command[Any] = import_module(f"translate.commands.{MODULES[name]}").COMMAND
    return declared


def commands() -> list[Command[Any]]:
    """Return the declarations of all commands."""
    return [command(name) for name in MODULES]


def main(words: Sequence[str]) -> int:
    """Run the command line of these words; return the exit code."""
    if problem := shared_package():
        print(f"warning: {problem}", file=sys.stderr)
    try:
        if answer := _answer(words):
            print(answer)
            return 0
        chosen, rest = _chosen(words)
        if any(word in HELP for word in rest):
            print(texts.help_text(chosen))
            return 0
        return chosen.run(parse(chosen, rest))
    except UserError as error:
        print(error, file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of `... list | head` has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _answer(words: Sequence[str]) -> str:
    """Return the answer to a question about the program itself; "" if the words call a command."""
    if words[:1] in (["-h"], ["--help"], ["help"]):
        return texts.overview(commands(), __version__)
    if words[:1] == ["--version"]:
        return f"translate-gan {__version__}"
    if any(word in completion.FLAGS for word in words):
        shown = [name for name in MODULES if not command(name).hidden]
        return completion.answer(words, shown, command)
    return ""


def _chosen(words: Sequence[str]) -> tuple[Command[Any], list[str]]:
    """Return the command that the words name, train if they name none, and its words."""
    if not words or words[0].startswith(("-", "+", "~")) or "=" in words[0]:
        return command(texts.DEFAULT), list(words)
    if words[0] not in MODULES:
        known = [name for name in MODULES if not command(name).hidden]
        raise UserError("unknown command", found=words[0], known=known, fix="write settings as key=value")
    return command(words[0]), list(words[1:])
