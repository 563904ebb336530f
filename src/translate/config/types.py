"""Coerce a value from YAML to an annotation that is known only as source text.

The text is read and never evaluated, so a signature is checked without an import. An unknown type (`nn.Module`, a
type alias) accepts everything.
"""

import ast
import functools
from collections.abc import Callable
from typing import Any

from translate.files.reading import is_finite
from translate.sizes import EXPECTED, ImageSize

UNKNOWN = object()
"""Stands for a value with a problem that is reported already; it fits every annotation."""

MISSING = "???"
"""The YAML text of a value that the user must give."""

SEQUENCES = {"list", "List", "Sequence", "Iterable", "Collection"}
MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
TUPLES = {"tuple", "Tuple"}
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "None": "null",
    "Path": "a path",
    "SizeLike": EXPECTED,
}


def holds_unknown(value: Any) -> bool:
    """Return whether a value, or one within a mapping, is UNKNOWN."""
    return any(map(holds_unknown, value.values())) if isinstance(value, dict) else value is UNKNOWN


class CoercionError(Exception):
    """A value does not fit an annotation; `expected` is the annotation in words."""

    def __init__(self, expected: str = "") -> None:
        super().__init__(expected)
        self.expected = expected


def coerce(value: Any, annotation: str | None) -> Any:
    """Return `value` in the form that `annotation` asks for, or raise CoercionError.

    Whole floats become int where int is asked (1e5 iterations), int becomes float where float is asked.

    >>> coerce(1e5, "int"), coerce(1, "float | None"), coerce([1, 2], "tuple[float, float]")
    (100000, 1.0, [1.0, 2.0])
    """
    if annotation is None or value is UNKNOWN:
        return value
    return _coerce(value, parsed(annotation))


def in_words(annotation: str) -> str:
    """Return an annotation in words, for messages.

    >>> in_words("int | None"), in_words("Sequence[str]"), in_words("Literal['a', 'b']")
    ('a whole number or null', 'a list, each a text', "'a' or 'b'")
    """
    return _words(parsed(annotation))


@functools.cache
def parsed(annotation: str) -> ast.expr:
    """Return the expression of an annotation; ``Any`` for another text."""
    try:
        return ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return ast.Name("Any")


def name_of(node: ast.expr) -> str:
    """Return the last name of a type without arguments, ``None`` for null, "" for another expression."""
    if isinstance(node, ast.Constant):
        return "None" if node.value is None else ""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return "None" if name == "NoneType" else name  # how a union that typing has made names it


def members_of(node: ast.expr) -> list[ast.expr]:
    """Return the alternatives of a union, one for any other type."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # a quoted forward reference
        node = parsed(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return members_of(node.left) + members_of(node.right)
    if isinstance(node, ast.Subscript):
        if name_of(node.value) == "Optional":
            return [*members_of(node.slice), ast.Constant(None)]
        if name_of(node.value) == "Union":
            return [member for item in items_of(node) for member in members_of(item)]
        if name_of(node.value) in ("Annotated", "Final"):
            return members_of(items_of(node)[0])
    return [node]


def items_of(node: ast.Subscript) -> list[ast.expr]:
    """Return the arguments of a type."""
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _coerce(value: Any, node: ast.expr) -> Any:
    members = members_of(node)
    # An exact match comes before one that converts, so that 1 stays 1 in `float | int`.
    for convert in (False, True):
        for member in members:
            try:
                return _coerce_one(value, member, convert)
            except CoercionError:
                continue
    raise CoercionError(_words(node))


def _coerce_one(value: Any, node: ast.expr, convert: bool) -> Any:
    base = node.value if isinstance(node, ast.Subscript) else node
    name = name_of(base)
    if name in _SCALARS:
        scalar = _SCALARS[name](value, convert)
        if scalar is None and name != "None":
            raise CoercionError
        return scalar
    if name == "Literal":
        assert isinstance(node, ast.Subscript)
        allowed = [ast.literal_eval(item) for item in items_of(node)]
        if any(value == option and type(value) is type(option) for option in allowed):
            return value
        raise CoercionError
    if name in SEQUENCES:
        return [_coerce(v, items_of(node)[0]) if isinstance(node, ast.Subscript) else v for v in _as_list(value)]
    if name in TUPLES:
        return _coerce_tuple(_as_list(value), node)
    if name in MAPPINGS:
        if not isinstance(value, dict):
            raise CoercionError
        if not isinstance(node, ast.Subscript) or len(items_of(node)) != 2:
            return value
        of_key, of_value = items_of(node)
        return {_coerce(k, of_key): _coerce(v, of_value) for k, v in value.items()}
    return value  # a type that is not known by its name


def _coerce_tuple(value: list[Any], node: ast.expr) -> list[Any]:
    if not isinstance(node, ast.Subscript):
        return value
    items = items_of(node)
    if len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is Ellipsis:
        return [_coerce(v, items[0]) for v in value]
    if len(value) != len(items):
        raise CoercionError
    return [_coerce(v, item) for v, item in zip(value, items, strict=True)]


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise CoercionError
    return list(value)


def _int(value: Any, convert: bool) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if convert and isinstance(value, float) and value.is_integer() else None


def _float(value: Any, convert: bool) -> float | None:
    if isinstance(value, float):
        return value
    return float(value) if convert and isinstance(value, int) and is_finite(value) else None


def _size(value: Any, convert: bool) -> int | list[int] | None:
    """Return a side or two; two equal ones are the side of a square, so that a size has one form."""
    sides = [_int(side, convert) for side in (value if isinstance(value, list | tuple) else [value, value])]
    if len(sides) != 2 or any(side is None for side in sides):
        return None
    return ImageSize.of([side for side in sides if side is not None]).plain


def _none(value: Any, convert: bool) -> None:
    if value is not None:
        raise CoercionError


_SCALARS: dict[str, Callable[[Any, bool], Any]] = {
    "int": _int,
    "float": _float,
    "bool": lambda value, convert: value if isinstance(value, bool) else None,
    "str": lambda value, convert: value if isinstance(value, str) else None,
    "Path": lambda value, convert: value if isinstance(value, str) else None,
    "SizeLike": _size,
    "None": _none,
}


def _words(node: ast.expr) -> str:
    return " or ".join(dict.fromkeys(word for member in members_of(node) for word in _words_of_one(member)))


def _words_of_one(node: ast.expr) -> list[str]:
    name = name_of(node.value if isinstance(node, ast.Subscript) else node)
    if name == "Literal":
        assert isinstance(node, ast.Subscript)
        return [repr(ast.literal_eval(item)) for item in items_of(node)]
    if name in SEQUENCES or name in TUPLES:
        if not isinstance(node, ast.Subscript):
            return ["a list"]
        items = [item for item in items_of(node) if not (isinstance(item, ast.Constant) and item.value is Ellipsis)]
        if len(items) > 1:
            return ["a list of " + ", ".join(_words(item) for item in items)]
        return [f"a list, each {_words(items[0])}"]
    if name in MAPPINGS:
        return ["a mapping"]
    return [_WORDS.get(name, ast.unparse(node))]
