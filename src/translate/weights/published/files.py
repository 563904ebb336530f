"""Read files of tensors from any source without executing anything in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.files.reading import require_file

State = dict[str, Tensor]

PREFIXES = (
    "module.",
    "_orig_mod.",
)  # before every name: by DataParallel, DistributedDataParallel and EMAs; by compiling
CHECKPOINT_STATES = ("state_dict", "ema_state_dict")
"""The keys of networks in a checkpoint of one network that also has counts, scores and the state of an optimizer."""
COUNTER = "n_averaged"  # of an EMA by torch, beside its network
UNNAMED = ""  # the name of a file's only network, if the file gives none


@dataclass(frozen=True)
class OfficialFile:
    """The tensors of a file's networks by the file's own names; UNNAMED for a file of one network."""

    path: Path
    networks: dict[str, State]


def read(path: Path) -> OfficialFile:
    """Read a torch file (of any version) or a safetensors file; UserError for a damaged file and for other content.

    In a safetensors file of several networks each name begins with the network, ``generator.from_rgb.weight``.
    """
    content = _by_network(_safetensors(path)) if path.suffix == ".safetensors" else _torch(path)
    if not content:
        raise UserError("the file holds no tensors", key=str(path))
    if all(isinstance(value, Tensor) for value in content.values()):
        networks = {UNNAMED: content}
    elif isinstance(content.get(CHECKPOINT_STATES[0]), Mapping):
        networks = {name: dict(content[name]) for name in CHECKPOINT_STATES if isinstance(content.get(name), Mapping)}
    elif all(isinstance(value, Mapping) for value in content.values()):
        networks = {str(name): dict(state) for name, state in content.items()}
    else:
        networks = {}
    if not networks or not all(_is_state(state) for state in networks.values()):
        raise UserError(
            key=str(path),
            found=Phrase(_outline(content)),
            expected="the tensors of one network by name, or those of several networks",
        )
    return OfficialFile(path, {name: _unwrapped(state) for name, state in networks.items()})


def read_network(path: Path, keys: Sequence[str]) -> State:
    """Return the tensors of one network in a torch or safetensors file: below the first of ``keys``, or by themselves.

    UserError for a damaged file and for other content.
    """
    content = _by_network(_safetensors(path)) if path.suffix == ".safetensors" else _torch(path)
    state = next((content[key] for key in keys if isinstance(content.get(key), Mapping)), content)
    if not state or not _is_state(state):
        raise UserError(key=str(path), found=Phrase(_outline(content)), expected="the tensors of a network by name")
    return _unwrapped(state)


def _safetensors(path: Path) -> dict[str, Any]:
    require_file(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"not a readable safetensors file ({error})", key=str(path)) from error


def _by_network(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return tensors by network if their names begin with those of several networks, one of them the generator."""
    by_network: dict[str, State] = {}
    for name, tensor in tensors.items():
        network, _, key = name.partition(".")
        by_network.setdefault(network, {})[key] = tensor
    return dict(by_network) if len(by_network) > 1 and "generator" in by_network else dict(tensors)


def _torch(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save`. Only tensors and plain containers are unpickled: nothing in it is executed."""
    require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old pickle protocols
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\w[\w.]*\w)", str(error))
        named = f" (it names {name[1]})" if name else ""
        raise UserError(
            f"the file holds more than tensors{named}, or is damaged; it is not loaded, since that could execute code",
            key=str(path),
        ) from error
    except _DAMAGED as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise UserError(f"not a readable torch file ({reason})", key=str(path)) from error
    if not isinstance(content, Mapping):
        raise UserError(key=str(path), found=Phrase(type(content).__name__), expected="tensors by name")
    return dict(content)


_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError)
"""Exceptions of torch for a file that is cut short or of another kind: torch reads on until something fails."""


def _is_state(state: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) and v.layout == torch.strided for k, v in state.items())


def _unwrapped(state: Mapping[str, Tensor]) -> State:
    """Return the tensors, detached, without the prefix of a wrapper."""
    result = {name: tensor.detach() for name, tensor in state.items()}
    for prefix in PREFIXES * 2:  # in either order
        if all(name.startswith(prefix) for name in result if name != COUNTER):
            result = {name.removeprefix(prefix): tensor for name, tensor in result.items()}
    return result


def _outline(content: Mapping[Any, Any]) -> str:
    kinds = [f"{name!r}: {type(value).__name__}" for name, value in list(content.items())[:3]]
    return "{" + ", ".join(kinds) + (", ..." if len(content) > 3 else "") + "}"
