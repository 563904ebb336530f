"""Bind nodes of a configuration to what they are for: the fields of a group, the arguments of a registered part.

What does not fit is appended to ``problems`` as a sentence: where, what was found, what was expected, what to do.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields
from inspect import formatannotation
from typing import Any

from translate.config import types
from translate.config.types import MISSING, UNKNOWN, CoercionError, fit
from translate.errors import UserError, among, nearest, suggest
from translate.registry.registry import Registry
from translate.registry.signatures import Entry

Problems = list[str]


def bind_fields(
    cls: type, node: Mapping[str, Any], where: str, problems: Problems, rest: bool = False
) -> dict[str, Any]:
    """Return the values of a dataclass's fields from a node; nested groups are left as they are.

    With `rest`, keys that are no fields are put into the field `arguments` instead of being reported.
    """
    declared = {field.name: field for field in fields(cls) if field.name != "arguments"}
    values: dict[str, Any] = {}
    for name, field in declared.items():
        path = joined(where, name)
        if name not in node:
            if field.default is NO_DEFAULT:
                problems.append(f"{path}: the key is missing; every key must be given, null switches a feature off")
        else:
            values[name] = fitted(node[name], formatannotation(field.type), path, problems)
    extra = {str(key): value for key, value in node.items() if key not in declared}
    if rest:
        values["arguments"] = extra
    else:
        for key in extra:
            problems.append(f"{joined(where, key)}: unknown key{among(key, declared)}")
    return values


def bind_entry(
    entry: Entry,
    arguments: Mapping[str, Any],
    where: str,
    problems: Problems,
    handed: Iterable[str] = (),
    common: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the arguments of a node fitted to the signature of the registry entry that it names.

    `handed` are given by build and may not be said; `common` are further keys of the node, for suggestions.
    """
    handed = set(handed)
    parameters = {p.name: p for p in entry.parameters if p.name not in handed}
    values = {}
    for key, value in arguments.items():
        path = joined(where, key)
        if key in parameters:
            values[key] = fitted(value, parameters[key].annotation, path, problems)
        elif key in handed:
            problems.append(f"{path}: this is handed to {entry.name!r} by the program; remove the key")
        elif entry.accepts_any:
            values[key] = value
        else:
            takes = ", ".join(parameters) or "no arguments"
            hint = suggest(key, [*parameters, *common]) or "."
            problems.append(f"{path}: unknown key{hint} The {entry.kind} {entry.name!r} takes {takes}")
    if entry.is_class:  # a function gets the rest of its arguments where it is called
        for name, parameter in parameters.items():
            if parameter.required and name not in arguments:
                what = types.in_words(parameter.annotation) if parameter.annotation else "a value"
                problems.append(f"{joined(where, name)}: the {entry.kind} {entry.name!r} needs this key, {what}")
    return values


def fitted(value: Any, annotation: str | None, path: str, problems: Problems) -> Any:
    """Return a value in the form that an annotation (None: any) asks for; UNKNOWN, and a problem, if it cannot be."""
    if isinstance(value, str) and value == MISSING:
        hint = f", {types.in_words(annotation)}" if annotation else ""
        problems.append(f"{path}: you must give this{hint}; write {path}=... on the command line")
        return UNKNOWN
    try:
        return fit(value, annotation)
    except CoercionError as misfit:
        problems.append(f"{path}: found {value!r}, expected {misfit}")
        return UNKNOWN


def entry_of(registry: Registry, node: Mapping[str, Any], where: str, problems: Problems) -> Entry | None:
    """Return the registry entry that a node names; None, and a problem, if there is none."""
    name = node.get("name")
    if name == MISSING or name is UNKNOWN:
        return None  # reported already
    if not isinstance(name, str):
        problems.append(f"{where}: the key 'name' is missing; it is one of {', '.join(registry.names())}")
        return None
    try:
        return registry.entry(name)
    except UserError as error:
        problems.append(f"{joined(where, 'name')}: {error}")
        return None


def mapping(node: Any, where: str, problems: Problems) -> dict[str, Any]:
    """Return a node as a dictionary with texts for keys; an empty one, and a problem, if it is no mapping."""
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if node is not UNKNOWN:
        problems.append(f"{where}: found {node!r}, expected a mapping")
    return {}


def joined(where: str, key: str) -> str:
    """Return the path of a key in a node at a path, "" being the root."""
    return f"{where}.{key}" if where else key


def same_keys(
    found: Iterable[str], required: Iterable[str], optional: Iterable[str], where: str, word: str
) -> Iterator[str]:
    """Say which keys are too many and which are missing; a misspelt key is said once."""
    found, required = list(found), list(required)
    known = [*required, *optional]
    unknown = [key for key in found if key not in known]
    missing = [key for key in required if key not in found]
    for key in unknown:
        hint = suggest(key, missing) or suggest(key, known) or "."
        yield f"{where}.{key}: unknown {word}{hint} The model has {', '.join(known) or 'none'}"
    for key in missing:
        if not any(nearest(other, missing) == key for other in unknown):
            yield f"{where}.{key}: the key is missing; the model needs it"
