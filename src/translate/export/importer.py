"""Import official weights, a weights file or a file on the Hub: to a weights file, or to a run that trains on."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from translate.config import imported
from translate.config.schema import RunConfig, to_mapping, to_yaml
from translate.downloads import hub
from translate.errors import UserError
from translate.files.writing import sha256_of
from translate.networks.layers.pretrained import Pretrained
from translate.registry.registry import NETWORKS
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.sizes import ImageSize
from translate.training import build
from translate.training.start import take
from translate.weights import pretrained, signatures
from translate.weights.format import Weights
from translate.weights.load import weights_of
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions


def read(places: Sequence[str], options: ImportOptions, verify: signatures.Key | None = None) -> Weights:
    """Return the weights at a place, see `weights_of`, or in several official files that belong together.

    ``verify`` is a public key: files without its signature are refused before any of them is read.
    """
    if len(places) == 1:
        return weights_of(places[0], options=options, verify=verify)
    if verify is not None:
        for place in places:
            signatures.verify(place, verify)
    return detect.read(
        [hub.fetch(each) if hub.is_address(each) else Path(each).expanduser() for each in places], options
    )


@dataclass(frozen=True)
class BegunRun:
    """A run folder with imported weights: the roles that have them, and the roles that are initialized anew."""

    folder: Path
    imported: tuple[str, ...]
    initialized: tuple[str, ...]
    seed: int  # of the initialization


def begin_run(weights: Weights, folder: Path, overrides: Sequence[str]) -> BegunRun:
    """Write a run folder whose first checkpoint has the weights, so that `resume` trains on.

    ``overrides`` complete the configuration, the data first of all. Networks that the weights lack, such as a
    discriminator, are initialized from the seed. UserError if the configuration does not fit the weights.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} already exists and is not empty", key="to", fix="name a new folder")
    with ExitStack() as on_error:
        weights = _with_files(weights, RunFolder(folder), on_error)
        config = _configuration(weights, folder, overrides)
        model = build.build_model(config)
        on_error.pop_all()
    imported, initialized = [], []
    for role in model.roles:
        if isinstance(model.network(role), Pretrained):
            imported.append(role)
            continue
        if model.network(role).state_dict() and not weights.inference_state(role):
            initialized.append(role)
            continue
        take(model, role, weights, role)
        imported.append(role)
    RunFolder(folder).begin(to_yaml(config), [*overrides], config.seed)
    checkpoint = checkpoints.capture(model, tuple(config.data.domains or ()), to_mapping(config))
    checkpoints.write(checkpoint, RunFolder(folder).checkpoint(0))
    return BegunRun(folder, tuple(imported), tuple(initialized), config.seed)


def _with_files(weights: Weights, run: RunFolder, on_error: ExitStack) -> Weights:
    """Write the tensors of pretrained networks to files of a run folder, since checkpoints do not hold them.

    Returns the weights whose configuration names these files. ``on_error`` removes them.
    """
    networks = dict(weights.networks)
    for role, node in weights.networks.items():
        state = weights.inference_state(role)
        if "pretrained" not in NETWORKS.facts(node["name"]) or not state:
            continue
        path = run.pretrained(role)
        on_error.callback(shutil.rmtree, run.path, ignore_errors=True)
        pretrained.write(state, path)
        networks[role] = {**node, "weights": str(path), "sha256": sha256_of(path)}
    return replace(weights, networks=networks)


def _configuration(weights: Weights, folder: Path, overrides: Sequence[str]) -> RunConfig:
    """Return the checked configuration of the overrides, with the networks and arguments of the weights."""
    words = [f"model={weights.model}", f"data.image_size={ImageSize.of(weights.image_size).plain}", *overrides]
    arguments = {key: value for key, value in weights.arguments.items() if key != "label_sets"}
    return imported.load(words, weights.networks, arguments, str(folder))
