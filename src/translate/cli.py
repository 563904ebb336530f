"""The command line: the table of commands, dispatch, and exit codes.

A command is a module of `commands` with a declaration, `COMMAND`. A mistake of the user is a UserError and ends as
sentences on stderr with exit code 2. A lack of memory is a sentence with exit code 1; every other error keeps its
traceback. A signal ends a command with one sentence and the exit code 128 + n, see `translate.signals`.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

from translate import __version__, signals
from translate.commands import completion
from translate.commands import help as texts
from translate.commands.arguments import Command, check_outputs, parse
from translate.doctor import missing_libraries
from translate.errors import UserError
from translate.files.reading import is_plain, of_system
from translate.runs.environment import shared_package
from translate.runs.out_of_memory import problem_of

FAILED = 1
USER_MISTAKE = 2
HELP = ("-h", "--help")

MODULES = {
    "train": "train",
    "apply": "apply",
    "stylize": "stylize",
    "show": "show",
    "list": "list",
    "schema": "schema",
    "evaluate": "evaluate",
    "serve": "serve",
    "sweep": "sweep",
    "table": "table",
    "replay": "replay",
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
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: a file name may have any bytes
    try:
        with signals.handled() as outcome:
            if problem := shared_package():
                print(f"warning: {problem}", file=sys.stderr)
            for word in words:
                if not is_plain(word):
                    raise UserError("the word has a character that no command line has", found=word)
            outcome.code = 0
            if answer := _answer(words):
                print(answer)
                return 0
            chosen, rest = _chosen(words)
            if any(word in HELP for word in rest):
                print(texts.help_text(chosen))
                return 0
            arguments = parse(chosen, rest)
            check_outputs(chosen, arguments)
            outcome.code = chosen.run(arguments)
        return outcome.code
    except UserError as error:
        print(error, file=sys.stderr)
        return USER_MISTAKE
    except ModuleNotFoundError as error:
        if (missing := missing_libraries.missing(error)) is None:
            raise
        print(missing, file=sys.stderr)
        return USER_MISTAKE
    except BrokenPipeError:  # the reader of `... list | head` has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a place that cannot be read or written, wherever it was used
        if (sentence := of_system(error)) is None:
            raise
        print(sentence, file=sys.stderr)
        return USER_MISTAKE
    except (MemoryError, RuntimeError) as error:
        if (problem := problem_of(error)) is None:
            raise
        print(problem, file=sys.stderr)
        return FAILED


def _answer(words: Sequence[str]) -> str:
    """Return the answer to a question about the program itself; "" if the words call a command."""
    if words[:1] in (["-h"], ["--help"], ["help"]):
        return texts.overview(commands(), __version__)
    if words[:1] == ["--version"]:
        return _versions(words[1:])
    if any(word in completion.FLAGS for word in words):
        shown = [name for name in MODULES if not command(name).hidden]
        return completion.answer(words, shown, command)
    return ""


def _versions(words: Sequence[str]) -> str:
    """Return the version; with ``--verbose`` also what the report of a bug needs."""
    if unknown := [word for word in words if word != "--verbose"]:
        raise UserError("unknown argument", key="--version", found=unknown[0], known=["--verbose"])
    if not words:
        return f"translate-gan {__version__}"
    from translate.doctor.installation import bug_report

    return bug_report()


def _chosen(words: Sequence[str]) -> tuple[Command[Any], list[str]]:
    """Return the command that the words name, train if they name none, and its words."""
    if not words or words[0].startswith(("-", "+", "~")) or "=" in words[0]:
        return command(texts.DEFAULT), list(words)
    if words[0] not in MODULES:
        known = [name for name in MODULES if not command(name).hidden]
        raise UserError("unknown command", found=words[0], known=known, fix="write settings as key=value")
    return command(words[0]), list(words[1:])
