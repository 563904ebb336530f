"""The shape of a saved configuration, in config.yaml of a run and in the header of its checkpoints.

A file can come from anybody, or be cut short. What reads single keys of it, before or without the checks of a whole
configuration, relies on this shape.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from translate.errors import Phrase, UserError
from translate.files.reading import kind_of_json

MAPPING, TEXT, WHOLE_NUMBER, TEXTS = "a mapping", "a text", "a whole number", "a list of texts"

SHAPE: dict[str, tuple[str, bool]] = {
    **dict.fromkeys(("model", "data", "trainer", "model.networks", "model.optimizers"), (MAPPING, False)),
    **dict.fromkeys(("model.weights", "model.losses", "logger", "metrics", "start_from", "expected"), (MAPPING, True)),
    **dict.fromkeys(("model.name", "data.name"), (TEXT, False)),
    **dict.fromkeys(("name", "folder", "resume"), (TEXT, True)),
    "seed": (WHOLE_NUMBER, False),
    "iterations": (WHOLE_NUMBER, True),
    "plugins": (TEXTS, True),
    "data.domains": (TEXTS, True),
}
"""Key -> its kind, and whether it can be null."""

OF_CHECKPOINT = ("model.name", "model.networks", "data.name", "data.image_size")
"""The keys that a checkpoint has, also one without a run, such as imported weights."""

_TESTS = {
    MAPPING: lambda value: isinstance(value, Mapping),
    TEXT: lambda value: isinstance(value, str),
    WHOLE_NUMBER: lambda value: isinstance(value, int) and not isinstance(value, bool),
    TEXTS: lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
}


def require_shape(tree: Mapping[str, Any], where: str, needs: Iterable[str] = ()) -> None:
    """Raise UserError, about ``where``, for a value of another kind than `SHAPE` has, and for a missing key."""
    for key in needs:
        if _at(tree, key, _ABSENT) is _ABSENT:
            raise UserError("the saved configuration is not whole", key=where, expected=f"the key {key}")
    for key, (kind, optional) in SHAPE.items():
        value = _at(tree, key, _ABSENT)
        if value is _ABSENT or (optional and value is None) or _TESTS[kind](value):
            continue
        found = Phrase("a list of other values") if kind == TEXTS and isinstance(value, list) else kind_of_json(value)
        raise UserError(
            f"the saved configuration has a damaged key {key}", key=where, found=found, expected=_in_words(key)
        )
    networks = _at(tree, "model.networks", None) or {}
    for role, node in networks.items():
        if not isinstance(node, Mapping):
            key, found = f"model.networks.{role}", kind_of_json(node)
            raise UserError(
                f"the saved configuration has a damaged key {key}", key=where, found=found, expected=MAPPING
            )


_ABSENT = object()


def _in_words(key: str) -> str:
    kind, optional = SHAPE[key]
    return f"{kind} or null" if optional else kind


def _at(tree: Any, key: str, default: Any) -> Any:
    """Return the value at a key with dots; ``default`` where a part of the way is missing or no mapping."""
    for part in key.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return default
        tree = tree[part]
    return tree
