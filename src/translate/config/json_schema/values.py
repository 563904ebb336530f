"""JSON Schema of single values: of annotations, of numbers in a range, of schedules.

Every value of a file can also be an interpolation, ``${...}``, or the mark of a missing value, ``???``.
"""

import ast
from dataclasses import MISSING, fields
from typing import Any

from translate.config.ranges import LARGEST, Range, range_of
from translate.config.types import MAPPINGS, SEQUENCES, TUPLES, items_of, members_of, name_of, parsed
from translate.schedules import MAY_BE_ZERO, SCHEDULES, Schedule

Schema = dict[str, Any]

INTERPOLATION: Schema = {"type": "string", "pattern": r"\$\{.+\}|^\?\?\?$"}
_SIDE: Schema = {"type": "integer", "minimum": 1}
_SCALARS: dict[str, Schema] = {
    "bool": {"type": "boolean"},
    "str": {"type": "string"},
    "Path": {"type": "string"},
    "None": {"type": "null"},
    "SizeLike": {"anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2}]},
}
_NUMBERS = {"int": "integer", "float": "number"}


def ref(name: str) -> Schema:
    """Return a reference to a definition of the document."""
    return {"$ref": f"#/definitions/{name}"}


def of_annotation(annotation: str | None, name: str = "") -> Schema:
    """Return the schema of a value by its annotation; numbers have the range of the argument ``name``.

    >>> of_annotation("Literal['a', 'b'] | None")
    {'anyOf': [{'enum': ['a', 'b', None]}, {'$ref': '#/definitions/interpolation'}]}
    """
    if annotation is None:
        return {}
    return _of_node(parsed(annotation), name)


def _of_node(node: ast.expr, name: str) -> Schema:
    values: list[Any] = []
    schemas: list[Schema] = []
    for member in members_of(node):
        base = member.value if isinstance(member, ast.Subscript) else member
        if name_of(base) == "Literal" and isinstance(member, ast.Subscript):
            values += [ast.literal_eval(item) for item in items_of(member)]
        elif (schema := _of_member(member, name_of(base), name)) not in schemas:
            schemas.append(schema)
    if values and {"type": "null"} in schemas:
        schemas.remove({"type": "null"})
        values.append(None)
    return any_of(*([{"enum": values}] if values else []), *schemas, ref("interpolation"))


def _of_member(node: ast.expr, type_name: str, name: str) -> Schema:
    items = items_of(node) if isinstance(node, ast.Subscript) else []
    if type_name in _NUMBERS:
        return in_range({"type": _NUMBERS[type_name]}, range_of(name))
    if type_name in _SCALARS:
        return _SCALARS[type_name]
    if type_name in SEQUENCES:
        return {"type": "array", **({"items": _of_node(items[0], name)} if items else {})}
    if type_name in TUPLES:
        return _of_tuple(items, name)
    if type_name in MAPPINGS:
        values = {"additionalProperties": _of_node(items[1], name)} if len(items) == 2 else {}
        return {"type": "object", **values}
    return {}  # a type that is not known by its name


def _of_tuple(items: list[ast.expr], name: str) -> Schema:
    if len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is Ellipsis:
        return {"type": "array", "items": _of_node(items[0], name)}
    if not items:
        return {"type": "array"}
    each = [_of_node(item, name) for item in items]
    return {"type": "array", "items": each, "minItems": len(each), "maxItems": len(each)}


def any_of(*schemas: Schema) -> Schema:
    """Return the schema of a value that fits one of several; {} if one of them accepts everything."""
    distinct = [schema for k, schema in enumerate(schemas) if schema not in schemas[:k]]
    if {} in distinct:
        return {}
    if {"type": "string"} in distinct:  # an interpolation is one
        distinct = [schema for schema in distinct if schema != ref("interpolation")]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def in_range(schema: Schema, allowed: Range | None) -> Schema:
    """Return the schema of a number with the bounds of a range; those that nobody comes near are left out.

    >>> in_range({"type": "number"}, range_of("temperature"))
    {'type': 'number', 'exclusiveMinimum': 0}
    """
    bounds: Schema = {}
    if allowed is not None and abs(allowed.least) < LARGEST:
        bounds["exclusiveMinimum" if allowed.open_least else "minimum"] = allowed.least
    if allowed is not None and abs(allowed.most) < LARGEST:
        bounds["exclusiveMaximum" if allowed.open_most else "maximum"] = allowed.most
    return {**schema, **bounds}


def closed(properties: dict[str, Schema], required: list[str] | None = None, about: str = "") -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    described = {"description": about} if about else {}
    needed = {"required": required} if required else {}
    return {**described, "type": "object", "properties": properties, "additionalProperties": False, **needed}


def if_mapping(node: Schema, *others: Schema) -> Schema:
    """Return the schema of a mapping, or of one of other values: an editor names the mistake within the mapping."""
    return {"if": {"type": "object"}, "then": node, "else": any_of(*others, ref("interpolation"))}


def or_null(mapping: Schema) -> Schema:
    """Return the schema of a mapping that null switches off."""
    return {**mapping, "type": ["object", "null"]}


def described(schema: Schema, about: str) -> Schema:
    """Return a schema with a description, which an editor shows; a reference keeps it beside it."""
    if not about:
        return schema
    return {"description": about, **({"allOf": [schema]} if "$ref" in schema else schema)}


def by_key(key: str, cases: dict[str, Schema], otherwise: Schema) -> Schema:
    """Return the schema of a mapping whose ``key`` chooses its schema; ``otherwise`` is that without the key."""
    alternatives = [
        {"if": {"type": "object", "properties": {key: {"const": name}}, "required": [key]}, "then": schema}
        for name, schema in cases.items()
    ]
    without = {"if": {"type": "object", "not": {"required": [key]}}, "then": otherwise}
    known = {"anyOf": [{"enum": list(cases)}, ref("interpolation")]}
    return {"type": "object", "properties": {key: known}, "allOf": [*alternatives, without]}


def schedule_definitions() -> dict[str, Schema]:
    """Return the definition ``schedule`` of a number that may change with training, and those of its kinds.

    A mapping without the key ``schedule`` changes single keys of a schedule that another file has.
    """
    cases, union = {}, dict[str, Schema]()
    for name, kind in SCHEDULES.items():
        properties: dict[str, Schema] = {"schedule": {"const": name}}
        for field in fields(kind):
            properties[field.name] = _of_schedule_field(field.name, field.type)
        required = ["schedule", *(field.name for field in fields(kind) if field.default is MISSING)]
        about = (kind.__doc__ or "").partition("\n")[0]
        cases[name] = closed(properties, required, about)
        union |= {key: value for key, value in properties.items() if key != "schedule"}
    node = by_key("schedule", {name: ref(f"schedule.{name}") for name in cases}, closed(union))
    number: Schema = {"type": "number"}
    return {
        "schedule": if_mapping(node, number),
        **{f"schedule.{name}": schema for name, schema in cases.items()},
    }


def _of_schedule_field(name: str, kind: Any) -> Schema:
    if kind is Schedule:
        return ref("schedule")
    if kind in (int, "int"):
        minimum = 0 if name in MAY_BE_ZERO else 1
        return any_of({"type": "integer", "minimum": minimum}, ref("interpolation"))
    return any_of({"type": "number"}, ref("interpolation"))
