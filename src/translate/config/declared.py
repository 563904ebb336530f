"""The keys of the configuration as their declarations say: types and comments of the dataclasses of the schema."""

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from translate.config import schema
from translate.files.reading import read_text


@dataclass(frozen=True)
class Key:
    """A key of the configuration: its type as source text and the comment beside it."""

    name: str
    annotation: str
    comment: str


@functools.cache
def declared(name: str) -> tuple[Key, ...]:
    """Return the fields of a dataclass of the schema, without ``arguments``, and the comments beside them."""
    text = read_text(Path(schema.__file__))
    lines = text.splitlines()
    (found,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)
    keys = []
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id != "arguments":
            last = node.end_lineno or node.lineno
            rest = lines[last - 1].encode()[node.end_col_offset :].decode()
            if not rest.strip() and lines[last].strip().startswith(")"):  # a type in parentheses
                rest = lines[last]
            quoted = node.annotation.value if isinstance(node.annotation, ast.Constant) else None
            annotation = quoted if isinstance(quoted, str) else ast.unparse(node.annotation)
            keys.append(Key(node.target.id, annotation, rest.partition("#")[2].strip()))
    return tuple(keys)


def values_with_comments(path: Path) -> dict[str, tuple[str, str]]:
    """Return key -> (value, comment) of the scalar lines at the left margin of a YAML file."""
    found = {}
    for line in read_text(path).splitlines():
        if match := re.fullmatch(r"(\w+):\s+(.*?)(?:\s+#\s*(.*))?", line):
            found[match[1]] = (match[2], match[3] or "")
    return found
