"""The command `schema`: write JSON Schema of configuration files, for editors."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from translate.commands.arguments import Command, arg
from translate.errors import UserError
from translate.files.writing import atomic_write

Kind = Literal["experiment", "run", "model", "data", "trainer", "metrics", "logger"]


@dataclass(frozen=True)
class Arguments:
    """The kind of files, the place of the schema, and what else a configuration can name."""

    kind: Kind | None = arg(
        None,
        help="experiment: files of experiments, and others that change keys of a run; run: config.yaml of a run "
        "folder; a group: its options; default experiment, or all of them for a folder",
    )
    to: Path | None = arg(
        None, metavar="FILE.json|FOLDER", writes="either", help="where to write; default the terminal"
    )
    plugins: tuple[str, ...] = arg((), metavar="[my_lab]", help="packages that are not installed, whose parts count")
    config_dir: Path | None = arg(
        None, metavar="DIR", help="a further folder of options, as -cd; those of plug-ins are known"
    )


def run(arguments: Arguments) -> int:
    """Write or print the schema; return 0."""
    from translate.config.json_schema.documents import ABOUT
    from translate.registry import plugins

    if arguments.config_dir is not None and not arguments.config_dir.is_dir():
        raise UserError(key="config_dir", found=str(arguments.config_dir), expected="a folder")
    plugins.activate(arguments.plugins)
    place = arguments.to
    if place is None:
        print(_text(arguments.kind or "experiment", arguments))
        return 0
    files: dict[Path, str]
    if place.suffix == ".json":
        files = {place: arguments.kind or "experiment"}
    else:
        files = {place / f"{kind}.json": kind for kind in ([arguments.kind] if arguments.kind else ABOUT)}
    for path, kind in files.items():
        atomic_write(path, _text(kind, arguments) + "\n")
        print(f"{path}: {ABOUT[kind]}")
    print(_for_editors(files))
    return 0


def _text(kind: str, arguments: Arguments) -> str:
    from translate.config.json_schema.documents import document

    return json.dumps(document(kind, arguments.config_dir), indent=1, ensure_ascii=False)


def _for_editors(files: dict[Path, str]) -> str:
    """Return the setting of editors that use the YAML language server, and the first line of a single file."""
    from translate.config.json_schema.documents import PATTERNS

    schemas: dict[str, Any] = {_address(path): list(PATTERNS[kind]) for path, kind in files.items()}
    first = next(iter(files))
    return (
        "\nsetting of the YAML language server (VS Code: .vscode/settings.json):\n"
        f"{json.dumps({'yaml.schemas': schemas}, indent=2)}\n"
        "\nor the first line of a single file:\n"
        f"# yaml-language-server: $schema={first.resolve().as_uri()}"
    )


def _address(path: Path) -> str:
    """Return a path below the working folder as ``./path``, any other as it is from the root."""
    relative = os.path.relpath(path)
    return str(path.resolve()) if relative.startswith("..") else f"./{Path(relative).as_posix()}"


COMMAND = Command(
    "schema",
    "Write JSON Schema of configuration files, by which an editor completes and underlines.",
    Arguments,
    run,
    examples=(
        ("schema to=schemas", "all kinds of files, and the setting of an editor"),
        ("schema kind=experiment to=experiment.json plugins=[my_lab]", "with the parts of a package of your own"),
    ),
    notes="The schema contains the installed parts and options: write it anew after an update, see docs/editors.md.",
)
