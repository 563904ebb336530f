"""Begin a run with trained networks: the weights of roles of another run, with fresh optimizers."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from translate.config.schema import StartConfig
from translate.errors import Phrase, UserError, errors_inside
from translate.files.writing import check_digest, sha256_of
from translate.models.base import TranslationModel
from translate.runs.checkpoints import NETWORK
from translate.weights.format import Weights, read_any

log = logging.getLogger("translate")


def start(model: TranslationModel, config: StartConfig) -> None:
    """Give networks of a new model the weights of its source; UserError if the file has changed or does not fit."""
    path = Path(config.weights).expanduser()
    if not path.is_file():
        raise UserError("there is no such file", key="start_from.weights", found=config.weights)
    with errors_inside("start_from"):
        check_digest(path, sha256_of(path), config.sha256)
    weights = read_any(path)
    for role, source in config.roles.items():
        try:
            take(model, role, weights, source)
        except UserError as error:
            raise error.inside("start_from.roles") from error
    fresh = [role for role in model.trained if role not in config.roles]
    log.info(
        "start from %s: %s%s",
        path,
        ", ".join(role if role == source else f"{role} (its {source})" for role, source in config.roles.items()),
        f"; with random weights: {', '.join(fresh)}" if fresh else "",
    )


def take(model: TranslationModel, role: str, weights: Weights, source: str) -> None:
    """Give the network of a role, and its moving average, the weights of a role of ``weights``.

    A network without trained weights there takes the average, and an average without one takes the trained weights.
    UserError if they do not fit.
    """
    state = weights.group(NETWORK, source) or weights.inference_state(source)
    _load(model.network(role), state, role, source)
    if role in model.ema:
        _load(model.ema[role], weights.inference_state(source), role, source)


def _load(network: nn.Module, state: Mapping[str, Tensor], role: str, source: str) -> None:
    own = network.state_dict()
    for name in [*own, *state]:
        shapes = [None if tensors.get(name) is None else tuple(tensors[name].shape) for tensors in (state, own)]
        if shapes[0] != shapes[1]:
            there, here = ("no such tensor" if shape is None else f"the shape {shape}" for shape in shapes)
            raise UserError(
                f"the network {role} does not take the weights of {source}, whose tensor {name} differs",
                key=role,
                found=Phrase(there),
                expected=here,
                fix="give both runs the same network, or name the roles that fit by start_from.roles",
            )
    network.load_state_dict(dict(state))
