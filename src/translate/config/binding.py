"""Bind nodes of a configuration to their targets: the fields of a group, the arguments of a registered part.

Each function appends its `Problem`s to ``problems`` and goes on, so that all problems are reported at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields
from inspect import formatannotation
from typing import Any

from translate.config import types
from translate.config.types import MISSING, UNKNOWN, CoercionError, coerce
from translate.errors import Problem, UserError, nearest
from translate.registry.registry import Registry
from translate.registry.signatures import Entry

Problems = list[Problem]


def bind_fields(
    cls: type, node: Mapping[str, Any], where: str, problems: Problems, rest: bool = False
) -> dict[str, Any]:
    """Return the values of a dataclass's fields from a node; nested groups are left as they are.

    With `rest`, other keys are put into the field `arguments` instead of being reported.
    """
    declared = {field.name: field for field in fields(cls) if field.name != "arguments"}
    values: dict[str, Any] = {}
    for name, field in declared.items():
        path = joined(where, name)
        annotation = formatannotation(field.type)
        if name in node:
            values[name] = coerced(node[name], annotation, path, problems)
        elif field.default is NO_DEFAULT and field.default_factory is NO_DEFAULT:
            problems.append(Problem("the key is missing", key=path, fix="give it; null switches a feature off"))
    extra = {str(key): value for key, value in node.items() if key not in declared}
    if rest:
        values["arguments"] = extra
    else:
        problems.extend(unknown_key(joined(where, key), declared) for key in extra)
    return values


def unknown_key(path: str, known: Iterable[str]) -> Problem:
    """Return the problem of a key that nothing knows."""
    return Problem("unknown key", key=path, found=path.rpartition(".")[2], known=tuple(known))


def bind_entry(
    entry: Entry,
    arguments: Mapping[str, Any],
    where: str,
    problems: Problems,
    injected: Iterable[str] = (),
    common: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the arguments of a node, coerced to the signature of the registry entry that the node names.

    The program gives the `injected` arguments; a node must not. `common` are further keys of the node.
    """
    injected = set(injected)
    parameters = {p.name: p for p in entry.parameters if p.name not in injected}
    values = {}
    for key, value in arguments.items():
        path = joined(where, key)
        if key in parameters:
            values[key] = coerced(value, parameters[key].annotation, path, problems)
        elif key in injected:
            problems.append(Problem(f"the program gives this argument to {entry.name!r}", key=path, fix="remove it"))
        elif entry.accepts_any:
            values[key] = value
        else:
            statement = f"the {entry.kind} {entry.name!r} has no argument"
            problems.append(Problem(statement, key=path, found=key, known=(*parameters, *common)))
    if entry.is_class:  # a function gets the rest of its arguments where it is called
        for name, parameter in parameters.items():
            if parameter.required and name not in arguments:
                words = types.in_words(parameter.annotation) if parameter.annotation else "a value"
                statement = f"the {entry.kind} {entry.name!r} needs this key"
                problems.append(Problem(statement, key=joined(where, name), expected=words))
    return values


def coerced(value: Any, annotation: str | None, path: str, problems: Problems) -> Any:
    """Return a value in the form that an annotation (None: any) asks for; UNKNOWN, and a problem, if it has none."""
    if isinstance(value, str) and value == MISSING:
        words = types.in_words(annotation) if annotation else "a value"
        problems.append(Problem("the value is missing", key=path, expected=words, fix=f"write {path}=..."))
        return UNKNOWN
    try:
        return coerce(value, annotation)
    except CoercionError as error:
        problems.append(Problem(key=path, found=value, expected=error.expected))
        return UNKNOWN


def entry_of(registry: Registry, node: Mapping[str, Any], where: str, problems: Problems) -> Entry | None:
    """Return the registry entry that a node names; None, and a problem, if it names none."""
    name = node.get("name")
    if name == MISSING or name is UNKNOWN:
        return None  # reported already
    if not isinstance(name, str):
        problems.append(Problem("the key 'name' is missing", key=where, known=tuple(registry.names())))
        return None
    try:
        return registry.entry(name)
    except UserError as error:
        problems.extend(error.inside(joined(where, "name")).problems)
        return None


def mapping(node: Any, where: str, problems: Problems) -> dict[str, Any]:
    """Return a node as a dictionary with strings for keys; an empty one, and a problem, for another type."""
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if node is not UNKNOWN:
        problems.append(Problem(key=where, found=node, expected="a mapping"))
    return {}


def joined(where: str, key: str) -> str:
    """Return the path of a key in a node at a path, "" being the root."""
    return f"{where}.{key}" if where else key


def same_keys(
    present: Iterable[str], required: Iterable[str], optional: Iterable[str], where: str, word: str
) -> Iterator[Problem]:
    """Yield a problem for each unknown and for each missing key; a misspelt key is reported once."""
    present, required = list(present), list(required)
    known = [*required, *optional]
    unknown = [key for key in present if key not in known]
    missing = [key for key in required if key not in present]
    for key in unknown:
        first = [nearest(key, missing)]
        ordered = [name for name in known if name in first] + [name for name in known if name not in first]
        yield Problem(f"unknown {word}", key=f"{where}.{key}", found=key, known=tuple(ordered))
    for key in missing:
        if not any(nearest(other, missing) == key for other in unknown):
            yield Problem("the key is missing", key=f"{where}.{key}", expected=f"this {word} of the model")
