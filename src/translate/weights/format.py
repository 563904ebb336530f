"""Our file of weights: one safetensors file with all that translating takes, read without executing anything.

Tensors are named as in checkpoints, ``network.<role>.<key>`` and ``average.<role>.<key>``; where a role has both, the
average is what translates. ``extra.<published name>`` are tensors of a published file that our networks do not have,
kept so that the file can be written again. The header is safetensors metadata: ``format``, ``version`` (of this
package), and the other fields of `Weights` as JSON.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from translate import __version__
from translate.errors import UserError
from translate.files import atomic_write
from translate.registry.registry import NETWORKS
from translate.runs.checkpoints import FORMAT as CHECKPOINT_FORMAT
from translate.runs.checkpoints import Checkpoint

FORMAT = "translate weights 1"
NETWORK, AVERAGE, EXTRA = "network", "average", "extra"

Node = dict[str, Any]
"""A part with its arguments, as in a configuration: {name: ..., ...}."""


@dataclass(frozen=True)
class Weights:
    """What a file holds. Only `model`, `networks`, `image_size` and the tensors are needed to translate."""

    tensors: dict[str, Tensor]
    model: str  # key of MODELS and TRANSLATIONS
    networks: dict[str, Node]  # of every role that the file holds
    image_size: int  # height and width in pixels
    arguments: Node = field(default_factory=dict)  # of the model, such as latent_size
    domains: tuple[str, ...] = ()
    label_sets: tuple[Node, ...] = ()  # {kind: attributes or classes, names} of each data set, as in data.label_sets
    iteration: int | None = None
    config: Node | None = None  # the whole configuration of the run, as in its config.yaml
    data: Node = field(default_factory=dict)  # crop: how pictures become squares; train, val: images and fingerprint
    licence: str | None = None  # a tag such as cc-by-4.0
    metrics: tuple[Node, ...] = ()  # what was measured of them: each a protocol, figures, and how they were made
    published: Node | None = None  # layout: its name; absent: tensors that the published file did not have
    version: str = __version__

    @property
    def averaged(self) -> tuple[str, ...]:
        """Return the roles that have an average."""
        return tuple(role for role in self.networks if any(k.startswith(f"{AVERAGE}.{role}.") for k in self.tensors))

    def part(self, *prefix: str) -> dict[str, Tensor]:
        """Return the tensors below a prefix, without it."""
        start = ".".join(prefix) + "."
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}

    def learned(self, role: str) -> dict[str, Tensor]:
        """Return the tensors of a role as they translate: the average where there is one."""
        return self.part(AVERAGE, role) or self.part(NETWORK, role)

    def without(self, *kinds: str) -> "Weights":
        """Return the same without some kinds of tensors."""
        return replace(self, tensors={n: t for n, t in self.tensors.items() if n.partition(".")[0] not in kinds})


def of_checkpoint(checkpoint: Checkpoint, data: Node | None = None, metrics: Sequence[Node] = ()) -> Weights:
    """Return the weights of all networks in a checkpoint; ``data`` and ``metrics`` are what its run has noted."""
    model, description = checkpoint.config["model"], checkpoint.config["data"]
    common = ("name", "networks", "optimizers", "losses", "weights")
    return Weights(
        tensors={n: t for n, t in checkpoint.tensors.items() if n.partition(".")[0] in (NETWORK, AVERAGE)},
        model=model["name"],
        networks=model["networks"],
        image_size=description["image_size"],
        arguments={key: value for key, value in model.items() if key not in common},
        domains=checkpoint.domains,
        label_sets=tuple(description.get("label_sets") or ()),
        iteration=checkpoint.iteration,
        config=checkpoint.config,
        data={"crop": description.get("crop"), **(data or {})},
        metrics=tuple(metrics),
    )


# --- file ---------------------------------------------------------------------------------------------------


def write(weights: Weights, path: Path) -> None:
    """Write a file; what lies at ``path`` is always whole."""
    header = {"format": FORMAT, "averaged": json.dumps(weights.averaged)}
    for item in fields(weights):
        if item.name not in ("tensors", "version"):
            header[item.name] = json.dumps(getattr(weights, item.name))
    atomic_write(path, save(_apart(weights.tensors), metadata=header | {"version": weights.version}), durable=True)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU, each with memory of its own: files of torch may hold two names of one memory."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if memory in seen else plain
        seen.add(memory)
    return found


def header_of(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; UserError for a file that is none, or is cut short."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from error


def read(path: Path) -> Weights:
    """Read a file that `write` has written; UserError for anything else."""
    header = header_of(path)
    found = header.get("format")
    if found == CHECKPOINT_FORMAT:
        raise UserError(f"{path}: this is a checkpoint; load its run folder, or write run=RUN_FOLDER to export")
    if found != FORMAT:
        raise UserError(
            f"{path}: found {found or 'no format name'!r} in the header, expected {FORMAT!r}; published weights are "
            "brought in by: python -m translate import weights=FILE to=FILE.safetensors"
        )
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    values: Node = {}
    for item in fields(Weights):
        if item.name not in ("tensors", "version"):
            try:
                values[item.name] = json.loads(header[item.name])
            except (KeyError, ValueError) as error:
                raise UserError(
                    f"{path}: the header's {item.name!r} is missing or damaged; get the file again"
                ) from error
    _check(values, path)
    for name in ("domains", "label_sets", "metrics"):
        values[name] = tuple(values[name])
    return Weights(tensors, version=header.get("version", "unknown"), **values)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "networks": dict,
    "image_size": int,
    "arguments": dict,
    "domains": list,
    "label_sets": list,
    "iteration": (int, type(None)),
    "config": (dict, type(None)),
    "data": dict,
    "licence": (str, type(None)),
    "metrics": list,
    "published": (dict, type(None)),
}


def _check(values: Mapping[str, Any], path: Path) -> None:
    """Raise UserError where the header does not hold what `write` writes: a file may come from anywhere."""
    good = all(isinstance(values[name], kind) for name, kind in _TYPES.items())
    good = good and all(
        isinstance(node, dict) and isinstance(node.get("name"), str) for node in values["networks"].values()
    )
    good = good and all(isinstance(name, str) for name in values["domains"])
    good = good and all(isinstance(measured, dict) for measured in values["metrics"])
    good = good and all(
        isinstance(labels, dict)
        and labels.get("kind") in ("attributes", "classes")
        and isinstance(labels.get("names"), list)
        for labels in values["label_sets"]
    )
    if not good:
        raise UserError(f"{path}: the header does not describe weights; get the file again")


# --- networks -----------------------------------------------------------------------------------------------


def build(node: Mapping[str, Any]) -> nn.Module:
    """Return the network that a node names, built with the node's arguments, initialised anyhow.

    The random state is left as it was. UserError for an unknown name, or arguments that it does not take.
    """
    cls = NETWORKS.get(node["name"])
    arguments = {key: value for key, value in node.items() if key != "name"}
    with torch.random.fork_rng(devices=[]):
        try:
            network = cls(**arguments)
        except (TypeError, ValueError) as error:
            raise UserError(f"the network {node['name']!r} cannot be built as the file says: {error}") from error
    assert isinstance(network, nn.Module), node
    return network


def networks_of(weights: Weights, roles: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return those of the roles that the file holds as networks with their learned weights, ready to translate."""
    found = {}
    for role in roles:
        if role not in weights.networks:
            continue
        network = build(weights.networks[role])
        try:
            network.load_state_dict(weights.learned(role))
        except RuntimeError as error:
            first_line = str(error).strip().splitlines()[-1].strip()
            raise UserError(f"the weights of {role!r} do not fit its network: {first_line}") from error
        found[role] = network.requires_grad_(False).eval().to(memory_format=torch.channels_last)
    return found
