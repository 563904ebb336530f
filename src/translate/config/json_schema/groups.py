"""JSON Schema of the groups of a configuration: model, data, trainer and the smaller ones.

The definition ``model`` accepts every model; ``model.NAME`` is one model, and ``model_option.OPTION`` is one where an
option of the group is overridden, whose file names the networks of the roles.
"""

import copy
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from translate.config.check import INJECTED_INTO_DATASET
from translate.config.declared import declared
from translate.config.expected import COMPARISONS, KEYS
from translate.config.json_schema.parts import dataset_of_joint, of_entry, required_of, union
from translate.config.json_schema.values import (
    Schema,
    any_of,
    by_key,
    closed,
    described,
    if_mapping,
    of_annotation,
    or_null,
    ref,
)
from translate.config.schema import INJECTED_INTO_MODEL
from translate.files import yaml_files
from translate.metrics.protocols import PROTOCOLS
from translate.registry.registry import DATASETS, MODELS
from translate.registry.signatures import Entry
from translate.runs.folder import BEST, LAST

FILLED_IN = ("num_domains", "label_sets", "num_labels", "epoch_size")
"""Keys of data that a run reads from its images."""


def fields_of(name: str, without: Iterable[str] = ()) -> dict[str, Schema]:
    """Return the keys of a dataclass of the schema, each with its comment."""
    return {
        key.name: described(of_annotation(key.annotation, key.name), key.comment)
        for key in declared(name)
        if key.name not in set(without)
    }


def definitions(options: Mapping[str, Mapping[str, Path]]) -> dict[str, Schema]:
    """Return the definitions of all groups; ``options`` are the files of the groups' options."""
    return {
        **_model_definitions(options.get("model", {})),
        **_data_definitions(options.get("data", {})),
        "trainer": closed(fields_of("TrainerConfig"), about="Where it runs."),
        "metrics": or_null(_labelled(ref("metric"), "label -> metric")),
        "loggers": or_null(_labelled(ref("logger"), "name -> logger")),
        "start_from": _start_from(),
        "expected": _expected(),
        "stages": _stages(),
    }


def _labelled(node: Schema, about: str) -> Schema:
    return {"description": about, "type": "object", "additionalProperties": if_mapping(node, {"type": "null"})}


# --- model --------------------------------------------------------------------------------------------------


def _model_definitions(options: Mapping[str, Path]) -> dict[str, Schema]:
    entries = MODELS.index()
    found = {f"model.{name}": _model(entry, {}) for name, entry in entries.items()}
    partial = _union_of_models(schema["properties"] for schema in found.values())
    found["model"] = by_key("name", {name: ref(f"model.{name}") for name in entries}, closed(partial))
    for option, path in options.items():
        tree = composed(path, options)
        entry = entries.get(str(tree.get("name")))
        if entry is not None:
            networks = tree.get("networks")
            found[f"model_option.{option}"] = _model(entry, networks if isinstance(networks, dict) else {})
    return found


def _model(entry: Entry, networks: Mapping[str, Any]) -> Schema:
    """Return the schema of the node of a model; ``networks`` are those of its file, by role."""
    facts = entry.facts
    roles = [*facts.get("networks", ()), *facts.get("optional_networks", ())]
    optional = [role for role in roles if role not in facts.get("trained", facts.get("networks", roles))]
    trained = [role for role in roles if role not in optional]
    slots, phases = facts.get("losses", ()), facts.get("terms", {})
    keys = {
        "networks": closed({role: _network(networks.get(role)) for role in roles}),
        "optimizers": closed({role: ref("optimizer") for role in [*trained, *optional]}),
        "losses": or_null(closed({slot: ref("loss") for slot in slots})),
        "weights": or_null(
            closed({phase: closed({term: ref("schedule") for term in terms}) for phase, terms in phases.items()})
        ),
    }
    comments = {key.name: key.comment for key in declared("ModelConfig")}
    schema = of_entry(entry, {key: described(node, comments[key]) for key, node in keys.items()})
    schema["properties"]["defaults"] = {"type": "array"}
    return schema


def _network(node: Any) -> Schema:
    """Return the schema of a network of a role: with a name, that network; without, the one of the model's file."""
    name = node.get("name") if isinstance(node, Mapping) else None
    if not isinstance(name, str) or "$" in name:
        return ref("network")
    return {"if": {"required": ["name"]}, "then": ref("network"), "else": ref(f"network.{name}")}


def _union_of_models(several: Iterable[Mapping[str, Schema]]) -> dict[str, Schema]:
    """Return the keys of a model that is not known: the roles, slots, phases and terms of all of them."""
    several = list(several)
    merged = union({key: s for key, s in each.items() if key not in INJECTED_INTO_MODEL} for each in several)
    networks: dict[str, Schema] = {}
    optimizers: dict[str, Schema] = {}
    losses: dict[str, Schema] = {}
    weights: dict[str, dict[str, Schema]] = {}
    for each in several:
        networks |= each["networks"]["properties"]
        optimizers |= each["optimizers"]["properties"]
        losses |= each["losses"]["properties"]
        for phase, terms in each["weights"]["properties"].items():
            weights.setdefault(phase, {}).update(terms["properties"])
    return {
        **merged,
        "networks": closed(networks),
        "optimizers": closed(optimizers),
        "losses": or_null(closed(losses)),
        "weights": or_null(closed({phase: closed(terms) for phase, terms in weights.items()})),
    }


def complete_model(name: str, node: Schema) -> Schema:
    """Return the schema of a complete node of a model: every required role, slot, phase and term is there."""
    facts = MODELS.facts(name)
    properties = {key: dict(schema) for key, schema in node["properties"].items()}
    terms = {
        phase: [term for term in names if term not in facts.get("optional_terms", {}).get(phase, ())]
        for phase, names in facts.get("terms", {}).items()
    }
    weights = closed(
        {
            phase: closed({term: ref("schedule") for term in facts["terms"][phase]}, required)
            for phase, required in terms.items()
        },
        list(terms),
    )
    properties["networks"] = {**properties["networks"], "required": list(facts.get("networks", ()))}
    properties["weights"] = weights if terms else or_null(weights)
    required = [*required_of(MODELS.entry(name)), *INJECTED_INTO_MODEL]
    return {**node, "properties": properties, "required": [key for key in required if key != "seed"]}


# --- data ---------------------------------------------------------------------------------------------------


def _data_definitions(options: Mapping[str, Path]) -> dict[str, Schema]:
    common = fields_of("DataConfig", ("name",))
    entries = DATASETS.index()
    found: dict[str, Schema] = {}
    for name, entry in entries.items():
        schema = of_entry(entry, {key: common[key] for key in common})
        if nested := entry.facts.get("nested"):
            within = _labelled(ref("data_within"), "name -> data set, with its labels")
            schema["properties"][nested] = if_mapping(within)
        schema["properties"]["defaults"] = {"type": "array"}
        found[f"data.{name}"] = schema
    without_name = union(schema["properties"] for schema in found.values())
    without_name |= common
    found["data"] = by_key("name", {name: ref(f"data.{name}") for name in entries}, closed(without_name))
    found["data_within"] = dataset_of_joint()
    for option, path in options.items():
        name = str(composed(path, options).get("name"))
        if name in entries:
            found[f"data_option.{option}"] = ref(f"data.{name}")
    return found


def complete_data(name: str, node: Schema) -> Schema:
    """Return the schema of a complete node of data."""
    without = (*FILLED_IN, "load_size", "crop_until", *INJECTED_INTO_DATASET)
    written = [key.name for key in declared("DataConfig") if key.name not in without]
    return {**node, "required": list(dict.fromkeys([*required_of(DATASETS.entry(name)), *written]))}


# --- composition of files -----------------------------------------------------------------------------------


def composed(path: Path, options: Mapping[str, Path], depth: int = 10) -> dict[str, Any]:
    """Return the tree of a file of a group, on top of the files of the same group that its defaults list names.

    Nothing is interpolated. Files that include themselves end after ``depth`` levels.
    """
    tree = _tree(path, path.stat().st_mtime_ns)
    result: dict[str, Any] = {}
    own = {key: value for key, value in tree.items() if key != "defaults"}
    defaults = tree.get("defaults")
    names = defaults if isinstance(defaults, list) else []
    for name in names if "_self_" in names else [*names, "_self_"]:
        if name == "_self_":
            _merge(result, own)
        elif isinstance(name, str) and name in options and depth:
            _merge(result, composed(options[name], options, depth - 1))
    return result


@functools.cache
def _tree(path: Path, changed: int) -> dict[str, Any]:
    """Return the content of a file as it is at the time ``changed``; {} for another content than a mapping."""
    tree = yaml_files.load(path)
    return tree if isinstance(tree, dict) else {}


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


# --- the rest -----------------------------------------------------------------------------------------------


def _start_from() -> Schema:
    properties = fields_of("StartConfig")
    roles = any_of(
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "array", "items": {"type": "string"}},
        {"type": "null"},
    )
    node = closed({**properties, "roles": described(roles, "roles, or role -> role of the source")}, ["weights"])
    return if_mapping(node, {"type": "string"}, {"type": "null"})


def _expected() -> Schema:
    number: Schema = {"type": "number"}
    score = closed(
        {
            "score": {"type": "string"},
            "checkpoint": {"enum": [LAST, BEST]},
            **dict.fromkeys(COMPARISONS, number),
            "tolerance": {"type": "number", "minimum": 0},
        },
        list(KEYS[:2]),
    )
    score["oneOf"] = [{"required": [key]} for key in COMPARISONS]
    protocols: Schema = {"enum": list(PROTOCOLS)}
    seeds: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
    scores: Schema = {"type": "array", "items": score, "minItems": 1}
    node = closed({"protocol": protocols, "seeds": seeds, "scores": scores}, ["protocol", "seeds", "scores"])
    return if_mapping(node, {"type": "null"})


def _stages() -> Schema:
    words: Schema = {"type": "array", "items": {"type": "string"}}
    return {"type": ["object", "null"], "additionalProperties": words}
