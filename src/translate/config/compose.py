"""Compose a configuration with Hydra and check it: command line + conf + experiments -> RunConfig.

`load` is the whole way, for programs and for the command line. All problems, those of Hydra included, are raised as one
ConfigError.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, Node, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from translate.config import check as checks
from translate.config import sources, stages
from translate.config.hydra_search import TranslateSearchPath, join_search_path
from translate.config.length import NOMINAL, UNKNOWN_LENGTH, OfLength, settle
from translate.config.overrides import (
    HydraProblem,
    apply_all,
    explain,
    is_choice,
    mistaken_choices,
    read,
)
from translate.config.renamed import rename_in_tree
from translate.config.schema import RunConfig
from translate.config.search_path import EXPERIMENTS, groups, shipped
from translate.config.types import MISSING, UNKNOWN, holds_unknown
from translate.errors import ConfigError, Phrase, Problem, Problems, UserError, first_line
from translate.files import sha256_of
from translate.networks.shipped_files import path_of
from translate.registry import plugins
from translate.registry.registry import DATASETS, NETWORKS

if TYPE_CHECKING:
    from translate.data.datasets.base import Dataset

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


@dataclass(frozen=True)
class Prepared:
    """A checked configuration, and its data sets as the check has opened them (None if it did not)."""

    config: RunConfig
    datasets: "OpenDatasets | None" = None
    of_length: OfLength | None = None  # of a budget that is not yet converted to iterations


class OpenDatasets(NamedTuple):
    """The training and the validation split of an open data set."""

    train: "Dataset"
    val: "Dataset"


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
        activate_named_plugins(overrides)
    except UserError as error:
        own.extend(error.problems)
    register_resolvers()
    join_search_path(config_dir)
    try:
        words = stages.expanded(overrides, config_dir) if config_name == ROOT else overrides
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
    except HydraProblem as error:
        problems.append(explain(error))
        return None
    if chosen_as_values := list(_groups_as_values(tree)):
        problems.extend(chosen_as_values)
        return None  # every other problem follows from these
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
    hold `data.epoch_size` images; `${epochs:N,TIMES}` is so many times N epochs. `${share:0.5}` is so much
    of the run's iterations, at least one of them; of `NOMINAL` while a budget has yet to decide.
    `${stage:NAME}` is the run folder of another stage of the experiment, beside that of this run.
    `${variant:{paper: X, official_code: Y}}` is what the root's `variant` chooses.
    """

    def epochs(count: float, times: float = 1, *, _root_: Any) -> int:
        return round(count * times * math.ceil(_root_.data.epoch_size / _root_.data.batch_size))

    def share(part: float, *, _root_: Any) -> int:
        if not isinstance(part, int | float):
            raise UserError(key="share", found=part, expected="a number, as in ${share:0.5}")
        whole = NOMINAL if _root_.iterations is None else _root_.iterations
        return max(1, round(part * whole)) if isinstance(whole, int | float) else 1  # not a number: reported at its key

    def stage(name: str, *, _root_: Any) -> str:
        return stages.folder_of(name, _root_.folder)

    def variant(choices: Any, *, _root_: Any) -> Any:
        return choices[_root_.variant]

    OmegaConf.register_new_resolver("len", len, replace=True)
    OmegaConf.register_new_resolver("epochs", epochs, replace=True)
    OmegaConf.register_new_resolver("share", share, replace=True)
    OmegaConf.register_new_resolver("stage", stage, replace=True)
    OmegaConf.register_new_resolver("variant", variant, replace=True)


# --- from the tree to a configuration -----------------------------------------------------------------------


def finish(tree: DictConfig, scan: bool = True, problems: Problems | None = None) -> Prepared | None:
    """Return the checked configuration of a composed tree, and its data sets; the tree is not changed.

    Problems are appended to ``problems`` and the result is None. Without that list they raise ConfigError.
    """
    own: Problems = []
    prepared = _finish(tree, scan, own)
    if problems is not None:
        problems.extend(own)
    elif own:
        raise ConfigError(own)
    return prepared


def _finish(tree: DictConfig, scan: bool, problems: Problems) -> Prepared | None:
    try:
        plugins.activate(name for name in tree.get("plugins") or [] if isinstance(name, str))
    except UserError as error:
        problems.extend(error.problems)
    except OmegaConfBaseException as error:
        problems.append(Problem(first_line(error), key="plugins"))
    problems.extend(
        Problem("the data set determines this value", key=f"data.{key}", fix="remove the key")
        for key in FOUND
        if OmegaConf.select(tree, f"data.{key}", default=None, throw_on_resolution_failure=False) is not None
    )
    # Nothing is downloaded for a configuration that is wrong anyway.
    if not scan or _fetches(plain(tree, [], only="data").get("data")):
        config = _check_with(_unseen(tree), tree, problems)
        if problems or not scan:
            return None if problems or config is None else Prepared(config)
    datasets = open_datasets(tree, problems)
    facts = _unseen(tree) if datasets is None else facts_of(datasets, tree)
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


def _fetches(node: Any) -> bool:
    """Return whether opening the data set of a node, or one of its parts, may download it."""
    name = node.get("name") if isinstance(node, Mapping) else None
    if not isinstance(name, str) or name not in DATASETS.index():
        return False
    facts = DATASETS.facts(name)
    parts = node.get(facts.get("nested"))
    return bool(facts.get("fetches")) or (isinstance(parts, Mapping) and any(map(_fetches, parts.values())))


def _check_with(facts: Mapping[str, Any], tree: DictConfig, problems: Problems) -> RunConfig | None:
    """Return the checked configuration of a tree with the facts of the data filled in."""
    filled = tree.copy()
    for key, value in facts.items():
        OmegaConf.update(filled, f"data.{key}", value, force_add=True)
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


def open_datasets(tree: DictConfig, problems: Problems) -> OpenDatasets | None:
    """Return both splits of the data set of a tree; None, and its problems, if it cannot be opened."""
    node = plain(tree, [], only="data").get("data")
    unsound: Problems = []
    values = checks.parse_data(node, unsound)
    if unsound or holds_unknown(values):
        return None  # the checks report it
    try:
        make = DATASETS.get(values["name"])
        opened = OpenDatasets(
            *(make(**values["arguments"], split=split, domains=values["domains"]) for split in OpenDatasets._fields)
        )
        labels = [[labels.names for labels in _label_sets(split, values["labels"])] for split in opened]
    except UserError as error:
        problems.extend(problem.inside("data") for problem in error.problems)
        return None
    train, val = opened
    if tuple(train.domains) != tuple(val.domains):
        problems.append(_unequal("domains", [train.domains], [val.domains]))
    elif labels[0] != labels[1]:
        problems.append(_unequal("labels", *labels))
    return opened


def _unequal(kind: str, train: Sequence[Sequence[str]], val: Sequence[Sequence[str]]) -> Problem:
    train_names, val_names = ("; ".join(map(", ".join, names)) for names in (train, val))
    return Problem(
        f"the training and the validation split must have the same {kind}",
        key="data",
        found=Phrase(f"{val_names} in the validation split"),
        expected=train_names,
    )


def facts_of(datasets: OpenDatasets, tree: DictConfig) -> dict[str, Any]:
    """Return the facts of an open data set by key of ``data``."""
    train = datasets.train
    choice = OmegaConf.select(tree, "data.labels", default=None, throw_on_resolution_failure=False)
    labels = _label_sets(train, choice)
    return {
        "domains": list(train.domains),
        "num_domains": len(train.domains),
        "label_sets": [{"kind": labels.kind, "names": list(labels.names)} for labels in labels],
        "num_labels": sum(len(labels.names) for labels in labels),
        "epoch_size": train.epoch_size(),
    }


def _label_sets(dataset: Any, choice: str | None) -> Any:
    """Return the label sets of a data set; () where it has no labels and no choice was made."""
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


NOT_OF_A_RUN = (stages.STAGE, stages.STAGES)
"""Keys of the root that say which run is meant, and are no part of its configuration."""


def plain(tree: DictConfig, problems: Problems, only: str | None = None) -> dict[str, Any]:
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
            problems.append(Problem(first_line(error), key=path))
            return UNKNOWN
        if isinstance(value, DictConfig):
            return {str(name): walk(value, name, f"{path}.{name!s}") for name in value}
        if isinstance(value, ListConfig):
            return [walk(value, index, f"{path}[{index}]") for index in range(len(value))]
        return value

    return {str(key): walk(tree, key, str(key)) for key in tree if only in (None, key) and key not in NOT_OF_A_RUN}
