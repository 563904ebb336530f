"""The configuration of a run whose networks exist already."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, open_dict
from omegaconf.errors import InterpolationKeyError

from translate.config.compose import compose, finish
from translate.config.schema import RunConfig
from translate.errors import ConfigError, Problems


def load(overrides: Sequence[str], networks: Mapping[str, Any], arguments: Mapping[str, Any], folder: str) -> RunConfig:
    """Return the checked configuration of overrides with these networks by role; ConfigError with all problems.

    ``arguments`` replace those of the model that it has. ``folder`` becomes the folder of the run.
    """
    problems: Problems = []
    tree, prepared = compose(overrides, problems=problems), None
    if tree is not None:
        with open_dict(tree):
            _put_networks(tree, networks)
            tree.model.update({key: value for key, value in arguments.items() if key in tree.model})
            tree.folder = folder
        prepared = finish(tree, problems=problems)
    if prepared is None or problems:
        raise ConfigError(problems)
    return prepared.config


def _put_networks(tree: DictConfig, networks: Mapping[str, Any]) -> None:
    """Put networks into a composed tree; its other networks then take their sizes from them.

    A size of another network stays as it was if it refers to an argument that the new network does not have.
    """
    before = copy.deepcopy(tree).model.networks
    tree.model.networks.update(networks)
    for role in tree.model.networks.keys() - networks.keys():
        node = tree.model.networks[role]
        for key in node:
            try:
                node[key]
            except InterpolationKeyError:
                node[key] = before[role][key]
