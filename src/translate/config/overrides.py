"""Overrides in Hydra's grammar: read them, apply them, and report their problems.

Values are set one by one on the composed tree instead of by Hydra: Hydra stops at the first mistake, and its errors
name neither the override nor the known keys other than in a sentence, which nothing may parse.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from translate.config.check import INJECTED
from translate.config.renamed import removed, renamed_word
from translate.errors import Problem, Problems, first_line, nearest
from translate.registry import registry

NEEDED = ("model", "data", "trainer")
"""Groups that are in no run left out."""

SCHEDULE = "schedule"
"""The key by which a mapping is a schedule, see `translate.schedules`."""

HydraProblem = (HydraException, OmegaConfBaseException, yaml.YAMLError)
"""What Hydra raises for what the user did."""


def _malformed(text: str) -> Problem:
    return Problem(key=text, expected="key=value, for example trainer=cpu or data.batch_size=8")


def read(overrides: Sequence[str], problems: Problems) -> list[Override]:
    """Return the parsed overrides of a single run; report sweeps and unreadable words in ``problems``."""
    parser = OverridesParser.create()
    parsed = []
    for word in overrides:
        text = renamed_word(word)
        if not text.partition("=")[0].strip("+~ "):
            problems.append(_malformed(text))
            continue
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            problems.append(_bad_syntax(text, error))
            continue
        if gone := removed(override.key_or_group):
            problems.append(gone)
        elif override.key_or_group == "hydra":
            problems.append(
                Problem(
                    "Hydra's settings are set one by one", key=text, fix="write for example hydra.sweep.dir=runs/mine"
                )
            )
        elif override.key_or_group == "hydra.verbose" and not _names_loggers(override.value()):
            problems.append(Problem(key=text, expected="true, false, or names of loggers"))
        elif override.is_sweep_override():
            key, value = text.split("=", 1)
            is_choice_sweep = override.value_type == ValueType.SIMPLE_CHOICE_SWEEP
            as_list = f"write {key}=[{value}] for a list, or " if is_choice_sweep else ""
            problems.append(Problem("several values", key=text, fix=f"{as_list}add -m to run one after the other"))
        else:
            parsed.append(override)
    return parsed


def _names_loggers(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return isinstance(value, bool) or all(isinstance(name, str) for name in names)


def _bad_syntax(text: str, error: HydraException) -> Problem:
    if "=" not in text:
        return _malformed(text)
    lines = [line for line in str(error).strip().splitlines() if not line.startswith(("Error parsing", "See "))]
    reason = f" ({lines[0].strip()})" if lines else ""
    key = text.split("=")[0]
    fix = f"quote values with special characters: {key}='a, b'"
    return Problem(f"this override cannot be read{reason}", key=text, fix=fix)


def is_choice(override: Override, groups: Mapping[str, Any]) -> bool:
    """Tell whether an override chooses files of a group, as opposed to setting a value."""
    key = override.key_or_group
    return "/" in key or override.package is not None or (key in groups and not isinstance(override.value(), dict))


def mistaken_choices(
    parsed: Sequence[Override], groups: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Override, Problem, str | None]]:
    """Yield (override, problem, the option that was probably meant) for options that do not exist."""
    for override in parsed:
        group, option, text = override.key_or_group, override.value(), override.input_line or ""
        if not is_choice(override, groups):
            continue
        if group not in groups:  # one of Hydra's, or one with a package
            names = option if isinstance(option, list) and not override.is_delete() else [option]
            nothing = option is None and override.is_delete()
            if not nothing and not all(isinstance(name, str) for name in names):
                yield override, Problem(key=text, expected="the name of an option"), None
            continue
        options = groups[group]
        unknown = [one for one in (option if isinstance(option, list) else [option]) if one not in list(options)]
        if override.is_delete():
            if group in NEEDED:
                what = "every run needs this group"
                yield override, Problem(what, key=f"~{group}", known=tuple(options), fix=f"write {group}=OPTION"), None
            elif not isinstance(option, str | None):
                yield override, Problem("a deleted group takes no value", key=text, fix=f"write ~{group}"), None
        elif option is None:
            if override.input_line is not None:
                fix = f"write ~{group} to switch the group off, or {group}=OPTION"
                yield (
                    override,
                    Problem("a group needs the name of an option", key=text, known=tuple(options), fix=fix),
                    None,
                )
        elif isinstance(option, str) and unknown:
            problem = Problem("unknown option", key=text, found=option, known=tuple(options))
            yield override, problem, nearest(option, options)
        elif unknown:
            yield override, Problem("unknown option", key=text, found=unknown[0], known=tuple(options)), None


def apply_all(tree: DictConfig, overrides: Sequence[Override], groups: Mapping[str, Any]) -> Iterator[Problem]:
    """Set the values of overrides one after the other; yield a problem for each that cannot be set.

    A key that was deleted although others are given in terms of it is put back, so that it is reported once.
    """
    deleted: list[tuple[Override, Any]] = []
    for override in overrides:
        key = override.key_or_group
        node = _plain_node(tree, key) if override.is_delete() and _has_key(tree, key) else None
        if problem := apply(tree, override, groups):
            yield problem
        elif override.is_delete():
            deleted.append((override, node))
    for override, node in reversed(deleted):
        key = override.key_or_group
        if _has_key(tree, key):  # given anew
            continue
        without = _unresolved(tree)
        whole = tree.copy()
        OmegaConf.update(whole, key, node, force_add=True)
        before = _unresolved(whole)
        if needing := [where for where, why in without.items() if before.get(where) != why]:
            OmegaConf.update(tree, key, node, force_add=True)
            what = f"{_listed(needing)} given in terms of this key"
            yield Problem(what, key=override.input_line or "", fix=f"set the key instead: {key}=...")


def _plain_node(tree: DictConfig, key: str) -> Any:
    """Return what stands at a key, interpolations as they are written."""
    node = OmegaConf.select(tree, key.rpartition(".")[0]) if "." in key else tree
    node = node._get_node(key.rpartition(".")[2]) if isinstance(node, DictConfig) else None
    return OmegaConf.to_container(node) if OmegaConf.is_config(node) else node and node._value()


def _unresolved(tree: DictConfig) -> dict[str, str]:
    """Return the interpolations that cannot be resolved: the key of each, and why."""
    found: dict[str, str] = {}

    def walk(node: Any, path: str) -> None:
        keys: Sequence[Any] = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
        for key in keys:
            where = f"{path}.{key}" if path else str(key)
            if OmegaConf.is_interpolation(node, key):
                try:
                    node[key]
                except OmegaConfBaseException as error:
                    found[where] = str(error)
            elif OmegaConf.is_config(child := node._get_node(key)) and not child._is_none():
                walk(child, where)

    walk(tree, "")
    return found


def _listed(keys: Sequence[str]) -> str:
    """Return a few keys and how many more there are, with the verb.

    >>> _listed(["a"]), _listed(["a", "b", "c", "d", "e"])
    ('a is', 'a, b, c and 2 more are')
    """
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{', '.join(keys[:3])}{more} {'is' if len(keys) == 1 else 'are'}"


def apply(tree: DictConfig, override: Override, groups: Mapping[str, Any]) -> Problem | None:
    """Set the value of an override in the tree; return the problem if that cannot be done."""
    key, value, text = override.key_or_group, override.value(), override.input_line or ""
    if (within := _list_within(tree, key)) and (override.is_delete() or not key[len(within) + 1 :].isdecimal()):
        return Problem(f"{within} is a list", key=text, fix=f"set the whole list: {within}=[...]")
    try:
        # what stands there may be in terms of facts that are not known yet, such as a number of epochs
        there = OmegaConf.select(tree, key, throw_on_missing=False, throw_on_resolution_failure=False) is not None
        if override.is_delete():
            if not _has_key(tree, key):
                return Problem(
                    "there is no such key to delete", key=text, found=key, known=_keys_beside(tree, key, groups)
                )
            parent, _, last = key.rpartition(".")
            with open_dict(tree):
                del (OmegaConf.select(tree, parent) if parent else tree)[last]
        elif override.is_add() and there and not isinstance(value, dict | list):
            return Problem("the key exists already", key=text, fix=f"write it without +: {text.lstrip('+')}")
        elif override.is_add() or override.is_force_add():
            _replace_schedules(tree, key, value)
            OmegaConf.update(tree, key, value, merge=True, force_add=True)
        elif not _has_key(tree, key):
            return _unknown_key(tree, key, text, groups)
        else:
            _replace_schedules(tree, key, value)
            OmegaConf.update(tree, key, value, merge=True)
    except (ConfigKeyError, ConfigAttributeError):  # within a mapping that was given as a whole
        return Problem(
            "the files do not mention all of these keys", key=text, fix=f"add them with two plus signs: ++{text}"
        )
    except OmegaConfBaseException as error:
        return Problem(first_line(error), key=text)
    return None


def _replace_schedules(tree: DictConfig, key: str, value: Any) -> None:
    """Put the schedules of a value in place of those in the tree.

    A mapping that names its schedule is a whole: keys of another schedule, merged with it, are mistakes that the user
    has not made. A mapping without a name changes single keys.
    """
    if not isinstance(value, Mapping):
        return
    if SCHEDULE in value and _has_key(tree, key):
        OmegaConf.update(tree, key, value, merge=False)
        return
    for name, child in value.items():
        _replace_schedules(tree, f"{key}.{name}", child)


def _list_within(tree: DictConfig, key: str) -> str:
    """Return the first list on the path of a key, "" without one."""
    node: Any = tree
    parts = key.split(".")
    for place, part in enumerate(parts):
        if isinstance(node, ListConfig):
            return ".".join(parts[:place])
        node = node._get_node(part, validate_access=False) if isinstance(node, DictConfig) else None
    return ""


def _has_key(tree: DictConfig, key: str) -> bool:
    node: Any = tree
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return OmegaConf.is_list(node)
        if part not in node.keys():  # noqa: SIM118 - `in node` is false for missing values
            return False
        node = node._get_node(part)
    return True


def _unknown_key(tree: DictConfig, key: str, text: str, groups: Mapping[str, Any]) -> Problem:
    """Return the problem of the first part of a dotted key that does not exist."""
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
        return Problem("the files do not mention this key", key=key, fix=f"add it with a plus sign: +{text}")
    else:
        known = list(dict.fromkeys([*known, *takes])) if where == key else known
    return Problem("unknown key", key=where, found=part, known=tuple(known))


def _keys_beside(tree: DictConfig, key: str, groups: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the full keys beside a key, and at the root the groups."""
    parent = key.rpartition(".")[0]
    node = OmegaConf.select(tree, parent) if parent else tree
    known = [f"{parent}.{k!s}" if parent else str(k) for k in node] if isinstance(node, DictConfig) else []
    return tuple(known if parent else [*known, *groups])


def _parameters(node: Any) -> list[str]:
    """Return the arguments of the registered part that a node names, if it names one."""
    name = node._get_node("name") if isinstance(node, DictConfig) and "name" in node else None
    name = name._value() if name is not None else None
    for kind, table in registry.REGISTRIES.items():
        if name in table.index():
            return [p.name for p in table.entry(name).parameters if p.name not in INJECTED.get(kind, ())]
    return []


# --- Hydra's remaining complaints ---------------------------------------------------------------------------


def explain(error: BaseException) -> Problem:
    """Return the problem that Hydra raised while composing."""
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"{mark.name}:{mark.line + 1}" if mark else "a configuration file"
        what = f"this is not YAML ({error.problem or error.context})"
        return Problem(what, key=where, fix="check colons and indentation")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        options = list(error.options or ())
        asking = re.match(r"In '([^']+)'", text)
        option = error.missing_cfg_file.rpartition("/")[2]
        what = f"the configuration {error.missing_cfg_file!r} does not exist; unknown option"
        return Problem(what, key=str(asking[1]) if asking else "", found=option, known=tuple(options))
    cause = error.__cause__
    if cause is not None and (not text.strip() or text.startswith("Error merging")):
        return Problem(f"{first_line(error)}: {first_line(cause)}" if text.strip() else first_line(cause))
    return Problem(f"the configuration cannot be composed: {first_line(error)}")


def in_quotes(value: str | Path) -> str:
    """Return a text as a value in Hydra's grammar, whatever signs it holds.

    >>> in_quotes("runs/it's, mine")
    "'runs/it\\\\'s, mine'"
    """
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", str(value))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
