"""Bring weights in: from published files, our own file or the Hub, to a file of ours or to a run that can go on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from translate.config import check
from translate.config.compose import load
from translate.config.schema import RunConfig, to_mapping, to_yaml
from translate.errors import UserError
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build
from translate.weights import format, hub
from translate.weights.format import NETWORK, Weights
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions


def read(places: Sequence[str], wishes: ImportOptions) -> Weights:
    """Return the weights in files on this machine or on the Hub, published ones or one of ours."""
    paths = [hub.fetch(place) if hub.is_address(place) else Path(place).expanduser() for place in places]
    if len(paths) > 1 or not _is_ours(paths[0]):
        return detect.read(paths, wishes)
    if replace(wishes, licence=None) != ImportOptions():
        raise UserError(f"weights: {places[0]} says itself what it holds; leave out everything but licence")
    weights = format.read(paths[0])
    return weights if wishes.licence is None else replace(weights, licence=wishes.licence)


def _is_ours(path: Path) -> bool:
    return path.suffix == ".safetensors" and format.header_of(path).get("format") == format.FORMAT


def begin_run(weights: Weights, folder: Path, overrides: Sequence[str]) -> list[str]:
    """Make a run folder whose first checkpoint has the weights, so that `resume` trains on; return what was done.

    ``overrides`` say the rest of the configuration, the data first of all. Networks that the weights lack, such as a
    discriminator, are initialised from the seed. UserError where the configuration does not suit the weights.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"to: {folder} is there already and is not empty; name a new folder")
    config = _configuration(weights, folder, overrides)
    model = build.build_model(config)
    taken, fresh = [], []
    for role in model.roles:
        trained = weights.part(NETWORK, role) or weights.learned(role)
        wanted = model.network(role).state_dict()
        if wanted and not trained:
            fresh.append(role)
            continue
        model.network(role).load_state_dict(trained)
        taken.append(role)
        if role in model.ema:
            model.ema[role].load_state_dict(weights.learned(role))
    RunFolder(folder).begin(to_yaml(config), [*overrides], config.seed)
    state = checkpoints.capture(model, tuple(config.data.domains or ()), to_mapping(config))
    checkpoints.write(state, RunFolder(folder).checkpoint(0))
    told = [f"{folder}: a run of {weights.model} with the weights of {', '.join(taken)}"]
    if fresh:
        told.append(f"not in the file, initialised from seed {config.seed}: {', '.join(fresh)}")
    return [*told, f"train on: python -m translate resume={folder}"]


def _configuration(weights: Weights, folder: Path, overrides: Sequence[str]) -> RunConfig:
    """Return the configuration of the overrides with the networks that the weights are of, checked as a whole."""
    config = load([f"model={weights.model}", f"data.image_size={weights.image_size}", *overrides])
    tree: dict[str, Any] = to_mapping(config)
    tree["model"]["networks"] = {**tree["model"]["networks"], **weights.networks}
    handed = {key: value for key, value in weights.arguments.items() if key in tree["model"] and key != "label_sets"}
    tree["model"].update(handed)
    tree["folder"] = str(folder)
    return check.check(tree)
