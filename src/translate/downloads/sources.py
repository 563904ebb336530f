"""Read the sources of data sets from YAML files, ours in the folder `sources` beside this file, and those of plug-ins.

A file maps names of data sets to entries, below comments with licence and terms. An entry has every key of `Source`
except `name`, and each of its files has every key of `File`: null where a value is not known.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from translate.downloads.unpack import Kind
from translate.errors import Phrase, UserError
from translate.files import yaml_files
from translate.registry import plugins

FOLDER = "sources"
"""The folder of a package that holds its files."""


@dataclass(frozen=True)
class File:
    """One file of a data set, and its URLs."""

    name: str  # in the folder of downloads and on a mirror
    urls: tuple[str, ...]  # in the order in which they are tried
    sha256: str | None  # None: not known, so that the checksum of the first download is recorded
    size: int | None  # in bytes; None: not known
    unpack: Kind
    folder: str  # the folder below that of the data set for the content, "." for that of the data set


@dataclass(frozen=True)
class Source:
    """A data set and its files."""

    name: str
    about: str
    licence: str
    train: tuple[str, ...]  # command-line arguments that train on it, without data.root; () if it is not for training
    content: tuple[str, ...]  # the files and folders of the complete data set
    files: tuple[File, ...]  # () if it cannot be downloaded
    manual_instructions: str | None  # how a person gets the data set; {folder} stands for its folder

    @property
    def size(self) -> int | None:
        """Return the bytes of all files together, or None if that of one is not known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if sizes and len(sizes) == len(self.files) else None


def read_all() -> dict[str, Source]:
    """Return all sources by name. UserError for a damaged file, or one name in two files."""
    packages = filter(None, map(plugins.locate, plugins.packages()))
    sources: dict[str, Source] = {}
    paths: dict[str, Path] = {}
    for folder in (Path(__file__).parent, *packages):
        for path in sorted((folder / FOLDER).glob("*.yaml")):
            for source in read(path):
                if source.name in sources:
                    other = f"a name that is not in {paths[source.name]}"
                    raise UserError("the source is defined twice", key=str(path), found=source.name, expected=other)
                sources[source.name], paths[source.name] = source, path
    return dict(sorted(sources.items()))


def read(path: Path) -> list[Source]:
    """Return the sources of one YAML file; UserError for other keys or types than those of `Source` and `File`."""
    tree = yaml_files.load(path)
    if not isinstance(tree, Mapping):
        raise UserError(key=str(path), expected="names of data sets with their entries")
    return [_source(str(name), node, f"{path}: {name}") for name, node in tree.items()]


def find(arguments: Mapping[str, str], sources: Mapping[str, Source]) -> Source:
    """Return the source that arguments such as {"data": "horse2zebra"} select; UserError for none or several.

    The arguments are its name, or some of those that train on it: {"data": "cyclegan_set", "data.collection": "maps"}.
    """
    name = arguments["data"]
    if len(arguments) == 1 and name in sources:
        return sources[name]
    words = {f"{key}={value}" for key, value in arguments.items()}
    key = " ".join(sorted(words))
    matches = [source for source in sources.values() if words <= set(source.train)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(source.name for source in matches)
        fix = f"write data={matches[0].name}"
        raise UserError("several data sets match", key=key, expected=f"one of {names}", fix=fix)
    if len(arguments) > 1 and name in sources:
        others = " ".join(sorted(words - {f"data={name}"}))
        raise UserError(f"the source of {name} does not depend on this", key=others, fix="remove this argument")
    raise UserError("unknown source", key=key, found=name, known=sources)


# --- reading an entry ---------------------------------------------------------------------------------------


_Check = tuple[Callable[[Any], object], str]
"""Whether a value is valid, and what is expected instead."""


def _is_text(value: Any, pattern: str = r"(?s).*\S.*") -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_list_of(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(_is_text(item, pattern) for item in value)


def _is_below(folder: Any) -> bool:
    path = PurePosixPath(folder) if isinstance(folder, str) else PurePosixPath("/")
    return not path.is_absolute() and ".." not in path.parts and "\\" not in str(path)


_SOURCE: dict[str, _Check] = {
    "about": (_is_text, "text"),
    "licence": (_is_text, "text"),
    "train": (_is_list_of(".*"), "a list of texts"),
    "content": (_is_list_of(".*"), "a list of texts"),
    "files": (lambda value: isinstance(value, list), "a list of files"),
    "manual_instructions": (lambda value: value is None or _is_text(value), "text or null"),
}
_FILE: dict[str, _Check] = {
    "name": (lambda value: _is_text(value, r"\w[\w.-]*"), "a file name"),
    "urls": (
        lambda value: value and _is_list_of("(https?|file)://.*")(value),
        "URLs with https://, http:// or file://",
    ),
    "sha256": (lambda value: value is None or _is_text(value, "[0-9a-f]{64}"), "64 hexadecimal digits or null"),
    "size": (lambda value: value is None or (isinstance(value, int) and value > 0), "a number of bytes or null"),
    "unpack": (lambda value: value in get_args(Kind), f"one of {', '.join(get_args(Kind))}"),
    "folder": (_is_below, "a folder below that of the data set"),
}


def _source(name: str, node: Any, where: str) -> Source:
    entry = _checked(node, _SOURCE, where)
    if not _is_text(name, r"[a-z]\w*"):  # also the name of a folder
        raise UserError(key=where, found=name, expected="a name of small letters, digits and _")
    files = [File(**_checked(file, _FILE, f"{where}.files[{number}]")) for number, file in enumerate(entry["files"])]
    if not files and entry["manual_instructions"] is None:
        raise UserError("the entry has neither files nor manual_instructions", key=where)
    if len({file.name for file in files}) < len(files):
        raise UserError("two files have the same name", key=where)
    return Source(name, **{**entry, "files": tuple(files)})


def _checked(node: Any, checks: Mapping[str, _Check], where: str) -> dict[str, Any]:
    """Return an entry with the keys of ``checks`` and valid values: lists as tuples, texts on one line."""
    if not isinstance(node, Mapping) or set(node) != set(checks):
        shown = ", ".join(map(str, node)) if isinstance(node, Mapping) else repr(node)
        raise UserError(key=where, found=Phrase(shown), expected=f"the keys {', '.join(checks)}")
    for key, (is_valid, expected) in checks.items():
        if not is_valid(node[key]):
            raise UserError(key=f"{where}.{key}", found=node[key], expected=expected)
    normal: dict[type, Callable[[Any], Any]] = {list: tuple, str: lambda text: " ".join(text.split())}
    return {key: normal.get(type(value), lambda other: other)(value) for key, value in node.items()}
