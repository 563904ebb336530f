"""Compose a configuration with Hydra and finish it: command line + conf + experiments -> RunConfig.

`load` is the whole way, for programs and for the command line alike. Whatever is wrong, Hydra's complaints
included, becomes one ConfigError with a sentence for each problem.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from translate.config import check as checks
from translate.config.hydra_search import TranslateSearchPath, join_search_path
from translate.config.overrides import (
    HydraProblem,
    apply_all,
    explain,
    first_line,
    is_choice,
    mistaken_choices,
    read,
)
from translate.config.renamed import rename_in_tree
from translate.config.schema import RunConfig
from translate.config.search_path import EXPERIMENTS, groups, shipped
from translate.config.types import MISSING, UNKNOWN, holds_unknown
from translate.errors import ConfigError, UserError
from translate.registry import plugins
from translate.registry.registry import DATASETS

ROOT = "train"
VERSION_BASE = "1.3"

_UNSEEN = ["?", "??"]
_NOT_SCANNED = {
    "domains": _UNSEEN,
    "num_domains": 2,
    "label_sets": [{"kind": "classes", "names": _UNSEEN}],
    "num_labels": 2,
    "epoch_size": 1,
}
"""What stands for facts of the data that are not known, so that other problems can still be found."""

FOUND = [key for key in _NOT_SCANNED if key != "domains"]  # never said by anyone


def load(overrides: Sequence[str] = (), config_dir: str | None = None, scan: bool = True) -> RunConfig:
    """Return the checked configuration of a command line's overrides, or raise ConfigError with all problems.

    With `scan`, the data set is opened: its problems are found and `data.domains` is filled in.
    """
    problems: list[str] = []
    tree = compose(overrides, config_dir=config_dir, problems=problems)
    config = finish(tree, scan=scan, problems=problems) if tree is not None else None
    if config is None or problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return config


def compose(
    overrides: Sequence[str] = (),
    config_name: str = ROOT,
    config_dir: str | None = None,
    problems: list[str] | None = None,
) -> DictConfig | None:
    """Return the composed tree, interpolations and all, with `name` filled in.

    Problems are appended to `problems`, and as much is composed as can be (None: nothing); without that list
    they raise ConfigError.
    """
    found: list[str] = []
    try:
        activate_named_plugins(overrides)
    except UserError as error:
        found.append(str(error))
    register_resolvers()
    join_search_path(config_dir)
    tree = _compose(overrides, config_name, found)
    if problems is not None:
        problems.extend(found)
    elif found:
        raise ConfigError(found)
    return tree


def _compose(overrides: Sequence[str], config_name: str, problems: list[str]) -> DictConfig | None:
    known = groups(None if TranslateSearchPath.config_dir is None else Path(TranslateSearchPath.config_dir))
    parsed = read(overrides, problems)
    doubtful = set()
    for override, sentence, meant in list(mistaken_choices(parsed, known)):
        problems.append(sentence)
        place = parsed.index(override)
        parsed[place : place + 1] = read([f"{override.key_or_group}={meant}"], []) if meant else []
        if not meant:
            doubtful.add(override.key_or_group)
    with initialize_config_dir(str(shipped("conf")), job_name="train", version_base=VERSION_BASE):
        tree = _compose_once(config_name, parsed, known, problems)
    if tree is None or doubtful & {"model", "data"}:
        return None  # what else is wrong depends on the choice
    choices = tree.hydra.runtime.choices
    with open_dict(tree):
        del tree["hydra"]
    if config_name == ROOT:
        fill_name(tree, choices)
    return tree


def _compose_once(
    config_name: str, parsed: Sequence[Override], known: Mapping[str, Any], problems: list[str]
) -> DictConfig | None:
    """Let Hydra compose the chosen files, then set the values one by one, to find every problem of theirs."""
    values = [o for o in parsed if not is_choice(o, known) and not o.key_or_group.startswith("hydra.")]
    choices = [str(override.input_line) for override in parsed if override not in values]
    try:
        tree = hydra_compose(config_name, choices, return_hydra_config=True)
    except HydraProblem as error:
        problems.append(explain(error))
        return None
    rename_in_tree(tree)
    for key in FOUND:  # so that what is written in terms of them can be read and set before the data is seen
        if isinstance(tree.get("data"), DictConfig) and key not in tree.data:
            OmegaConf.update(tree, f"data.{key}", None, force_add=True)
    problems.extend(apply_all(tree, values, known))
    return tree


def fill_name(tree: DictConfig, choices: Any) -> None:
    """Fill in `name` from the chosen groups if it is null: the experiment, else the model."""
    if not OmegaConf.is_interpolation(tree, "name") and OmegaConf.select(tree, "name", default=None) is None:
        with open_dict(tree):
            tree.name = choices.get(EXPERIMENTS) or choices.get("model")


def activate_named_plugins(overrides: Sequence[str]) -> None:
    """Activate the plug-ins of an override `plugins=[...]`, whose `conf` takes part in composing."""
    for text in overrides:
        if text.split("=")[0].lstrip("+") == "plugins":
            try:
                value = OverridesParser.create().parse_override(text).value()
            except HydraException:
                return  # composing says it better
            if isinstance(value, list) and all(isinstance(name, str) for name in value):
                plugins.activate(value)


def register_resolvers() -> None:
    """Make our resolvers known to OmegaConf.

    `${len:LIST}` is the length of a list. `${epochs:N}` is N epochs in iterations, an epoch being as many batches as
    hold `data.epoch_size` images. `${share:0.5}` is so much of the run's iterations, at least one of them.
    `${variant:{paper: X, official_code: Y}}` is what the root's `variant` chooses.
    """

    def epochs(count: float, *, _root_: Any) -> int:
        return round(count * math.ceil(_root_.data.epoch_size / _root_.data.batch_size))

    def share(part: float, *, _root_: Any) -> int:
        if not isinstance(part, int | float):
            raise ValueError(f"share: found {part!r}, expected a number, as in ${{share:0.5}}")
        whole = _root_.iterations
        return max(1, round(part * whole)) if isinstance(whole, int | float) else 1  # no number: told where it stands

    def variant(choices: Any, *, _root_: Any) -> Any:
        return choices[_root_.variant]

    OmegaConf.register_new_resolver("len", len, replace=True)
    OmegaConf.register_new_resolver("epochs", epochs, replace=True)
    OmegaConf.register_new_resolver("share", share, replace=True)
    OmegaConf.register_new_resolver("variant", variant, replace=True)


# --- from the tree to a configuration -----------------------------------------------------------------------


def finish(tree: DictConfig, scan: bool = True, problems: list[str] | None = None) -> RunConfig | None:
    """Return the checked configuration of a composed tree; nothing is changed in the tree.

    Problems are appended to `problems` and the result is None; without that list they raise ConfigError.
    """
    found: list[str] = []
    config = _finish(tree, scan, found)
    if problems is not None:
        problems.extend(found)
    elif found:
        raise ConfigError(found)
    return config


def _finish(tree: DictConfig, scan: bool, problems: list[str]) -> RunConfig | None:
    try:
        plugins.activate(name for name in tree.get("plugins") or [] if isinstance(name, str))
    except (UserError, OmegaConfBaseException) as error:
        problems.append(str(error))
    problems.extend(
        f"data.{key}: this is found in the data; remove the key"
        for key in FOUND
        if OmegaConf.select(tree, f"data.{key}", default=None, throw_on_resolution_failure=False) is not None
    )
    # Nothing is downloaded for a configuration that is wrong anyway.
    if not scan or _fetches(plain(tree, [], only="data").get("data")):
        config = _check_with(_unseen(tree), tree, problems)
        if problems or not scan:
            return None if problems else config
    facts = find_facts(tree, problems)
    config = _check_with(_unseen(tree) if facts is None else facts, tree, problems)
    return None if problems else config


def _fetches(node: Any) -> bool:
    """Return whether opening the data set of a node, or one of its parts, may download it."""
    name = node.get("name") if isinstance(node, Mapping) else None
    if not isinstance(name, str) or name not in DATASETS.index():
        return False
    facts = DATASETS.facts(name)
    parts = node.get(facts.get("nested"))
    return bool(facts.get("fetches")) or (isinstance(parts, Mapping) and any(map(_fetches, parts.values())))


def _check_with(facts: Mapping[str, Any], tree: DictConfig, problems: list[str]) -> RunConfig | None:
    """Return the checked configuration of a tree with the facts of the data filled in."""
    filled = tree.copy()
    for key, value in facts.items():
        OmegaConf.update(filled, f"data.{key}", value, force_add=True)
    return checks.parse(plain(filled, problems), problems)


def find_facts(tree: DictConfig, problems: list[str]) -> dict[str, Any] | None:
    """Return what the data set knows of itself, by key of `data`, both parts opened; None if it cannot be opened."""
    node = plain(tree, [], only="data").get("data")
    unsound: list[str] = []
    values = checks.parse_data(node, unsound)
    if unsound or holds_unknown(values):
        return None  # said by the checks
    try:
        make = DATASETS.get(values["name"])
        train, held_out = (
            make(**values["arguments"], split=split, domains=values["domains"]) for split in ("train", "val")
        )
        labels, labels_held_out = (_label_sets(dataset, values["labels"]) for dataset in (train, held_out))
    except UserError as error:
        problems.append(str(error) if str(error).startswith("data") else f"data: {error}")
        return None
    if tuple(train.domains) != tuple(held_out.domains):
        problems.append(
            f"data: the training part has the domains {', '.join(train.domains)}, the validation part "
            f"{', '.join(held_out.domains)}; both must have the same"
        )
    elif [found.names for found in labels] != [found.names for found in labels_held_out]:
        names = ["; ".join(", ".join(found.names) for found in part) for part in (labels, labels_held_out)]
        problems.append(
            f"data: the training part has the labels {names[0]}, the validation part {names[1]}; both must have the "
            "same"
        )
    return {
        "domains": list(train.domains),
        "num_domains": len(train.domains),
        "label_sets": [{"kind": labels.kind, "names": list(labels.names)} for labels in labels],
        "num_labels": sum(len(labels.names) for labels in labels),
        "epoch_size": train.epoch_size(),
    }


def _label_sets(dataset: Any, choice: str | None) -> Any:
    """Return the label sets of a data set; none where there are none and none are asked for."""
    try:
        return dataset.label_sets(choice)
    except UserError:
        if choice is not None:
            raise
        return ()


def _unseen(tree: DictConfig) -> dict[str, Any]:
    """Return stand-ins for the facts of the data; domains that the user named stay."""
    named = OmegaConf.select(tree, "data.domains", default=None, throw_on_resolution_failure=False)
    if not isinstance(named, ListConfig):
        return _NOT_SCANNED
    return {**_NOT_SCANNED, "domains": list(named), "num_domains": len(named)}


def plain(tree: DictConfig, problems: list[str], only: str | None = None) -> dict[str, Any]:
    """Return the tree without interpolations as dicts and lists; `only` resolves a single key of the root.

    What cannot be resolved is reported and becomes UNKNOWN; a missing value stays ???.
    """

    def walk(node: Any, key: Any, path: str) -> Any:
        if OmegaConf.is_missing(node, key):
            return MISSING
        try:
            value = node[key]
        except InterpolationToMissingValueError:
            return UNKNOWN  # the missing value itself is reported
        except OmegaConfBaseException as error:
            problems.append(f"{path}: {first_line(error)}")
            return UNKNOWN
        if isinstance(value, DictConfig):
            return {str(name): walk(value, name, f"{path}.{name!s}") for name in value}
        if isinstance(value, ListConfig):
            return [walk(value, index, f"{path}[{index}]") for index in range(len(value))]
        return value

    return {str(key): walk(tree, key, str(key)) for key in tree if only in (None, key)}
