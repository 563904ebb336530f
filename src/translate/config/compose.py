"""Compose a configuration with Hydra and check it: command line + conf + experiments -> RunConfig.

`load` is the whole way, for programs and for the command line. All problems, those of Hydra included, are raised as one
ConfigError.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, Node, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from translate.config import check as checks
from translate.config import sources, stages
from translate.config.datasets import FOUND, OpenDatasets, facts_of, fetches, open_datasets, unseen
from translate.config.hydra_search import TranslateSearchPath, join_search_path
from translate.config.interpolations import bounded
from translate.config.length import UNKNOWN_LENGTH, OfLength, settle
from translate.config.overrides import (
    HydraProblem,
    apply_all,
    explain,
    is_choice,
    mistaken_choices,
    read,
)
from translate.config.renamed import rename_in_tree
from translate.config.resolvers import register_resolvers
from translate.config.schema import RunConfig
from translate.config.search_path import EXPERIMENTS, groups, shipped
from translate.config.tree import plain
from translate.errors import ConfigError, Problem, Problems, UserError, first_line
from translate.files.writing import sha256_of
from translate.networks.shipped_files import path_of
from translate.registry import plugins, trust
from translate.registry.registry import NETWORKS

ROOT = "train"
VERSION_BASE = "1.3"


@dataclass(frozen=True)
class Prepared:
    """A checked configuration, and its data sets as the check has opened them (None if it did not)."""

    config: RunConfig
    datasets: "OpenDatasets | None" = None
    of_length: OfLength | None = None  # of a budget that is not yet converted to iterations


def load(overrides: Sequence[str] = (), config_dir: str | None = None, scan: bool = True) -> RunConfig:
    """Return the checked configuration of a command line's overrides, or raise ConfigError with all problems.

    With ``scan`` the data set is opened: its problems are reported and ``data.domains`` is filled in.
    """
    return prepare(overrides, config_dir, scan).config


def prepare(overrides: Sequence[str] = (), config_dir: str | None = None, scan: bool = True) -> Prepared:
    """Return what `load` does, with the open data sets, so that a run does not open them again."""
    problems: Problems = []
    tree = compose(overrides, config_dir=config_dir, problems=problems)
    prepared = finish(tree, scan=scan, problems=problems) if tree is not None else None
    if prepared is None or problems:
        raise ConfigError(problems)
    return prepared


def compose(
    overrides: Sequence[str] = (),
    config_name: str = ROOT,
    config_dir: str | None = None,
    problems: Problems | None = None,
) -> DictConfig | None:
    """Return the composed tree, with interpolations, and with ``name`` filled in.

    Problems are appended to ``problems``, and as much is composed as possible (None: nothing). Without that list they
    raise ConfigError.
    """
    own: Problems = []
    try:
        take_named_code(overrides)
    except UserError as error:
        own.extend(error.problems)
    register_resolvers()
    join_search_path(config_dir)
    try:
        words = stages.expanded(overrides, config_dir) if config_name == ROOT else overrides
        with bounded():
            tree = _compose(words, config_name, own)
    except UserError as error:
        own.extend(error.problems)
        tree = None
    if problems is not None:
        problems.extend(own)
    elif own:
        raise ConfigError(own)
    return tree


def _compose(overrides: Sequence[str], config_name: str, problems: Problems) -> DictConfig | None:
    known = groups(None if TranslateSearchPath.config_dir is None else Path(TranslateSearchPath.config_dir))
    parsed = read(overrides, problems)
    doubtful = set()
    for override, problem, meant in list(mistaken_choices(parsed, known)):
        problems.append(problem)
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
        problems.extend(settle(tree, {override.key_or_group for override in parsed}))
        fill_name(tree, choices)
    return tree


def _compose_once(
    config_name: str, parsed: Sequence[Override], known: Mapping[str, Any], problems: Problems
) -> DictConfig | None:
    """Let Hydra compose the chosen files, then set the values one by one, to report every problem of them."""
    values = [o for o in parsed if not is_choice(o, known) and not o.key_or_group.startswith("hydra.")]
    choices = [str(override.input_line) for override in parsed if override not in values]
    try:
        tree = hydra_compose(config_name, choices, return_hydra_config=True)
    except UserError:
        raise
    except (*HydraProblem, ValueError, TypeError, AttributeError) as error:  # of a file that is no configuration
        problems.append(explain(error))
        return None
    if chosen_as_values := list(_groups_as_values(tree)):
        problems.extend(chosen_as_values)
        return None  # every other problem follows from these
    if tree.get("trust"):
        problems.append(Problem("a file cannot trust code", key="trust", fix="name the packages on the command line"))
    rename_in_tree(tree)
    for key in FOUND:  # so that what is written in terms of them can be read and set before the data is seen
        if isinstance(tree.get("data"), DictConfig) and key not in tree.data:
            OmegaConf.update(tree, f"data.{key}", None, force_add=True)
    problems.extend(apply_all(tree, values, known))
    return tree


def _groups_as_values(tree: DictConfig) -> Iterator[Problem]:
    """Yield a problem for each group that a file sets to a name, as in ``model: stargan_v2_small``."""
    for group in ("model", "data", "trainer", "logger", "metrics"):
        node = tree._get_node(group) if group in tree else None
        value = node._value() if isinstance(node, Node) and not OmegaConf.is_config(node) else None
        if isinstance(value, str) and not OmegaConf.is_missing(tree, group):
            yield Problem(
                "a file chooses the option of a group in its defaults list",
                key=group,
                found=value,
                expected="a mapping",
                fix=f"write in the file, before its keys:  defaults: [{{override /{group}: {value}}}]",
            )


def fill_name(tree: DictConfig, choices: Any) -> None:
    """Fill in `name` from the chosen groups if it is null: the experiment, and its stage if any, else the model."""
    if not OmegaConf.is_interpolation(tree, "name") and OmegaConf.select(tree, "name", default=None) is None:
        with open_dict(tree):
            experiment = choices.get(EXPERIMENTS)
            tree.name = "/".join(filter(None, (experiment, tree.get(stages.STAGE)))) or choices.get("model")


def take_named_code(overrides: Sequence[str]) -> None:
    """Take the code that the user names by overrides: trust ``trust=[...]``, and activate ``plugins=[...]``.

    The folder `conf` of a plug-in takes part in composing.
    """
    for key, take in (("trust", trust.trust), ("plugins", plugins.activate)):
        for text in overrides:
            if text.split("=")[0].lstrip("+") == key:
                try:
                    value = OverridesParser.create().parse_override(text).value()
                except HydraException:
                    return  # composing says it better
                if isinstance(value, list) and all(isinstance(name, str) for name in value):
                    take(value)


# --- from the tree to a configuration -----------------------------------------------------------------------


def finish(tree: DictConfig, scan: bool = True, problems: Problems | None = None) -> Prepared | None:
    """Return the checked configuration of a composed tree, and its data sets; the tree is not changed.

    Problems are appended to ``problems`` and the result is None. Without that list they raise ConfigError.
    """
    own: Problems = [] if problems is None else problems  # with those before: nothing is downloaded if there are any
    with bounded():
        prepared = _finish(tree, scan, own)
    if problems is None and own:
        raise ConfigError(own)
    return prepared


def _finish(tree: DictConfig, scan: bool, problems: Problems) -> Prepared | None:
    try:
        named = tree.get("plugins")
        trust.activate_saved(name for name in (named if OmegaConf.is_list(named) else []) if isinstance(name, str))
    except UserError as error:
        problems.extend(error.problems)
    except OmegaConfBaseException as error:
        problems.append(Problem(first_line(error), key="plugins"))
    problems.extend(
        Problem("the data set determines this value", key=f"data.{key}", fix="remove the key")
        for key in FOUND
        if OmegaConf.select(tree, f"data.{key}", default=None, throw_on_resolution_failure=False) is not None
    )
    domains = OmegaConf.select(tree, "data.domains", default=None, throw_on_resolution_failure=False)
    if not (domains is None or OmegaConf.is_list(domains)):  # the domains of the data would take its place
        found = OmegaConf.to_container(domains) if OmegaConf.is_config(domains) else domains
        problems.append(Problem(key="data.domains", found=found, expected="a list, each a text, or null"))
    # Nothing is downloaded for a configuration that is wrong anyway.
    if sources.on_hub(tree):
        _check_with(unseen(tree), tree, problems)
        if problems:
            return None
        tree = sources.downloaded(tree, problems)
        if problems:
            return None
    if not scan or fetches(plain(tree, [], only="data").get("data")):
        config = _check_with(unseen(tree), tree, problems)
        if problems or not scan:
            return None if problems or config is None else Prepared(config)
    datasets = open_datasets(tree, problems)
    facts = unseen(tree) if datasets is None else facts_of(datasets, tree)
    config = _check_with(facts, tree, problems)
    if problems or config is None:
        return None
    return Prepared(config, datasets, None if config.iterations != UNKNOWN_LENGTH else _of_length(tree, facts))


def _of_length(tree: DictConfig, facts: Mapping[str, Any]) -> OfLength:
    """Return the function that checks the tree with a number of iterations."""

    def of_length(iterations: int) -> RunConfig:
        problems: Problems = []
        longer = tree.copy()
        longer.iterations = iterations
        config = _check_with(facts, longer, problems)
        if config is None:
            raise ConfigError(problems)
        return config

    return of_length


def _check_with(facts: Mapping[str, Any], tree: DictConfig, problems: Problems) -> RunConfig | None:
    """Return the checked configuration of a tree with the facts of the data filled in."""
    filled = tree.copy()
    for key, value in facts.items():
        OmegaConf.update(filled, f"data.{key}", value, merge=False, force_add=True)
    before = len(problems)
    config = checks.parse(sources.resolved(plain(filled, problems), problems), problems)
    return None if config is None or len(problems) > before else _with_digests(config)


def _with_digests(config: RunConfig) -> RunConfig:
    """Return a configuration that identifies the files of frozen networks by their SHA-256, as a resume checks."""
    networks = {}
    for role, node in config.model.networks.items():
        facts = NETWORKS.facts(node["name"])
        named = "pretrained" in facts and not facts.get("of_role") and node.get("sha256") is None
        digest = {"sha256": sha256_of(path_of(node["weights"]))} if named else {}
        networks[role] = {**node, **digest}
    return replace(config, model=replace(config.model, networks=networks))
