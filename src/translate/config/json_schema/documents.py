"""JSON Schema (draft 7) of the files of a configuration, from the typed schema, the registries and the options.

An editor with a YAML language server completes keys and names by it, shows comments and defaults, and underlines what
the checks would refuse. The checks know more: quantities that must agree, files that must exist.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from translate.config.declared import declared, values_with_comments
from translate.config.json_schema import groups, parts
from translate.config.json_schema.values import (
    INTERPOLATION,
    Schema,
    any_of,
    by_key,
    closed,
    described,
    if_mapping,
    of_annotation,
    ref,
    schedule_definitions,
)
from translate.config.search_path import groups as options_of
from translate.config.search_path import shipped
from translate.registry.registry import DATASETS, MODELS

DRAFT = "http://json-schema.org/draft-07/schema#"

GROUP_KINDS = {"model": "model", "data": "data", "trainer": "trainer", "metrics": "metrics", "logger": "loggers"}
"""Group -> the definition of the content of its options."""

ROOT_GROUPS = ("recipe", "preset", "debug")
"""Groups whose options are files of the package ``_global_``: they have the form of an experiment."""

INTERNAL = ("recipe", "preset", "experiments")
"""Groups that a defaults list does not override."""

PATTERNS = {
    "experiment": ("experiments/**/*.yaml", *(f"conf/{group}/**/*.yaml" for group in ROOT_GROUPS), "conf/train.yaml"),
    "run": ("runs/**/config.yaml",),
    **{group: (f"conf/{group}/**/*.yaml",) for group in GROUP_KINDS},
}
"""Kind of file -> patterns of the paths where such files are."""

ABOUT = {
    "experiment": "An experiment, or another file that changes keys of a run",
    "run": "The complete configuration of a run, config.yaml in its folder",
    "model": "An option of the group model",
    "data": "An option of the group data",
    "trainer": "An option of the group trainer",
    "metrics": "An option of the group metrics",
    "logger": "An option of the group logger",
}
"""Kind of file -> its description."""

_COUNTS = ("iterations", "log_every", "sample_every", "checkpoint_every", "keep_checkpoints", "evaluate_every")
_ANY_GROUP = r"^(optional )?(override )?/?[\w/]+(@[\w.]+)?$"


def document(kind: str, config_dir: Path | None = None) -> Schema:
    """Return the schema of a kind of file, a key of `PATTERNS`; ``config_dir`` is a further folder of options."""
    options = options_of(config_dir)
    body = {"experiment": _experiment, "run": _run}.get(kind, _of_group(kind))(options)
    definitions = {
        "interpolation": INTERPOLATION,
        **schedule_definitions(),
        **parts.definitions(),
        **groups.definitions(options),
    }
    if kind == "run":
        definitions |= _complete(definitions)
    head = {"$schema": DRAFT, "title": f"translate: {kind}", "description": ABOUT[kind]}
    return {**head, **body, "definitions": _used(body, definitions)}


def _used(body: Schema, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the definitions to which a schema refers, directly or through others."""
    found: dict[str, Schema] = {}
    waiting = [body]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found[name] = definitions[name]
                waiting.append(definitions[name])
    return dict(sorted(found.items()))


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for part in node for name in _references(part)]
    if not isinstance(node, Mapping):
        return []
    own = [str(node["$ref"]).rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
    return own + [name for value in node.values() for name in _references(value)]


# --- kinds --------------------------------------------------------------------------------------------------


def _root() -> dict[str, Schema]:
    """Return the keys of the root, each with its comment in conf/train.yaml or in the schema."""
    comments = values_with_comments(shipped("conf") / "train.yaml")
    special: dict[str, Schema] = {
        "model": if_mapping(ref("model"), {"type": "null"}),
        "data": if_mapping(ref("data"), {"type": "null"}),
        "trainer": ref("trainer"),
        "metrics": ref("metrics"),
        "logger": ref("loggers"),
        "start_from": ref("start_from"),
        "expected": ref("expected"),
    }
    keys = {}
    for key in declared("RunConfig"):
        schema = special.get(key.name)
        if schema is None:
            null = " | None" if key.name == "iterations" else ""  # the budget decides
            schema = of_annotation(key.annotation + null, key.name)
        if key.name in _COUNTS:
            schema = any_of({"type": "integer", "minimum": 1}, *_others(schema))
        keys[key.name] = described(schema, comments.get(key.name, ("", ""))[1] or key.comment)
    return keys


def _others(schema: Schema) -> list[Schema]:
    """Return the alternatives of a value beside a whole number."""
    return [part for part in schema.get("anyOf", [schema]) if part.get("type") != "integer"]


def _experiment(options: Mapping[str, Mapping[str, Path]]) -> Schema:
    comments = values_with_comments(shipped("conf") / "train.yaml")
    own: dict[str, Schema] = {
        "defaults": _defaults(options),
        "stages": described(ref("stages"), comments["stages"][1]),
        "stage": described(any_of({"type": "string"}, {"type": "null"}), comments["stage"][1]),
        "hydra": {"type": "object"},
    }
    keys = {**own, **_root()}
    chosen: list[Schema] = []
    for group in ("model", "data"):
        names = _named(group, options[group])
        for option in names:
            then = {"properties": {group: ref(f"{group}_option.{option}")}}
            chosen.append({"if": _chooses(group, {"const": option}), "then": then})
        chosen.append({"if": _chooses(group, {"enum": names}), "else": {"properties": {group: keys[group]}}})
        keys[group] = {}
    return {**closed(keys), "allOf": chosen}


def _chooses(group: str, option: Schema) -> Schema:
    """Return the schema of files whose defaults list overrides a group by an option."""
    key = f"override /{group}"
    entry = {"type": "object", "properties": {key: option}, "required": [key]}
    return {"properties": {"defaults": {"contains": entry}}, "required": ["defaults"]}


def _defaults(options: Mapping[str, Mapping[str, Path]]) -> Schema:
    """Return the schema of a defaults list: known groups have known options."""
    patterns: dict[str, Schema] = {}
    offered: dict[str, Schema] = {}  # editors complete no patterns
    for group, names in options.items():
        one = any_of({"enum": sorted(names)}, ref("interpolation"))
        several = {"type": "array", "items": one}
        key = rf"^(optional )?(override )?/?{group}(@[\w.]+)?$"
        patterns[key] = any_of(one, several, {"type": "null"}) if group != "recipe" else {}
        if group not in INTERNAL:
            offered[f"override /{group}"] = patterns[key]
    entry = {
        "type": "object",
        "properties": offered,
        "patternProperties": patterns,
        "propertyNames": {"pattern": _ANY_GROUP},
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {
        "description": "options of groups: `override /model: NAME`",
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, entry]},
    }


def _of_group(group: str) -> Callable[[Mapping[str, Mapping[str, Path]]], Schema]:
    """Return a function that returns the schema of the options of a group."""

    def schema(options: Mapping[str, Mapping[str, Path]]) -> Schema:
        """Return the content of an option, and a defaults list."""
        if group in ("model", "data"):
            return {
                "properties": {"defaults": _defaults(options)},
                "allOf": [ref(group), *(_begun_with(group, option) for option in _named(group, options[group]))],
            }
        if group == "trainer":
            keys = {"defaults": _defaults(options), **groups.fields_of("TrainerConfig")}
            return closed(keys)
        node = {"metrics": ref("metric"), "logger": ref("logger")}[group]
        return {
            "type": "object",
            "properties": {"defaults": _defaults(options)},
            "additionalProperties": if_mapping(node, {"type": "null"}),
        }

    return schema


def _named(group: str, options: Mapping[str, Path]) -> list[str]:
    """Return the options whose file, or a file that it begins with, names a known part."""
    registry = {"model": MODELS, "data": DATASETS}[group]
    return [
        option for option, path in options.items() if groups.composed(path, options).get("name") in registry.index()
    ]


def _begun_with(group: str, option: str) -> Schema:
    """Return a schema that holds for a file without a name whose defaults list begins with an option of its group."""
    condition = {
        "properties": {"defaults": {"contains": {"const": option}}},
        "required": ["defaults"],
        "not": {"required": ["name"]},
    }
    return {"if": condition, "then": ref(f"{group}_option.{option}")}


def _run(options: Mapping[str, Mapping[str, Path]]) -> Schema:
    """Return the schema of a complete configuration: no key of the root is optional, but those newer than a file."""
    newer = ("start_from", "expected", "trust", "budget")
    keys = {**_root(), "model": ref("complete_model"), "data": ref("complete_data")}
    return closed(keys, [key for key in keys if key not in newer])


def _complete(definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    models = {name: groups.complete_model(name, definitions[f"model.{name}"]) for name in MODELS.index()}
    data = {name: groups.complete_data(name, definitions[f"data.{name}"]) for name in DATASETS.index()}
    nothing: Schema = {"required": ["name"]}
    return {"complete_model": by_key("name", models, nothing), "complete_data": by_key("name", data, nothing)}
