"""JSON Schema of the nodes that name a registered part, and of optimizers and loggers, which name an import path.

A node without its name changes single keys of a node in another file, so it may have the keys of every part.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from translate.config.check import INJECTED, INJECTED_INTO_OPTIMIZER
from translate.config.json_schema.values import (
    Schema,
    any_of,
    by_key,
    closed,
    described,
    of_annotation,
    ref,
)
from translate.config.ranges import DECAY, MOMENTUM, OPTIMIZERS
from translate.errors import UserError
from translate.registry.registry import DATASETS, LOSSES, METRICS, NETWORKS, Registry
from translate.registry.signatures import Entry, Parameter
from translate.registry.signatures import described as signature_at

KNOWN_OPTIMIZERS = tuple(f"torch.optim.{name}" for name in ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD"))
"""Import paths that an editor offers; their sources are read, not imported. Every other path may be written too."""

KNOWN_LOGGERS = tuple(
    f"pytorch_lightning.loggers.{name}" for name in ("CSVLogger", "TensorBoardLogger", "WandbLogger", "MLFlowLogger")
)
NAMED: dict[str, Registry] = {"network": NETWORKS, "loss": LOSSES, "metric": METRICS}
"""Definition -> the registry whose parts it names."""


def definitions() -> dict[str, Schema]:
    """Return the definitions of networks, losses, metrics, optimizers and loggers."""
    found: dict[str, Schema] = {}
    for kind, registry in NAMED.items():
        entries = registry.index()
        for name, entry in entries.items():
            found[f"{kind}.{name}"] = of_entry(entry)
        without_name = union(of_entry(entry)["properties"] for entry in entries.values())
        found[kind] = by_key("name", {name: ref(f"{kind}.{name}") for name in entries}, closed(without_name))
    for path in KNOWN_OPTIMIZERS:
        found[f"optimizer.{path}"] = _optimizer(path)
    arguments = union(_optimizer(path)["properties"] for path in KNOWN_OPTIMIZERS)
    found["optimizer"] = _by_target(KNOWN_OPTIMIZERS, "optimizer.", closed(arguments))
    found["logger"] = _by_target((), "", {"type": "object"})
    found["logger"]["properties"]["_target_"]["examples"] = list(KNOWN_LOGGERS)
    return found


def of_entry(entry: Entry, common: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of a node that names a registered part: its arguments, and ``common`` keys of every node.

    A function gets the arguments that no file gives where it is called; they are keys all the same.
    """
    injected = INJECTED.get(_kind_of(entry), ())
    properties: dict[str, Schema] = {"name": {"const": entry.name}, **(common or {})}
    for parameter in entry.parameters:
        if parameter.name not in injected and parameter.name not in properties:
            properties[parameter.name] = of_parameter(parameter)
    schema = closed(properties, about=entry.summary)
    return {**schema, "additionalProperties": True} if entry.accepts_any else schema


def required_of(entry: Entry) -> list[str]:
    """Return the keys that a complete node of a part has."""
    injected = INJECTED.get(_kind_of(entry), ())
    required = [p.name for p in entry.parameters if p.required and p.name not in injected] if entry.is_class else []
    return ["name", *required]


def _kind_of(entry: Entry) -> str:
    return {"model": "models", "data set": "datasets", "view": "views"}.get(entry.kind, "")


def of_parameter(parameter: Parameter) -> Schema:
    """Return the schema of an argument, with its default."""
    schema = of_annotation(parameter.annotation, parameter.name)
    if parameter.required or not parameter.is_literal or isinstance(parameter.default, tuple | set | bytes):
        return schema
    return {**({"allOf": [schema]} if "$ref" in schema else schema), "default": parameter.default}


def union(several: Iterable[Mapping[str, Schema]]) -> dict[str, Schema]:
    """Return the properties of nodes whose part is not known: a value fits if it fits one of the parts."""
    found: dict[str, list[Schema]] = {}
    for properties in several:
        for key, schema in properties.items():
            if key != "name":
                plain = {name: value for name, value in schema.items() if name not in ("default", "description")}
                found.setdefault(key, []).append(plain)
    return {key: any_of(*schemas) for key, schemas in sorted(found.items())}


def dataset_of_joint() -> Schema:
    """Return the schema of a data set within another one: its arguments, and which labels are taken."""
    labels = {
        "labels": of_annotation("Literal['attributes', 'domain'] | None"),
        "domains": of_annotation("list[str] | None"),
    }
    cases = {name: of_entry(entry, labels) for name, entry in DATASETS.index().items()}
    return by_key("name", cases, closed(union(case["properties"] for case in cases.values())))


# --- import paths -------------------------------------------------------------------------------------------


def _by_target(paths: Iterable[str], prefix: str, otherwise: Schema) -> Schema:
    """Return the schema of a node with an import path: known ones have their arguments, others any."""
    cases = {path: ref(f"{prefix}{path}") for path in paths}
    node = by_key("_target_", cases, otherwise)
    node["properties"]["_target_"] = {"type": "string", "pattern": r"\.|^\?\?\?$", "examples": list(cases)}
    return node


def _optimizer(path: str) -> Schema:
    """Return the schema of an optimizer of torch; any arguments where its source is not installed."""
    try:
        entry = signature_at(path)
    except UserError:
        entry = None
    properties: dict[str, Schema] = {"_target_": {"const": path}, "lr": described(ref("schedule"), "the learning rate")}
    if entry is None:
        return {"type": "object", "properties": properties}
    for parameter in entry.parameters:
        if parameter.name not in (*INJECTED_INTO_OPTIMIZER, *properties):
            properties[parameter.name] = _optimizer_argument(parameter)
    return closed(properties, about=entry.summary)


def _optimizer_argument(parameter: Parameter) -> Schema:
    allowed = OPTIMIZERS.get(parameter.name)
    if allowed not in (MOMENTUM, DECAY):
        return {}
    number: dict[str, Any] = {"type": "number", "minimum": allowed.least}
    number["exclusiveMaximum" if allowed.open_most else "maximum"] = allowed.most
    return any_of(number, {"type": "array", "items": number}, ref("interpolation"))
