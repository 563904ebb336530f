"""The data sets of a configuration, and the values of ``data`` that they determine."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from translate.config import check as checks
from translate.config.ranges import numbers_are_in_range
from translate.config.tree import plain
from translate.config.types import holds_unknown
from translate.errors import Phrase, Problem, Problems, UserError
from translate.registry.registry import DATASETS

if TYPE_CHECKING:
    from translate.data.datasets.base import Dataset

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

IN_EPOCHS = ("crop_until",)
"""Keys of ``data`` that may be counted in epochs, and so need the open data set."""


class OpenDatasets(NamedTuple):
    """The training and the validation split of an open data set."""

    train: "Dataset"
    val: "Dataset"


def open_datasets(tree: DictConfig, problems: Problems) -> OpenDatasets | None:
    """Return both splits of the data set of a tree; None, and its problems, if it cannot be opened."""
    node = plain(tree, [], only="data").get("data")
    if isinstance(node, Mapping):
        node = {key: value for key, value in node.items() if key not in IN_EPOCHS}
    unsound: Problems = []
    values = checks.parse_data(node, unsound)
    unsound.extend(numbers_are_in_range({"data": values}))  # a billion images would not fit into memory
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


def unseen(tree: DictConfig) -> dict[str, Any]:
    """Return stand-ins for the facts of the data; domains that the user named stay."""
    named = OmegaConf.select(tree, "data.domains", default=None, throw_on_resolution_failure=False)
    if not isinstance(named, ListConfig):
        return _NOT_SCANNED
    return {**_NOT_SCANNED, "domains": list(named), "num_domains": len(named)}


def fetches(node: Any) -> bool:
    """Return whether opening the data set of a node, or one of its parts, may download it."""
    name = node.get("name") if isinstance(node, Mapping) else None
    if not isinstance(name, str) or name not in DATASETS.index():
        return False
    facts = DATASETS.facts(name)
    parts = node.get(facts.get("nested"))
    return bool(facts.get("fetches")) or (isinstance(parts, Mapping) and any(map(fetches, parts.values())))
