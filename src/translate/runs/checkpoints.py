"""Checkpoints: one safetensors file each, written atomically, read without executing anything.

The group of a tensor is the first word of its name: ``network.<role>.<key>``, ``ema.<role>.<key>``,
``optimizer.<role>.<number>.<key>`` and ``state.<name>.<key>``. The header holds the rest as JSON: iteration, domain
names, configuration, the optimizers' settings, and checksums. Files of format 1, which had other names for two groups,
are renamed when they are read.
"""

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from translate import __version__
from translate.errors import Phrase, UserError
from translate.files.reading import loads, require_file
from translate.files.writing import atomic_open
from translate.networks.layers.pretrained import Pretrained
from translate.runs import tensor_files
from translate.runs.folder import LAST, RunFolder
from translate.runs.saved_config import require_shape

log = logging.getLogger("translate")

FORMAT = "translate checkpoint 2"
FORMAT_1 = "translate checkpoint 1"
CHECKSUMS = "checksums"
NETWORK, EMA, OPTIMIZER, STATE = "network", "ema", "optimizer", "state"
"""The groups of tensors: trained networks, their moving averages, optimizer states, and other state such as pools."""

GROUPS_OF_FORMAT_1 = {EMA: "average", STATE: "memory"}
"""Group -> the word by which files of format 1 call it, where it differs."""


class Stateful(Protocol):
    """State of a model beside its weights, such as a pool of images."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state as tensors by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take a state that `state_dict` has returned."""
        ...


class MovingAverages(Protocol):
    """Moving averages of networks by role."""

    networks: nn.ModuleDict


class CheckpointedModel(Protocol):
    """A model whose state can be captured and restored, see `translate.models.base.TranslationModel`."""

    roles: tuple[str, ...]
    trained: tuple[str, ...]
    iteration: int
    stateful: dict[str, Stateful]
    target_domains: tuple[str, ...]

    @property
    def ema(self) -> MovingAverages:
        """Return the moving averages."""
        ...

    def network(self, role: str) -> nn.Module:
        """Return the network of a role."""
        ...

    def optimizer(self, role: str) -> Optimizer:
        """Return the optimizer of a trained role."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file."""

    tensors: dict[str, Tensor]
    iteration: int
    domains: tuple[str, ...]
    config: dict[str, Any]
    optimizers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # role -> parameter groups

    def group(self, *prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with the words of ``prefix``, by the rest of their names."""
        start = ".".join(prefix) + "."
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}


def capture(model: CheckpointedModel, domains: tuple[str, ...], config: Mapping[str, Any]) -> Checkpoint:
    """Return the whole state of a model in CPU memory, which on a CPU is the model's own, see `state_of`."""
    state = state_of(model, domains, config)
    tensors = {name: t.to("cpu", memory_format=torch.contiguous_format) for name, t in state.tensors.items()}
    return replace(state, tensors=tensors)


def state_of(model: CheckpointedModel, domains: tuple[str, ...], config: Mapping[str, Any]) -> Checkpoint:
    """Return networks, EMA, other state, optimizers and iteration of a model; its tensors are those in use.

    ``domains`` are those of the data; a model may name domains of its own. Pretrained networks are left out: they never
    change, and their files are named in the configuration.
    """
    domains = model.target_domains or domains
    tensors: dict[str, Tensor] = {}
    optimizers: dict[str, list[dict[str, Any]]] = {}
    for role in stored_roles(model):
        tensors.update(_named(model.network(role).state_dict(), NETWORK, role))
    for role in model.ema.networks:
        tensors.update(_named(model.ema.networks[role].state_dict(), EMA, role))
    for name, stateful in model.stateful.items():
        tensors.update(_named(stateful.state_dict(), STATE, name))
    for role in model.trained:
        state = model.optimizer(role).state_dict()
        optimizers[role] = [_settings(group) for group in state["param_groups"]]
        for number, entries in state["state"].items():
            tensors.update(_named({k: torch.as_tensor(v) for k, v in entries.items()}, OPTIMIZER, role, str(number)))
    tensors = {name: tensor.detach() for name, tensor in tensors.items()}
    return Checkpoint(tensors, model.iteration, domains, dict(config), optimizers)


def stored_roles(model: CheckpointedModel) -> list[str]:
    """Return the roles whose networks are written into checkpoints: all but pretrained ones."""
    return [role for role in model.roles if not isinstance(model.network(role), Pretrained)]


def _named(tensors: Mapping[str, Tensor], *prefix: str) -> dict[str, Tensor]:
    start = ".".join(prefix)
    return {f"{start}.{key}": tensor for key, tensor in tensors.items()}


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in group.items()}


def restore(model: CheckpointedModel, checkpoint: Checkpoint) -> None:
    """Put the whole state of a checkpoint into a model, so that training continues exactly."""
    restore_networks(model, checkpoint)
    for name, stateful in model.stateful.items():
        stateful.load_state_dict(checkpoint.group(STATE, name))
    for role in model.trained:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in checkpoint.group(OPTIMIZER, role).items():
            number, key = name.split(".", 1)
            state.setdefault(int(number), {})[key] = tensor
        groups = [{k: tuple(v) if k == "betas" else v for k, v in g.items()} for g in checkpoint.optimizers[role]]
        optimizer = model.optimizer(role)
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, entries in optimizer.state.items():
            for key, value in entries.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    # a fused optimizer reads raw memory, so a moment needs the strides of its parameter
                    entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    model.iteration = checkpoint.iteration


def restore_networks(model: CheckpointedModel, checkpoint: Checkpoint) -> None:
    """Put the networks and the EMA of a checkpoint into a model, which is enough to translate."""
    for role in stored_roles(model):
        model.network(role).load_state_dict(checkpoint.group(NETWORK, role))
    for role in model.ema.networks:
        model.ema.networks[role].load_state_dict(checkpoint.group(EMA, role))


@contextmanager
def explain_mismatch(where: str) -> Iterator[None]:
    """Turn the exception of a checkpoint that does not fit a model into a UserError with ``where`` as its key."""
    try:
        yield
    except UserError:
        raise
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        raise UserError(f"the checkpoint does not fit this configuration's networks ({reason})", key=where) from error


# --- file ---------------------------------------------------------------------------------------------------


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole and durable, see `translate.files.writing.atomic_open`."""
    header = {
        "format": FORMAT,
        "version": __version__,
        "iteration": str(checkpoint.iteration),
        "domains": json.dumps(list(checkpoint.domains)),
        "config": json.dumps(checkpoint.config),
        "optimizers": json.dumps(checkpoint.optimizers),
    }
    header[CHECKSUMS] = json.dumps(checksums(checkpoint.tensors, header))
    with atomic_open(path) as file:
        tensor_files.write(file, checkpoint.tensors, header)


def checksums(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of a header without its checksums, and of each group of tensors."""
    content = {key: value for key, value in header.items() if key != CHECKSUMS}
    digests = {"header": hashlib.sha256(json.dumps(content, sort_keys=True).encode())}
    for name in sorted(tensors):
        tensor = tensors[name]
        digest = digests.setdefault(_group_of(name), hashlib.sha256())
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor_files.bytes_of(tensor))
    return {group: digest.hexdigest() for group, digest in digests.items()}


def _group_of(name: str) -> str:
    return name.partition(".")[0]


def read(path: Path, groups: Collection[str] | None = None) -> Checkpoint:
    """Read a checkpoint; UserError for a file that is not one, is cut short, or differs from its checksums.

    ``groups`` selects groups of tensors, such as ("network", "ema"); None: all.
    """
    if not os.path.lexists(path):
        raise UserError("no such checkpoint", key=str(path))
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            stored = _stored_groups(header, path)
            wanted = None if groups is None else {stored.get(group, group) for group in groups}
            names = [name for name in file.keys() if wanted is None or _group_of(name) in wanted]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, str(error)) from error
    try:
        _verify(tensors, header, wanted, path)
        checkpoint = Checkpoint(
            _renamed(tensors, stored),
            int(header["iteration"]),
            tuple(map(str, loads(header["domains"]))),
            dict(loads(header["config"])),
            {role: [dict(group) for group in groups] for role, groups in loads(header["optimizers"]).items()},
        )
    except UserError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _unreadable(path, f"damaged: {error}") from error
    require_shape(checkpoint.config, str(path))
    return checkpoint


def _stored_groups(header: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return the groups whose names differ in a file; UserError if its format is unknown."""
    if header.get("format") == FORMAT:
        return {}
    if header.get("format") == FORMAT_1:
        return GROUPS_OF_FORMAT_1
    found = header.get("format", Phrase("no format name"))
    raise UserError("this is not a checkpoint", key=str(path), found=found, expected=f"{FORMAT!r} in the header")


def _renamed(tensors: Mapping[str, Tensor], stored: Mapping[str, str]) -> dict[str, Tensor]:
    """Return tensors by today's names; ``stored`` maps a group to its name in the file."""
    names = {old: new for new, old in stored.items()}
    return {
        f"{names.get(group, group)}.{rest}": tensor
        for name, tensor in tensors.items()
        for group, _, rest in [name.partition(".")]
    }


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(
        f"not a readable checkpoint ({reason})",
        key=str(path),
        fix="delete the file to continue from the checkpoint before it",
    )


def _verify(
    tensors: Mapping[str, Tensor], header: Mapping[str, str], groups: Collection[str] | None, path: Path
) -> None:
    """Raise ValueError if tensors or header differ from their checksums, or a file of today's format has none.

    Early files of format 1 had no checksums: they pass with a warning.
    """
    if CHECKSUMS not in header and header.get("format") == FORMAT_1:
        log.warning("%s has no checksums, as early versions wrote it, so damage cannot be noticed", path)
        return
    if CHECKSUMS not in header:
        raise ValueError("the checksums are missing")
    written = loads(header[CHECKSUMS])
    expected = {group: sum_ for group, sum_ in written.items() if groups is None or group in ("header", *groups)}
    actual = checksums(tensors, header)
    differing = sorted(group for group in expected.keys() | actual.keys() if expected.get(group) != actual.get(group))
    if differing:
        raise ValueError(f"wrong checksum of {', '.join(differing)}")


def newest(folder: Path) -> Checkpoint:
    """Return the newest checkpoint of a run folder; UserError without any."""
    return read(RunFolder(folder).choose(LAST)[1])
