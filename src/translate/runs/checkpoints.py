"""Checkpoints: one safetensors file each, written atomically, read without executing anything.

Tensors are named by what they are: ``network.<role>.<key>``, ``average.<role>.<key>``,
``optimizer.<role>.<number>.<key>``, ``memory.<name>.<key>``. The header carries
everything else as JSON: iteration, domain names, configuration, the optimizers' settings, and checksums.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from translate import __version__
from translate.errors import UserError
from translate.files import atomic_write
from translate.runs.folder import LAST, RunFolder

FORMAT = "translate checkpoint 1"
CHECKSUMS = "checksums"


class Stateful(Protocol):
    """State of a model beside its weights, such as a pool of images."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state as tensors by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take a state that `state_dict` has returned."""
        ...


class Averages(Protocol):
    """Moving averages of networks by role."""

    networks: nn.ModuleDict


class CheckpointedModel(Protocol):
    """A model whose state can be captured and restored, see `translate.models.base.TranslationModel`."""

    roles: tuple[str, ...]
    trained: tuple[str, ...]
    iteration: int
    memories: dict[str, Stateful]

    @property
    def ema(self) -> Averages:
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
    """What a file holds."""

    tensors: dict[str, Tensor]
    iteration: int
    domains: tuple[str, ...]
    config: dict[str, Any]
    optimizers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # role -> parameter groups

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors below a prefix, without it."""
        start = prefix + "."
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}


def capture(model: CheckpointedModel, domains: tuple[str, ...], config: Mapping[str, Any]) -> Checkpoint:
    """Return all that a model needs to go on exactly: networks, averages, memories, optimizers, iteration."""
    tensors: dict[str, Tensor] = {}
    optimizers: dict[str, list[dict[str, Any]]] = {}
    for role in model.roles:
        tensors.update({f"network.{role}.{k}": v for k, v in model.network(role).state_dict().items()})
    for role in model.ema.networks:
        tensors.update({f"average.{role}.{k}": v for k, v in model.ema.networks[role].state_dict().items()})
    for name, memory in model.memories.items():
        tensors.update({f"memory.{name}.{k}": v for k, v in memory.state_dict().items()})
    for role in model.trained:
        state = model.optimizer(role).state_dict()
        optimizers[role] = [_settings(group) for group in state["param_groups"]]
        for number, entries in state["state"].items():
            tensors.update({f"optimizer.{role}.{number}.{k}": torch.as_tensor(v) for k, v in entries.items()})
    tensors = {name: t.detach().to("cpu", memory_format=torch.contiguous_format) for name, t in tensors.items()}
    return Checkpoint(tensors, model.iteration, domains, dict(config), optimizers)


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in group.items()}


def restore(model: CheckpointedModel, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's networks, averages, memories, optimizers and iteration into a model, exactly."""
    restore_networks(model, checkpoint)
    for name, memory in model.memories.items():
        memory.load_state_dict(checkpoint.part(f"memory.{name}"))
    for role in model.trained:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in checkpoint.part(f"optimizer.{role}").items():
            number, key = name.split(".", 1)
            state.setdefault(int(number), {})[key] = tensor
        groups = [{k: tuple(v) if k == "betas" else v for k, v in g.items()} for g in checkpoint.optimizers[role]]
        optimizer = model.optimizer(role)
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, entries in optimizer.state.items():
            for key, value in entries.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    # a fused optimizer walks the memory: moments must lie as their parameter does
                    entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    model.iteration = checkpoint.iteration


def restore_networks(model: CheckpointedModel, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's networks and averages into a model: all that translating takes."""
    for role in model.roles:
        model.network(role).load_state_dict(checkpoint.part(f"network.{role}"))
    for role in model.ema.networks:
        model.ema.networks[role].load_state_dict(checkpoint.part(f"average.{role}"))


@contextmanager
def fitting(where: str) -> Iterator[None]:
    """Make one sentence, which begins with ``where``, of what is raised when a checkpoint does not fit a model."""
    try:
        yield
    except (RuntimeError, LookupError, ValueError) as error:
        said = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{where}: the checkpoint does not fit this configuration's networks ({said})") from error


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole and durable, see `translate.files.atomic_write`."""
    header = {
        "format": FORMAT,
        "version": __version__,
        "iteration": str(checkpoint.iteration),
        "domains": json.dumps(list(checkpoint.domains)),
        "config": json.dumps(checkpoint.config),
        "optimizers": json.dumps(checkpoint.optimizers),
    }
    header[CHECKSUMS] = json.dumps(checksums(checkpoint.tensors, header))
    atomic_write(path, save(checkpoint.tensors, metadata=header), durable=True)


def checksums(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of what a header says without its checksums, and of the tensors of each kind."""
    said = {key: value for key, value in header.items() if key != CHECKSUMS}
    found = {"header": hashlib.sha256(json.dumps(said, sort_keys=True).encode())}
    for name in sorted(tensors):
        tensor = tensors[name]
        of_kind = found.setdefault(_kind(name), hashlib.sha256())
        of_kind.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        of_kind.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return {kind: of_kind.hexdigest() for kind, of_kind in found.items()}


def _kind(name: str) -> str:
    return name.partition(".")[0]


def read(path: Path, parts: Collection[str] | None = None) -> Checkpoint:
    """Read a checkpoint; UserError for a file that is none, is cut short, or is not what was written.

    ``parts`` are the kinds of tensors that are wanted, such as ("network", "average"); None: all.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = [n for n in file.keys() if parts is None or _kind(n) in parts]  # noqa: SIM118 - no dict
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({error}); delete it to go on from the one before"
        ) from error
    if header.get("format") != FORMAT:
        found = header.get("format", "no format name")
        raise UserError(f"{path}: found {found!r} in the header, expected {FORMAT!r}")
    try:
        _check(tensors, header, parts)
        return Checkpoint(
            tensors,
            int(header["iteration"]),
            tuple(json.loads(header["domains"])),
            dict(json.loads(header["config"])),
            dict(json.loads(header["optimizers"])),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint (damaged: {error}); delete it to go on from the one before"
        ) from error


def _check(tensors: Mapping[str, Tensor], header: Mapping[str, str], parts: Collection[str] | None) -> None:
    """Raise ValueError if what was read is not what was written; a file without checksums is taken as it is."""
    if CHECKSUMS not in header:
        return
    written = json.loads(header[CHECKSUMS])
    wanted = {kind: sum_ for kind, sum_ in written.items() if parts is None or kind == "header" or kind in parts}
    found = checksums(tensors, header)
    differing = sorted(kind for kind in wanted.keys() | found.keys() if wanted.get(kind) != found.get(kind))
    if differing:
        raise ValueError(f"what is written of {', '.join(differing)} does not fit its checksum")


def newest(folder: Path) -> Checkpoint:
    """Return the newest checkpoint of a run folder; UserError without any."""
    return read(RunFolder(folder).choose(LAST)[1])
