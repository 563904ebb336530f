"""Load the weights of frozen networks from the files in which others released them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.files.reading import require_file
from translate.files.writing import atomic_write, check_digest, sha256_of
from translate.networks.frozen import Frozen
from translate.networks.layers.pretrained import Pretrained
from translate.networks.shipped_files import path_of
from translate.registry.registry import NETWORKS
from translate.runs import headers
from translate.runs.checkpoints import NETWORK
from translate.weights.format import Weights, build, read_any
from translate.weights.published.files import State, read_network

MAX_BYTES = 10_000_000_000
"""The largest file of a frozen network: it is read whole for its SHA-256."""

NUM_BATCHES = "num_batches_tracked"
"""Ending of a counter of batch norms that is not read in eval mode; files of PyTorch before 0.4 lack it."""


def load(network: Pretrained) -> None:
    """Give a frozen network the weights of its file.

    UserError, with the argument as its key, if no file is named, if it is missing or damaged, if its SHA-256 is not
    that of the network's arguments, or if its tensors do not fit.
    """
    if network.weights is None:
        raise UserError("this network needs a file of weights", key="weights", expected="the path of a file")
    path = path_of(network.weights)
    if not path.is_file():
        raise UserError("there is no such file", key="weights", found=network.weights)
    require_file(path, MAX_BYTES)
    check_digest(path, sha256_of(path), network.sha256)
    network.load_state_dict(_fitting(_state_of(network, path), network.state_dict(), path))


def _state_of(network: Pretrained, path: Path) -> State:
    """Return the tensors of a frozen network in its file, by the names that the network has for them."""
    if not isinstance(network, Frozen) or not headers.read(path).is_ours:
        return network.renamed(read_network(path, network.file_keys))
    state = read_any(path).inference_state(network.role)
    return {f"network.{key}": tensor for key, tensor in state.items()}


def write(state: State, path: Path) -> None:
    """Write the tensors of a frozen network to a safetensors file that `load` reads."""
    atomic_write(path, save({key: tensor.contiguous() for key, tensor in state.items()}), durable=True)


def with_pretrained(weights: Weights) -> Weights:
    """Return weights with the tensors of frozen networks that only a file on this machine holds.

    The result does not depend on these files any more. Networks that only losses read (the fact `loss_only`) are left
    to their files: no translation needs them.
    """
    tensors, networks = dict(weights.tensors), dict(weights.networks)
    for role, node in weights.networks.items():
        facts = NETWORKS.facts(node["name"])
        if "pretrained" not in facts or facts.get("loss_only") or weights.inference_state(role):
            continue
        network = build(node)
        assert isinstance(network, Pretrained), node
        try:
            load(network)
        except UserError as error:
            raise error.inside(f"model.networks.{role}") from error
        tensors |= {f"{NETWORK}.{role}.{key}": tensor for key, tensor in network.state_dict().items()}
        networks[role] = {key: value for key, value in node.items() if key != "weights"}
    return replace(weights, tensors=tensors, networks=networks)


def _fitting(state: State, reference: Mapping[str, Tensor], path: Path) -> State:
    """Return the tensors that a network has, of a file that may have more; UserError if one is missing or differs."""
    result: State = {}
    for key, own in reference.items():
        tensor = state.get(key, own if key.endswith(NUM_BATCHES) else None)
        if tensor is None:
            raise UserError(f"the file lacks the tensor {key}", key="weights", found=str(path))
        if tensor.shape != own.shape:
            raise UserError(
                f"the tensor {key} of {path} does not fit",
                key="weights",
                found=Phrase(f"shape {tuple(tensor.shape)}"),
                expected=str(tuple(own.shape)),
            )
        result[key] = tensor
    return result
