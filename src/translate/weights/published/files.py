"""Files of tensors from anywhere, read without executing what is in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from translate.errors import UserError

State = dict[str, Tensor]

PREFIX = "module."  # that wrappers for several GPUs put before every name
BARE = ""  # the name of a file's only network, where the file gives none


@dataclass(frozen=True)
class PublishedFile:
    """What a file holds: the tensors of its networks by the file's own names; BARE for a file of one network."""

    path: Path
    networks: dict[str, State]


def read(path: Path) -> PublishedFile:
    """Read a file of torch (of any age) or of safetensors; UserError for what is damaged or holds more than tensors.

    In a safetensors file of several networks the names begin with the network, ``generator.from_rgb.weight``.
    """
    content = _parted(_safetensors(path)) if path.suffix == ".safetensors" else _torch(path)
    if not content:
        raise UserError(f"{path}: holds no tensors")
    if all(isinstance(value, Tensor) for value in content.values()):
        networks = {BARE: content}
    elif all(isinstance(value, Mapping) for value in content.values()):
        networks = {str(name): dict(state) for name, state in content.items()}
    else:
        networks = {}
    if not networks or not all(_is_state(state) for state in networks.values()):
        raise UserError(
            f"{path}: found {_outline(content)}, expected the tensors of one network by name, or those of several"
        )
    return PublishedFile(path, {name: _bare(state) for name, state in networks.items()})


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from error


def _parted(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return tensors by network where their names begin with those of several, one of them the generator."""
    parted: dict[str, State] = {}
    for name, tensor in tensors.items():
        network, _, key = name.partition(".")
        parted.setdefault(network, {})[key] = tensor
    return dict(parted) if len(parted) > 1 and "generator" in parted else dict(tensors)


def _torch(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save`. Only tensors and plain containers are made of it: nothing in it is executed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on the age of a pickle
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\w[\w.]*\w)", str(error))
        named = f" (it names {found[1]})" if found else ""
        raise UserError(
            f"{path}: holds more than tensors{named}, or is damaged; it is not read, since that could execute what "
            "is in it"
        ) from error
    except _DAMAGED as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise UserError(f"{path}: not a readable file of torch ({reason})") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: found {type(content).__name__}, expected tensors by name")
    return dict(content)


_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError)
"""What torch raises in a file that is cut short or no file of its: it reads on until something does not fit."""


def _is_state(state: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) and v.layout == torch.strided for k, v in state.items())


def _bare(state: Mapping[str, Tensor]) -> State:
    """Return the tensors without the prefix of a wrapper, detached."""
    wrapped = all(name.startswith(PREFIX) for name in state)
    return {name.removeprefix(PREFIX) if wrapped else name: tensor.detach() for name, tensor in state.items()}


def _outline(content: Mapping[Any, Any]) -> str:
    kinds = [f"{name!r}: {type(value).__name__}" for name, value in list(content.items())[:3]]
    return "{" + ", ".join(kinds) + (", ..." if len(content) > 3 else "") + "}"
