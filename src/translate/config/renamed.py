"""Old names of configuration keys, values and options: accepted for one release, with a warning that names the new one.

This module is the only place that knows old names. Delete it, and its callers, when the release is over.
"""

import functools
import logging
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from translate.errors import NOTHING, Problem
from translate.registry.registry import MODELS, NETWORKS, Registry

if TYPE_CHECKING:  # `translate.load` reads saved configurations without OmegaConf
    from omegaconf import DictConfig

_OFFICIAL_METRICS = ("fid", "kid", "prdc", "lpips", "lpips_source")

RENAMED = {
    "data.bad_images": "data.max_bad_fraction",
    "data.val_share": "data.val_fraction",
    "data.parts.*.val_share": "data.parts.*.val_fraction",
    "trainer.recompute": "trainer.activation_checkpointing",
    "trainer.hung_after": "trainer.hang_timeout",
    "model.average_decay": "model.ema_decay",
    "model.networks.*.num_halvings": "model.networks.*.num_downsamplings",
    **{f"metrics.{name}_published": f"metrics.{name}_official" for name in _OFFICIAL_METRICS},
}
"""Old key -> new key; * is any role or part. Only the last name of a key changes."""

VALUES = {
    "variant": {"published": "official_code"},
    "trainer.convolutions": {"quick": "fast"},
    "metrics.*.name": {f"{name}_published": f"{name}_official" for name in _OFFICIAL_METRICS},
    "best": {f"{name}_published": f"{name}_official" for name in _OFFICIAL_METRICS},
    "data.split_by": {"published": "stargan_v1"},
    "data.parts.*.split_by": {"published": "stargan_v1"},
}
"""Key -> old value -> new value."""

OPTIONS: dict[str, dict[str, str]] = {
    "metrics": {"content_published": "content_official", "published": "official"},
}
"""Configuration group -> old option -> new option."""

REMOVED = {
    "memory": "'python -m translate show --memory' names the setting that fits a card",
    "fit": "'python -m translate show --memory' names the setting that fits a card",
}
"""Removed configuration group -> what to do instead."""

_OWNERS: dict[str, Registry] = {"model.average_decay": MODELS, "model.networks.*.num_halvings": NETWORKS}
"""Keys that are arguments of a registered class. A plug-in's class may still have an argument of the old name."""

log = logging.getLogger("translate")


@functools.cache  # one warning a name, however often a configuration is composed
def warn(old: str, new: str) -> None:
    """Log that an old name was used."""
    log.warning("%s is now %s; the old name works in this release only", old, new)


# --- the command line ---------------------------------------------------------------------------------------


def renamed_word(word: str, tell: Callable[[str, str], None] = warn) -> str:
    """Return a word of the command line with the new names; +, ++, ~ and several values stay as they are.

    >>> renamed_word("++data.val_share=0.1", tell=lambda old, new: None)
    '++data.val_fraction=0.1'
    """
    prefix, name, value = re.fullmatch(r"([+~]*)([^=]*)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    key, package = re.fullmatch(r"([^@]*)(.*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    new = _new_key(key)
    if new != key:
        tell(key, new)
    for inside, inside_new in _below(new):
        value = _key_in_mapping(value, inside, inside_new, new, tell)
    for old_value, new_value in {**VALUES.get(new, {}), **OPTIONS.get(new, {})}.items():
        changed = re.sub(rf"(?<![\w./-]){re.escape(old_value)}(?![\w./-])", new_value, value)
        if changed != value:
            tell(f"{new}={old_value}", f"{new}={new_value}")
            value = changed
    return f"{prefix}{new}{package}{value}"


def removed(key: str) -> Problem | None:
    """Return the problem of a configuration group that does not exist any more; None for any other key."""
    if key not in REMOVED:
        return None
    return Problem("this configuration group was removed", key=key, found=NOTHING, fix=REMOVED[key])


def _new_key(key: str) -> str:
    for old, new in RENAMED.items():
        parts, length = key.split("."), old.count(".") + 1
        if _matches(old, ".".join(parts[:length])) and not _is_argument(old):
            return ".".join([*parts[: length - 1], _last(new), *parts[length:]])
    return key


def _is_argument(old: str) -> bool:
    """Return whether a registered class, of a plug-in, has an argument of the old name."""
    entries = _OWNERS[old].index().values() if old in _OWNERS else ()
    return any(parameter.name == _last(old) for entry in entries for parameter in entry.parameters)


def _below(key: str) -> Iterator[tuple[str, str]]:
    """Yield the old and the new last name of the keys below a key, whose value may be a mapping."""
    parts = key.split(".")
    for old, new in RENAMED.items():
        pattern = old.split(".")
        if len(pattern) > len(parts) and _matches(".".join(pattern[: len(parts)]), key) and not _is_argument(old):
            yield _last(old), _last(new)


def _key_in_mapping(value: str, old: str, new: str, key: str, tell: Callable[[str, str], None]) -> str:
    changed = re.sub(rf"(?<=[{{,\s]){old}(?=\s*:)", new, value) if "{" in value else value
    if changed != value:
        tell(f"{old} in {key}", new)
    return changed


# --- composed and saved configurations ----------------------------------------------------------------------


def rename_in_tree(tree: "DictConfig") -> None:
    """Give the new names to the keys, values and interpolations of a composed tree, with warnings."""
    from omegaconf import OmegaConf, open_dict

    for old, new in RENAMED.items():
        for path, parent in _parents(tree, old.split(".")[:-1]):
            before, after = _last(old), _last(new)
            if before in parent.keys() and not _takes(old, parent.get("name")):  # noqa: SIM118 - false for ???
                node = parent._get_node(before)
                with open_dict(parent):
                    parent[after] = node if OmegaConf.is_config(node) else node._value()
                    del parent[before]
                warn(f"{path}.{before}", f"{path}.{after}")
    for key, values in VALUES.items():
        for path, parent in _parents(tree, key.split(".")[:-1]):
            last = _last(key)
            value = parent._get_node(last)._value() if last in parent.keys() else None  # noqa: SIM118
            if isinstance(value, str) and value in values:
                parent[last] = values[value]
                where = f"{path}.{last}" if path else last
                warn(f"{where}={value}", f"{where}={values[value]}")
    _rename_interpolations(tree)


def rename_defaults(defaults: Any) -> None:
    """Give the new names to options in the defaults list of a file, with warnings."""
    for item in defaults:
        for key in list(item) if isinstance(item, Mapping) else ():
            group = str(key).rpartition("/")[2].partition("@")[0]
            if (new := OPTIONS.get(group, {}).get(item[key])) is not None:
                warn(f"{group}={item[key]}", f"{group}={new}")
                item[key] = new


def rename_saved(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that a run has saved, with the new names; without warnings, since nobody types it."""
    renamed = _copied(tree)
    for old, new in RENAMED.items():
        for _, parent in _parents(renamed, old.split(".")[:-1]):
            if _last(old) in parent and not _takes(old, parent.get("name")):
                parent[_last(new)] = parent.pop(_last(old))
    for key, values in VALUES.items():
        for _, parent in _parents(renamed, key.split(".")[:-1]):
            if isinstance(value := parent.get(_last(key)), str):
                parent[_last(key)] = values.get(value, value)
    return renamed


def rename_network(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a network that a weights file holds, `name` and arguments, with the new names."""
    renamed = rename_saved({"model": {"networks": {"any": node}}})["model"]["networks"]["any"]
    return dict(renamed)


def _copied(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    return [_copied(value) for value in node] if isinstance(node, list) else node


def _takes(old: str, name: Any) -> bool:
    """Return whether the class that a node names, of a plug-in, has an argument of the old name."""
    entry = _OWNERS[old].index().get(name) if old in _OWNERS and isinstance(name, str) else None
    return entry is not None and any(parameter.name == _last(old) for parameter in entry.parameters)


def _parents(node: Any, pattern: list[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the mapping of each place that a pattern of keys names."""
    is_config = hasattr(node, "_get_node")  # of OmegaConf, not a plain mapping
    if not isinstance(node, MutableMapping) or (is_config and _is_special(node)):
        return
    if not pattern:
        yield path, node
        return
    for key in [key for key in node.keys() if pattern[0] in ("*", key)]:  # noqa: SIM118 - false for ???
        child = node._get_node(key) if is_config else node.get(key)  # type: ignore[attr-defined]
        yield from _parents(child, pattern[1:], f"{path}.{key}" if path else str(key))


def _rename_interpolations(node: Any) -> None:
    """Rename keys within interpolations such as ${model.networks.generator_ab.num_halvings}."""
    from omegaconf import DictConfig, OmegaConf

    keys = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        child = node._get_node(key)
        if OmegaConf.is_config(child) and not _is_special(child):
            _rename_interpolations(child)
        elif isinstance(text := child._value(), str) and "${" in text and (renamed := _interpolation(text)) != text:
            warn(text, renamed)
            node[key] = renamed


def _is_special(node: Any) -> bool:
    """Return whether a node is null, ??? or an interpolation."""
    return bool(node._is_none() or node._is_missing() or node._is_interpolation())


def _interpolation(text: str) -> str:
    """Return an interpolation with the new names.

    >>> _interpolation("${variant:{paper:0.0,published:9.99e-5}}")
    '${variant:{paper:0.0,official_code:9.99e-5}}'
    >>> _interpolation("${model.networks.generator_ab.num_halvings}")
    '${model.networks.generator_ab.num_downsamplings}'
    """
    for old, new in RENAMED.items():
        if not _is_argument(old):
            pattern = re.escape(old).replace(r"\*", r"[^.{}]+")
            text = re.sub(rf"\$\{{{pattern}\}}", lambda m, n=new: f"{m[0].rpartition('.')[0]}.{_last(n)}}}", text)  # type: ignore[misc]
    if "${variant:" in text:
        for old_value, new_value in VALUES["variant"].items():
            text = re.sub(rf"(?<=[{{,\s]){old_value}(?=\s*:)", new_value, text)
    return text


def _matches(pattern: str, key: str) -> bool:
    parts, names = pattern.split("."), key.split(".")
    return len(parts) == len(names) and all(part in ("*", name) for part, name in zip(parts, names, strict=True))


def _last(key: str) -> str:
    return key.rpartition(".")[2]
