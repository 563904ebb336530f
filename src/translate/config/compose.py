"""Compose a configuration with Hydra and finish it: command line + conf + experiments -> RunConfig.

`load` is the whole way, for programs and for the command line alike. Whatever is wrong, Hydra's complaints
included, becomes one ConfigError with a sentence for each problem.
"""

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

from translate import plugins
from translate.config import check as checks
from translate.config.hydra_search import TranslateSearchPath, join_search_path
from translate.config.overrides import (
    HydraProblem,
    apply,
    explain,
    first_line,
    is_choice,
    mistaken_choices,
    read,
)
from translate.config.schema import RunConfig
from translate.config.search_path import EXPERIMENTS, groups, shipped
from translate.config.types import MISSING, UNKNOWN
from translate.errors import ConfigError, UserError
from translate.registry import DATASETS

ROOT = "train"
VERSION_BASE = "1.3"

_NOT_SCANNED = ["?", "??"]  # stands for domains that are not known, so that other problems can still be found


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
    problems.extend(sentence for override in values if (sentence := apply(tree, override, known)))
    return tree


def fill_name(tree: DictConfig, choices: Any) -> None:
    """Fill in `name` from the chosen groups if it is null: the experiment, else the model."""
    if OmegaConf.select(tree, "name", default=None) is None:
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
    """Make `${len:...}` known to OmegaConf: the length of a list, null of null."""
    OmegaConf.register_new_resolver("len", lambda value: None if value is None else len(value), replace=True)


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
    domains = find_domains(tree, problems) if scan else None
    filled = tree.copy()
    if domains is None and _is_null(tree, "data.domains"):
        domains = _NOT_SCANNED
    if domains is not None:
        OmegaConf.update(filled, "data.domains", list(domains), force_add=True)
    config = checks.parse(plain(filled, problems), problems)
    return None if problems else config


def find_domains(tree: DictConfig, problems: list[str]) -> list[str] | None:
    """Return the domain names that the data set finds, both parts opened; None if it cannot be opened."""
    node = plain(tree, [], only="data").get("data")
    unsound: list[str] = []
    values = checks.parse_data({**node, "num_domains": None} if isinstance(node, dict) else node, unsound)
    if unsound or any(value is UNKNOWN for value in (*values.values(), *values.get("arguments", {}).values())):
        return None  # said by the checks
    try:
        make = DATASETS.get(values["name"])
        train, held_out = (
            make(**values["arguments"], split=split, domains=values["domains"]) for split in ("train", "val")
        )
    except UserError as error:
        problems.append(str(error) if str(error).startswith("data") else f"data: {error}")
        return None
    if tuple(train.domains) != tuple(held_out.domains):
        problems.append(
            f"data: the training part has the domains {', '.join(train.domains)}, the validation part "
            f"{', '.join(held_out.domains)}; both must have the same"
        )
    return list(train.domains)


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


def _is_null(tree: DictConfig, path: str) -> bool:
    try:
        return OmegaConf.select(tree, path, default=0) is None
    except OmegaConfBaseException:
        return False
