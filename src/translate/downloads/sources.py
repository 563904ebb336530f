"""What can be downloaded: read from YAML files, ours in the folder `sources` beside this file, and those of plug-ins.

A file holds the sets of one publication, `set name -> entry`, below comments with licence and terms. An entry has
every key of `Source` except `name`, and its files every key of `File`: null where something is not known.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from translate.downloads.unpack import Kind
from translate.errors import Phrase, UserError, first_line
from translate.registry import plugins

FOLDER = "sources"
"""The folder of a package that holds its files."""


@dataclass(frozen=True)
class File:
    """One file of a data set, and the places that have it."""

    name: str  # what it is called here and in a mirror
    urls: tuple[str, ...]  # in the order in which they are tried
    sha256: str | None  # None: not known, so that what comes first is remembered
    bytes: int | None  # None: what the server says
    unpack: Kind
    to: str  # the folder below that of the set which takes its content, "." for that of the set


@dataclass(frozen=True)
class Source:
    """A data set as it is published."""

    name: str
    about: str
    licence: str
    train: tuple[str, ...]  # words of a command line that trains on it, without data.root; () if it is not for training
    holds: tuple[str, ...]  # what its folder holds when it is whole
    files: tuple[File, ...]  # () where it cannot be downloaded
    by_hand: str | None  # what to do where the files cannot be downloaded; {folder} is that of the set

    @property
    def bytes(self) -> int | None:
        """Return the size of all files together, or None where that of one is not known."""
        sizes = [file.bytes for file in self.files]
        return None if None in sizes or not sizes else sum(size or 0 for size in sizes)


def read_all() -> dict[str, Source]:
    """Return what there is, by name. UserError for a damaged file, or one name in two files."""
    found: dict[str, tuple[Source, Path]] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            for source in read(path):
                if source.name in found:
                    raise UserError(f"the source {source.name!r} stands in {found[source.name][1]} and in {path}")
                found[source.name] = source, path
    return {name: source for name, (source, _) in sorted(found.items())}


def read(path: Path) -> list[Source]:
    """Return the sources of one YAML file; UserError where it is not as `Source` and `File` say."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast, and not everywhere
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"this is not YAML ({first_line(error)})", key=str(path)) from error
    if not isinstance(tree, Mapping):
        raise UserError(key=str(path), expected="names of data sets with their entries")
    return [_source(str(name), node, f"{path}: {name}") for name, node in tree.items()]


def find(words: Mapping[str, str], known: Mapping[str, Source]) -> Source:
    """Return the source that words such as {"data": "horse2zebra"} name; UserError for none, or several.

    They are its name, or else some of the words that train on it: {"data": "cyclegan_set", "data.collection": "maps"}.
    """
    if len(words) == 1 and words["data"] in known:
        return known[words["data"]]
    wanted = {f"{key}={value}" for key, value in words.items()}
    found = [source for source in known.values() if wanted <= set(source.train)]
    if len(found) == 1:
        return found[0]
    said = " ".join(sorted(wanted))
    if found:
        names = ", ".join(source.name for source in found)
        raise UserError(
            "several data sets match", key=said, expected=f"one of {names}", fix=f"write data={found[0].name}"
        )
    if len(words) > 1 and words["data"] in known:
        others = ", ".join(word for word in sorted(wanted) if not word.startswith("data="))
        raise UserError(f"the source of {words['data']} does not depend on this", key=others, fix="leave it out")
    raise UserError("unknown source", key=said, found=words["data"], known=known)


def _folders() -> list[Path]:
    places = [plugins.locate(package) for package in plugins.packages()]
    return [Path(__file__).parent / FOLDER, *(place / FOLDER for place in places if place is not None)]


# --- reading an entry ---------------------------------------------------------------------------------------


def _source(name: str, node: Any, where: str) -> Source:
    entry = _keys(node, [field.name for field in fields(Source) if field.name != "name"], where)
    if not re.fullmatch(r"[a-z]\w*", name):  # also the name of a folder
        raise UserError(key=where, found=name, expected="a name of small letters, digits and _")
    source = Source(
        name=name,
        about=_text(entry, "about", where),
        licence=_text(entry, "licence", where),
        train=_texts(entry, "train", where),
        holds=_texts(entry, "holds", where),
        files=tuple(_file(file, f"{where}.files[{number}]") for number, file in enumerate(entry["files"] or ())),
        by_hand=None if entry["by_hand"] is None else _text(entry, "by_hand", where),
    )
    if not source.files and source.by_hand is None:
        raise UserError("the entry has neither files nor a text by_hand", key=where)
    if len({file.name for file in source.files}) < len(source.files):
        raise UserError("two files have the same name", key=where)
    return source


def _file(node: Any, where: str) -> File:
    entry = _keys(node, [field.name for field in fields(File)], where)
    name, to, unpack = (_text(entry, key, where) for key in ("name", "to", "unpack"))
    urls, digest, size = _texts(entry, "urls", where), entry["sha256"], entry["bytes"]
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(key=f"{where}.name", found=name, expected="a file name")
    if PurePosixPath(to).is_absolute() or ".." in PurePosixPath(to).parts or "\\" in to:
        raise UserError(key=f"{where}.to", found=to, expected="a folder below that of the set")
    if unpack not in get_args(Kind):
        raise UserError("unknown kind of archive", key=f"{where}.unpack", found=unpack, known=get_args(Kind))
    if not urls or not all(url.startswith(("https://", "http://", "file://")) for url in urls):
        raise UserError(key=f"{where}.urls", expected="addresses that begin with https://, http:// or file://")
    if digest is not None and not (isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest)):
        raise UserError(key=f"{where}.sha256", found=digest, expected="64 hexadecimal digits or null")
    if size is not None and (not isinstance(size, int) or size <= 0):
        raise UserError(key=f"{where}.bytes", found=size, expected="a number or null")
    return File(name, urls, digest, size, unpack, to)  # type: ignore[arg-type] # one of Kind, as was checked


def _keys(node: Any, expected: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping) or set(node) != set(expected):
        found = ", ".join(map(str, node)) if isinstance(node, Mapping) else repr(node)
        raise UserError(key=where, found=Phrase(found), expected=f"the keys {', '.join(expected)}")
    return node


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    if not isinstance(entry[key], str) or not entry[key].strip():
        raise UserError(key=f"{where}.{key}", found=entry[key], expected="text")
    return " ".join(entry[key].split())


def _texts(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    if not isinstance(entry[key], list) or not all(isinstance(item, str) for item in entry[key]):
        raise UserError(key=f"{where}.{key}", found=entry[key], expected="a list of texts")
    return tuple(entry[key])
