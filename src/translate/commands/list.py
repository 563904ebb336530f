"""The command `list`: registered parts with their arguments, and the options of configuration groups.

Sources and files are read; nothing that is listed is imported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from translate.commands.arguments import Command, arg
from translate.console import wrapped
from translate.errors import UserError
from translate.files.reading import read_text


def kinds(words: Sequence[str] = ()) -> list[str]:
    """Return all kinds of parts and configuration groups."""
    from translate.config.search_path import groups
    from translate.registry.registry import REGISTRIES

    return list(dict.fromkeys([*REGISTRIES, *groups()]))


@dataclass(frozen=True)
class Arguments:
    """The kinds to list."""

    kinds: tuple[str, ...] = arg(
        (), kind="positional", metavar="KIND ...", help="list these kinds in full", values=kinds, listed=True
    )
    plugins: tuple[str, ...] = arg(
        (), metavar="[my_lab]", help="packages that are not installed, whose parts are listed"
    )


def run(arguments: Arguments) -> int:
    """Print the parts and groups of each kind, or everything in short; return 0."""
    from translate.registry import plugins

    plugins.activate(arguments.plugins)
    known = kinds()
    for kind in arguments.kinds:
        if kind not in known:
            raise UserError("unknown kind", key="list", found=kind, known=known)
    print("\n\n".join(map(_details, arguments.kinds)) if arguments.kinds else _overview())
    return 0


def _overview() -> str:
    from translate.config.search_path import groups
    from translate.registry.registry import REGISTRIES

    parts = [wrapped(f"  {kind:<13}", ", ".join(r.names()) or "none") for kind, r in REGISTRIES.items()]
    options = [wrapped(f"  {group:<13}", ", ".join(files) or "none") for group, files in groups().items()]
    return "\n".join(
        [
            "parts, which a configuration names by 'name:'",
            *parts,
            "\nconfiguration groups, which a command line chooses by group=name",
            *options,
            "\n'python -m translate list networks' lists one kind in full",
        ]
    )


def _details(kind: str) -> str:
    """Return the names of a kind, each with its summary and arguments."""
    from translate.config.check import INJECTED
    from translate.registry.registry import REGISTRIES

    if kind not in REGISTRIES:
        return _options(kind)
    blocks = []
    for entry in REGISTRIES[kind].index().values():
        names = [str(p) for p in entry.parameters if p.name not in INJECTED.get(kind, ())]
        signature = ", ".join([*names, *(["..."] if entry.accepts_any else [])])
        blocks.append("\n".join([entry.name, wrapped("    ", entry.summary), wrapped("    ", f"({signature})")]))
    return "\n".join(blocks) or f"no {kind}"


def _options(group: str) -> str:
    """Return the options of a configuration group, each with the first comment of its file."""
    from translate.config.experiments import header
    from translate.config.search_path import groups

    lines = []
    for option, path in groups()[group].items():
        summary = header(path).get("Question") if group == "experiments" else _first_comment(path)
        lines.append(f"{option}\n    {summary}" if summary else option)
    return "\n".join(lines) or f"no {group}"


def _first_comment(path: Path) -> str:
    for line in read_text(path).splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ")
        if not line.startswith("#"):
            break
    return ""


COMMAND = Command(
    "list",
    "List parts, groups and experiments.",
    Arguments,
    run,
    examples=(
        ("list", "a summary of all kinds"),
        ("list networks", "all networks with their arguments"),
        ("list experiments", "all experiments with their questions"),
    ),
)
