"""The command `list`: registered parts with their arguments, and the options of configuration groups.

Nothing is imported of what is listed: sources and files are read.
"""

from collections.abc import Sequence
from pathlib import Path

from translate.config.check import INJECTED
from translate.config.experiments import header
from translate.config.search_path import groups
from translate.console import wrapped
from translate.errors import UserError, among
from translate.registry.registry import REGISTRIES


def help_text() -> str:
    """Return what help says of the command."""
    return "\n".join(
        [
            "  list                 everything, in short",
            f"  list networks        also {', '.join(list(REGISTRIES)[1:])}",
            "  list experiments     or any configuration group",
        ]
    )


def run(words: Sequence[str]) -> int:
    """Print what there is of each kind of part or configuration group, or everything in short; return 0."""
    options = groups()
    known = list(dict.fromkeys([*REGISTRIES, *options]))
    for word in words:
        if word not in known:
            raise UserError(f"list: there is nothing called {word!r}{among(word, known)}")
    print("\n\n".join(_described(word) for word in words) if words else _overview())
    return 0


def _overview() -> str:
    parts = [wrapped(f"  {kind:<13}", ", ".join(r.names()) or "(none yet)") for kind, r in REGISTRIES.items()]
    options = [wrapped(f"  {group:<13}", ", ".join(files) or "(none yet)") for group, files in groups().items()]
    return "\n".join(
        [
            "parts, which a configuration names by 'name:'",
            *parts,
            "\nconfiguration groups, which a command line chooses by group=name",
            *options,
            "\n'python -m translate list networks' tells more of one line",
        ]
    )


def _described(kind: str) -> str:
    if kind not in REGISTRIES:
        lines = []
        for option, path in groups()[kind].items():
            told = header(path).get("Question") if kind == "experiments" else _first_comment(path)
            lines.append(f"{option}\n    {told}" if told else option)
        return "\n".join(lines) or f"there are no {kind} yet"
    blocks = []
    for entry in REGISTRIES[kind].index().values():
        given = [str(p) for p in entry.parameters if p.name not in INJECTED.get(kind, ())]
        arguments = ", ".join([*given, *(["..."] if entry.accepts_any else [])])
        blocks.append("\n".join([entry.name, wrapped("    ", entry.summary), wrapped("    ", f"({arguments})")]))
    return "\n".join(blocks) or f"there are no {kind} yet"


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ")
        if not line.startswith("#"):
            break
    return ""
