"""Overrides in Hydra's grammar: read them, apply them, and say in sentences what is wrong with them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from translate import registry
from translate.config.check import HANDED
from translate.errors import among, nearest, suggest

HydraProblem = (HydraException, OmegaConfBaseException, yaml.YAMLError)
"""What Hydra raises for what the user did."""


def read(overrides: Sequence[str], problems: list[str]) -> list[Override]:
    """Return the parsed overrides of a single run; sweeps and what cannot be read are reported instead."""
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            problems.append(_bad_syntax(text, error))
            continue
        if override.is_sweep_override():
            key, value = text.split("=", 1)
            as_list = (
                f"write {key}=[{value}] for a list, or " if override.value_type == ValueType.SIMPLE_CHOICE_SWEEP else ""
            )
            problems.append(f"{text}: several values; {as_list}add -m to run one after the other")
        else:
            parsed.append(override)
    return parsed


def _bad_syntax(text: str, error: HydraException) -> str:
    if "=" not in text:
        return f"{text}: expected key=value, for example trainer=cpu or data.batch_size=8"
    lines = [line for line in str(error).strip().splitlines() if not line.startswith(("Error parsing", "See "))]
    reason = f" ({lines[0].strip()})" if lines else ""
    key = text.split("=")[0]
    return f"{text}: this override cannot be read{reason}; quote values with special signs: {key}='a, b'"


def is_choice(override: Override, groups: Mapping[str, Any]) -> bool:
    """Tell whether an override chooses files of a group, as opposed to setting a value."""
    key = override.key_or_group
    return "/" in key or override.package is not None or (key in groups and not isinstance(override.value(), dict))


def mistaken_choices(
    parsed: Sequence[Override], groups: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Override, str, str | None]]:
    """Yield (override, sentence, the option that was probably meant) for options that are not there."""
    for override in parsed:
        group, option = override.key_or_group, override.value()
        if not is_choice(override, groups) or group not in groups or override.is_delete():
            continue
        options = groups[group]
        if option is None:
            if override.input_line is not None:
                yield (
                    override,
                    f"{override.input_line}: a group is switched off by ~{group}, or takes a name: "
                    f"{', '.join(options)}",
                    None,
                )
        elif isinstance(option, str) and option not in options:
            yield override, f"{group}={option}: not found{among(option, options)}", nearest(option, options)


def apply(tree: DictConfig, override: Override, groups: Mapping[str, Any]) -> str | None:
    """Set the value of an override in the tree; return a sentence if that cannot be done."""
    key, value, text = override.key_or_group, override.value(), override.input_line or ""
    try:
        # what stands there may be in terms of facts that are not known yet, such as a number of epochs
        there = OmegaConf.select(tree, key, throw_on_missing=False, throw_on_resolution_failure=False) is not None
        if override.is_delete():
            if not _has_key(tree, key):
                return f"{text}: there is no key {key!r} to delete{_nearest_key(tree, key, groups)}"
            parent, _, last = key.rpartition(".")
            with open_dict(tree):
                del (OmegaConf.select(tree, parent) if parent else tree)[last]
        elif override.is_add() and there and not isinstance(value, dict | list):
            return f"{text}: the key {key!r} is there already; write it without +: {text.lstrip('+')}"
        elif override.is_add() or override.is_force_add():
            OmegaConf.update(tree, key, value, merge=True, force_add=True)
        elif not _has_key(tree, key):
            return _unknown_key(tree, key, text, groups)
        else:
            OmegaConf.update(tree, key, value, merge=True)
    except OmegaConfBaseException as error:
        return f"{text}: {first_line(error)}"
    return None


def _has_key(tree: DictConfig, key: str) -> bool:
    node: Any = tree
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return OmegaConf.is_list(node)
        if part not in node.keys():  # noqa: SIM118 - `in node` is false for missing values
            return False
        node = node._get_node(part)
    return True


def _unknown_key(tree: DictConfig, key: str, text: str, groups: Mapping[str, Any]) -> str:
    """Blame the first part of a dotted key that is not there."""
    node: Any = tree
    path = ""
    for part in key.split("."):
        known = [str(k) for k in node] if isinstance(node, DictConfig) else []
        where = f"{path}.{part}" if path else part
        if part not in known:
            break
        node, path = node._get_node(part), where
    if not path:
        known = sorted({*known, *groups} - {"hydra"})
    elif where == key and part in (takes := _parameters(node)):
        return f"{key}: the files do not mention this key; add it with a plus sign: +{text}"
    else:
        known = list(dict.fromkeys([*known, *takes])) if where == key else known
    return f"{where}: unknown key{among(part, known)}"


def _nearest_key(tree: DictConfig, key: str, groups: Mapping[str, Any]) -> str:
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(tree, parent) if parent else tree
    known = [str(k) for k in node] if isinstance(node, DictConfig) else []
    return suggest(last, known if parent else [*known, *groups])


def _parameters(node: Any) -> list[str]:
    """Return the arguments of the registered part that a node names, if it names one."""
    name = node._get_node("name") if isinstance(node, DictConfig) and "name" in node else None
    name = name._value() if name is not None else None
    for kind, table in registry.REGISTRIES.items():
        if name in table.index():
            return [p.name for p in table.entry(name).parameters if p.name not in HANDED.get(kind, ())]
    return []


# --- Hydra's remaining complaints ---------------------------------------------------------------------------


def explain(error: BaseException) -> str:
    """Return a sentence for what Hydra raised while composing."""
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"{mark.name}:{mark.line + 1}" if mark else "a configuration file"
        return f"{where}: this is not YAML ({error.problem or error.context}); often a colon or an indentation"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        options = list(error.options or ())
        asking = re.match(r"In '([^']+)'", text)
        where = f"{asking[1]}: " if asking else ""
        option = error.missing_cfg_file.rpartition("/")[2]
        return f"{where}the configuration {error.missing_cfg_file!r} is not found{among(option, options)}"
    cause = error.__cause__
    if cause is not None and (not text.strip() or text.startswith("Error merging")):
        return f"{first_line(error)}: {first_line(cause)}" if text.strip() else first_line(cause)
    return f"the configuration cannot be composed: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def in_quotes(value: str | Path) -> str:
    """Return a text as a value in Hydra's grammar, whatever signs it holds.

    >>> in_quotes("runs/it's, mine")
    "'runs/it\\\\'s, mine'"
    """
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", str(value))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
