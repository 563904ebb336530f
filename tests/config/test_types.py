"""Values fit annotations that are known as text only."""

from typing import Any

import pytest

from translate.config.types import UNKNOWN, CoercionError, coerce, in_words

GOOD: list[tuple[Any, str | None, Any]] = [
    (3, "int", 3),
    (1e5, "int", 100000),
    (3, "float", 3.0),
    (3, "float | int", 3),
    (None, "int | None", None),
    (None, "Optional[int]", None),
    ("a", "Union[int, str]", "a"),
    ("a", "Literal['a', 'b']", "a"),
    ([1, 2], "Sequence[int]", [1, 2]),
    ([1, 2], "tuple[float, float]", [1.0, 2.0]),
    ([1, 2, 3], "tuple[int, ...]", [1, 2, 3]),
    ([[1]], "list[list[int]]", [[1]]),
    ({"a": 1}, "dict[str, float]", {"a": 1.0}),
    ({"a": 1}, "Mapping", {"a": 1}),
    ("x", "Path | None", "x"),
    (object, "nn.Module", object),
    ("anything", None, "anything"),
    (UNKNOWN, "int", UNKNOWN),
    (3, "'int | None'", 3),
]
BAD: list[tuple[Any, str]] = [
    ("3", "int"),
    (1.5, "int"),
    (True, "int"),
    (True, "float"),
    (1, "bool"),
    (None, "str"),
    ("c", "Literal['a', 'b']"),
    (1, "Literal[True]"),
    ("ab", "Sequence[str]"),
    ([1, "b"], "list[int]"),
    ([1], "tuple[int, int]"),
    ([1], "dict[str, int]"),
    (0, "None"),
]


@pytest.mark.parametrize(("value", "annotation", "expected"), GOOD)
def test_fits(value: Any, annotation: str | None, expected: Any) -> None:
    found = coerce(value, annotation)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("value", "annotation"), BAD)
def test_does_not_fit(value: Any, annotation: str) -> None:
    with pytest.raises(CoercionError) as caught:
        coerce(value, annotation)
    assert caught.value.expected == in_words(annotation)


def test_words() -> None:
    assert in_words("tuple[float, float]") == "a list of a number, a number"
    assert in_words("dict[str, int] | None") == "a mapping or null"
