"""Check a composed configuration as a whole, before anything is built or torch is imported.

Every rule yields problems: key, found, expected, fix. All of them are collected and reported at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields
from inspect import formatannotation
from typing import Any

from translate import schedules
from translate.config.binding import Problems, bind_entry, bind_fields, coerced, entry_of, mapping, same_keys
from translate.config.length import UNKNOWN_LENGTH
from translate.config.network_sizes import check_image_size, size_needed
from translate.config.ranges import numbers_are_in_range
from translate.config.renamed import rename_saved
from translate.config.rules import RULES
from translate.config.schema import (
    INJECTED_INTO_MODEL,
    DataConfig,
    ExpectedConfig,
    ModelConfig,
    RunConfig,
    StartConfig,
    TrainerConfig,
)
from translate.config.types import MISSING, UNKNOWN, holds_unknown
from translate.errors import ConfigError, Problem, UserError
from translate.registry import trust
from translate.registry.registry import DATASETS, LOSSES, METRICS, MODELS, NETWORKS
from translate.registry.signatures import Entry, described, misses

# Arguments that the program gives to a constructor, so no configuration may.
INJECTED_INTO_DATASET = ("split", "domains")
INJECTED_INTO_OPTIMIZER = ("params",)
INJECTED_INTO_VIEW = ("inputs",)
INJECTED = {"models": INJECTED_INTO_MODEL, "datasets": INJECTED_INTO_DATASET, "views": INJECTED_INTO_VIEW}

SHARED = ("image_size", "num_domains", "num_labels")
"""Quantities that the data owns: an argument of a network by that name must agree with `data`."""


def check(tree: Mapping[str, Any]) -> RunConfig:
    """Return the typed configuration of a plain mapping, or raise ConfigError with all problems.

    The data set is not looked at (see `compose.finish`); domains that are still null count as unknown.
    """
    problems: Problems = []
    config = parse(rename_saved(tree), problems)
    if problems:
        raise ConfigError(problems)
    assert config is not None
    return config


def parse(tree: Mapping[str, Any], problems: Problems) -> RunConfig | None:
    """Do what `check` does, but append to `problems`; the result is None if there are any."""
    before = len(problems)
    tree = {key: value for key, value in tree.items() if key != "hydra"}
    tree.update({key: {} for key in ("logger", "metrics") if key in tree and tree[key] is None})
    if tree.get("iterations", 0) is None and tree.get("budget") is not None:
        tree["iterations"] = UNKNOWN_LENGTH
    values = bind_fields(RunConfig, tree, "", problems)
    _activate(values.get("plugins"), problems)
    data = parse_data(tree.get("data"), problems)
    model = parse_model(tree.get("model"), data, problems)
    trainer = parse_group(TrainerConfig, tree.get("trainer"), "trainer", problems)
    start = parse_group(StartConfig, tree.get("start_from"), "start_from", problems)
    expected = parse_group(ExpectedConfig, tree.get("expected"), "expected", problems)
    _check_loggers(values.get("logger"), problems)
    check_metrics(values.get("metrics"), problems)
    for rule in RULES:
        try:
            problems.extend(rule({**values, "data": data, "model": model, "trainer": trainer, "expected": expected}))
        except (TypeError, ValueError, LookupError, AttributeError):
            if len(problems) == before:  # a value of another type is reported already, and a rule may stumble over it
                raise
    # One number, one sentence, that of the more exact rule; networks take over numbers of the data by interpolation.
    stated = {(problem.key.rpartition(".")[2], repr(problem.found)) for problem in problems}
    for problem in numbers_are_in_range({**values, "data": data, "model": model, "trainer": trainer}):
        if (problem.key.rpartition(".")[2], repr(problem.found)) not in stated:
            problems.append(problem)
    if len(problems) > before:
        return None
    return RunConfig(
        **{
            **values,
            "model": ModelConfig(**model),
            "data": DataConfig(**data),
            "trainer": TrainerConfig(**trainer),
            "start_from": StartConfig(**start) if start else None,
            "expected": ExpectedConfig(**expected) if expected else None,
        }
    )


# --- groups -------------------------------------------------------------------------------------------------


def parse_group(cls: type, node: Any, where: str, problems: Problems, rest: bool = False) -> dict[str, Any]:
    """Return the fields of a group; nothing when the whole group is missing, which the root has reported."""
    if isinstance(node, str) and node != MISSING:  # a file that sets the key instead of choosing the option
        fix = f"choose the option in the file's defaults list: 'defaults: [override /{where}: {node}]'"
        problems.append(Problem(key=where, found=node, expected="a mapping", fix=fix))
        return {}
    if node is None or node is UNKNOWN:
        return {}
    return bind_fields(cls, mapping(node, where, problems), where, problems, rest)


def parse_data(node: Any, problems: Problems) -> dict[str, Any]:
    """Return the fields of DataConfig."""
    values = parse_group(DataConfig, node, "data", problems, rest=True)
    if not values:
        return values
    entry = entry_of(DATASETS, values, "data", problems)
    if entry is not None:
        common = _written_keys(DataConfig)
        values["arguments"] = _bind_dataset(entry, values["arguments"], "data", problems, INJECTED_INTO_DATASET, common)
    return values


def _written_keys(cls: type) -> list[str]:
    """Return the keys of a group that a configuration file writes; the others have defaults and are filled in."""
    return [field.name for field in fields(cls) if field.default is NO_DEFAULT and field.default_factory is NO_DEFAULT]


def _bind_dataset(
    entry: Entry,
    arguments: Mapping[str, Any],
    where: str,
    problems: Problems,
    injected: Iterable[str],
    common: Iterable[str],
) -> dict[str, Any]:
    """Return the coerced arguments of a data set; the one that the fact `nested` names maps names to data sets."""
    values = bind_entry(entry, arguments, where, problems, injected, common)
    nested = str(entry.facts.get("nested"))
    if isinstance(parts := values.get(nested), dict):
        values[nested] = {k: _parse_part(node, f"{where}.{nested}.{k}", problems) for k, node in parts.items()}
    return values


def _parse_part(node: Any, where: str, problems: Problems) -> Any:
    """Return the node of a data set within another one: `name`, arguments, and what to take of it."""
    if not isinstance(node, Mapping):
        return mapping(node, where, problems)
    entry = entry_of(DATASETS, node, where, problems)
    if entry is None:
        return node
    labels = {field.name: formatannotation(field.type) for field in fields(DataConfig)}["labels"]
    chosen = {"labels": coerced(node["labels"], labels, f"{where}.labels", problems)} if "labels" in node else {}
    arguments = {key: value for key, value in node.items() if key not in ("name", "labels")}
    bound = _bind_dataset(entry, arguments, where, problems, ("split",), ("name", "labels"))
    return {"name": entry.name, **chosen, **bound}


def parse_model(node: Any, data: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Return the fields of ModelConfig; `data` are those of DataConfig, which the networks must suit."""
    values = parse_group(ModelConfig, node, "model", problems, rest=True)
    if not values:
        return values
    entry = entry_of(MODELS, values, "model", problems)
    facts = entry.facts if entry is not None else {}
    if entry is not None:
        common = _written_keys(ModelConfig)
        values["arguments"] = bind_entry(entry, values["arguments"], "model", problems, INJECTED_INTO_MODEL, common)
    values["networks"] = _parse_networks(_parts(values, "networks"), facts, data, problems)
    values["optimizers"] = _parse_optimizers(_parts(values, "optimizers"), values["networks"], facts, problems)
    values["losses"] = _parse_losses(_parts(values, "losses"), facts, problems)
    _check_weights(_parts(values, "weights"), facts, problems)
    return values


def _parts(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _parse_networks(
    nodes: Mapping[str, Any], facts: Mapping[str, Any], data: Mapping[str, Any], problems: Problems
) -> dict:
    required = facts.get("networks")
    if required is not None:
        optional = facts.get("optional_networks", ())
        problems.extend(same_keys(nodes, required, optional, "model.networks", "role"))
    parsed, sizes = {}, {}
    for role, node in nodes.items():
        where = f"model.networks.{role}"
        node = mapping(node, where, problems)
        entry = entry_of(NETWORKS, node, where, problems) if node else None
        if entry is None:
            continue
        arguments = bind_entry(entry, {k: v for k, v in node.items() if k != "name"}, where, problems)
        parsed[role] = {"name": entry.name, **arguments}
        for key in SHARED:
            owned, own = data.get(key), arguments.get(key)
            if isinstance(owned, int | list) and isinstance(own, int | list) and owned != own:
                expected = f"{owned}, the value of data.{key}"
                fix = f"write ${{data.{key}}}"
                problems.append(Problem(key=f"{where}.{key}", found=own, expected=expected, fix=fix))
        if "image_size" in entry.facts:
            sizes[role] = size_needed(entry, arguments)
    problems.extend(check_image_size(data.get("image_size"), sizes))
    return parsed


def _parse_optimizers(
    nodes: Mapping[str, Any], networks: Mapping[str, Any], facts: Mapping[str, Any], problems: Problems
) -> dict[str, Any]:
    if "networks" in facts:
        roles = [role for role in facts.get("trained", facts["networks"]) if _is_trainable(networks.get(role))]
        known = (*facts["networks"], *facts.get("optional_networks", ()))
        optional = [role for role in known if role not in roles and _is_trainable(networks.get(role))]
        problems.extend(same_keys(nodes, roles, optional, "model.optimizers", "role"))
    parsed = {}
    for role, node in nodes.items():
        where = f"model.optimizers.{role}"
        parsed[role] = mapping(node, where, problems)
        if not parsed[role]:
            continue
        _check_target(parsed[role], where, problems, INJECTED_INTO_OPTIMIZER)
        if "lr" in parsed[role]:
            _check_schedule(parsed[role]["lr"], f"{where}.lr", problems)
    return parsed


def _is_trainable(network: Mapping[str, Any] | None) -> bool:
    """Return whether a network has parameters; True for one that is not known."""
    return network is None or bool(NETWORKS.facts(network["name"]).get("trainable", True))


def _parse_losses(nodes: Mapping[str, Any], facts: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    if "losses" in facts:
        problems.extend(same_keys(nodes, facts["losses"], (), "model.losses", "slot"))
    parsed = {}
    for slot, node in nodes.items():
        where = f"model.losses.{slot}"
        node = mapping(node, where, problems)
        entry = entry_of(LOSSES, node, where, problems) if node else None
        if entry is not None:
            arguments = {key: value for key, value in node.items() if key != "name"}
            parsed[slot] = {"name": entry.name, **bind_entry(entry, arguments, where, problems)}
    return parsed


def _check_weights(nodes: Mapping[str, Any], facts: Mapping[str, Any], problems: Problems) -> None:
    phases = facts.get("terms")
    if phases is not None:
        problems.extend(same_keys(nodes, phases, (), "model.weights", "phase"))
    for phase, terms in nodes.items():
        where = f"model.weights.{phase}"
        terms = mapping(terms, where, problems)
        if phases is not None and phase in phases:
            optional = facts.get("optional_terms", {}).get(phase, ())
            required = [term for term in phases[phase] if term not in optional]
            problems.extend(same_keys(terms, required, optional, where, "term"))
        for term, weight in terms.items():
            _check_schedule(weight, f"{where}.{term}", problems)


def _check_schedule(value: Any, where: str, problems: Problems) -> None:
    if holds_unknown(value) or coerced(value, None, where, problems) is UNKNOWN:
        return
    try:
        schedules.parse(value)
    except UserError as error:
        problems.extend(error.inside(where).problems)


def _check_loggers(nodes: Any, problems: Problems) -> None:
    for name, node in (nodes if isinstance(nodes, dict) else {}).items():
        node = mapping(node, f"logger.{name}", problems)
        if node:
            _check_target(node, f"logger.{name}", problems, ("save_dir",))


def check_metrics(nodes: Any, problems: Problems) -> None:
    """Append what is wrong with metrics: label -> {name: key of METRICS, its arguments}."""
    for label, node in (nodes if isinstance(nodes, dict) else {}).items():
        where = f"metrics.{label}"
        node = mapping(node, where, problems)
        entry = entry_of(METRICS, node, where, problems) if node else None
        if entry is not None:
            bind_entry(entry, {key: value for key, value in node.items() if key != "name"}, where, problems)


def _check_target(node: Mapping[str, Any], where: str, problems: Problems, injected: Iterable[str]) -> None:
    """Check a node that names third-party code by import path; its source is read, not imported."""
    target = node.get("_target_")
    path = f"{where}._target_"
    if target == MISSING or target is UNKNOWN:
        coerced(target, "str", path, problems)
        return
    if not isinstance(target, str) or "." not in target or not all(part.isidentifier() for part in target.split(".")):
        problems.append(Problem(key=path, found=target, expected="an import path such as torch.optim.Adam"))
        return
    if not trust.is_trusted(target):
        problems.append(trust.problem_of(target, path))
        return
    if misses(target):
        problems.append(
            Problem("this import path names nothing", key=path, found=target, fix="correct it, or install its package")
        )
        return
    for key, value in node.items():
        coerced(value, None, f"{where}.{key}", problems)
    entry = described(target)
    if entry is not None and not entry.accepts_any:
        known = [p.name for p in entry.parameters if p.name not in set(injected)]
        for key in node:
            if key not in known and key != "_target_":
                problems.append(
                    Problem(f"{target} has no argument", key=f"{where}.{key}", found=key, known=tuple(known))
                )


def _activate(names: Any, problems: Problems) -> None:
    try:
        trust.activate_saved(name for name in (names if isinstance(names, list) else []) if isinstance(name, str))
    except UserError as error:
        problems.extend(error.problems)
