"""The weights file: one safetensors file with all that translating needs, read without executing anything.

Tensors are named as in checkpoints, ``network.<role>.<key>`` and ``ema.<role>.<key>``. A role with both translates by
its EMA. ``extra.<group>.<official name>`` are tensors of an official file that our networks lack; they are kept so that
the official file can be written again. The header is safetensors metadata: ``format``, ``version`` (of this package),
and the other fields of `Weights` as JSON. ``dtype`` says how float32 tensors are stored; without it, as they are.
``checksums`` maps the names of the tensors, and "header", to a SHA-256. Files of formats 1 and 2 have none; those of
format 1 are read with their names brought up to date.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from translate import __version__
from translate.config.renamed import rename_network, rename_saved
from translate.errors import Phrase, UserError, first_line
from translate.files.reading import loads, require_file
from translate.files.writing import atomic_write
from translate.registry.registry import NETWORKS
from translate.runs import checkpoints
from translate.runs.checkpoints import EMA, GROUPS_OF_FORMAT_1, NETWORK, Checkpoint
from translate.runs.saved_config import OF_CHECKPOINT, require_shape
from translate.sizes import SizeLike
from translate.weights import fitting

FORMAT = "translate weights 3"
FORMAT_2 = "translate weights 2"
FORMAT_1 = "translate weights 1"
WITHOUT_CHECKSUMS = (FORMAT_2, FORMAT_1)
CHECKSUMS, HEADER = "checksums", "header"

log = logging.getLogger("translate")

CHECKPOINT = "checkpoint"
"""The place in a message about the content of a checkpoint, which has no path."""

EXTRA = "extra"
"""The group of tensors that our networks lack."""

Dtype = Literal["float32", "float16"]
"""How float32 tensors are stored."""

FIELDS_OF_FORMAT_1 = {"official": "published"}

Node = dict[str, Any]
"""A registered part with its arguments, as in a configuration: {name: ..., ...}."""


@dataclass(frozen=True)
class Weights:
    """The content of a weights file. `model`, `networks`, `image_size` and the tensors are enough to translate."""

    tensors: dict[str, Tensor]
    model: str  # key of MODELS and TRANSLATIONS
    networks: dict[str, Node]  # of every role in the file
    image_size: SizeLike  # in pixels: a number for squares, or [height, width]
    arguments: Node = field(default_factory=dict)  # of the model, such as latent_size
    domains: tuple[str, ...] = ()
    label_sets: tuple[Node, ...] = ()  # {kind: attributes or classes, names} of each data set, as in data.label_sets
    iteration: int | None = None
    config: Node | None = None  # the whole configuration of the run, as in its config.yaml
    data: Node = field(default_factory=dict)  # crop: how images get their size; train, val: images and fingerprint
    licence: str | None = None  # a tag such as cc-by-4.0
    metrics: tuple[Node, ...] = ()  # evaluations of these weights: protocol, scores, and how they were computed
    official: Node | None = None  # layout: its name; names: role -> name; absent: tensors that the official file lacked
    version: str = __version__

    @property
    def ema_roles(self) -> tuple[str, ...]:
        """Return the roles that have an EMA."""
        return tuple(role for role in self.networks if any(k.startswith(f"{EMA}.{role}.") for k in self.tensors))

    def group(self, *prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with the words of ``prefix``, by the rest of their names."""
        start = ".".join(prefix) + "."
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}

    def inference_state(self, role: str) -> dict[str, Tensor]:
        """Return the tensors by which a role translates: its EMA, or the trained network where there is no EMA."""
        return self.group(EMA, role) or self.group(NETWORK, role)

    def without(self, *groups: str) -> "Weights":
        """Return the same weights without some groups of tensors."""
        return replace(self, tensors={n: t for n, t in self.tensors.items() if n.partition(".")[0] not in groups})


def of_checkpoint(checkpoint: Checkpoint, data: Node | None = None, metrics: Sequence[Node] = ()) -> Weights:
    """Return the weights of all networks in a checkpoint.

    ``data`` are the notes of its run on the data, ``metrics`` the evaluations of this checkpoint.
    """
    require_shape(checkpoint.config, CHECKPOINT, OF_CHECKPOINT)
    config = rename_saved(checkpoint.config)
    model, description = config["model"], config["data"]
    common = ("name", "networks", "optimizers", "losses", "weights")
    values = {
        "model": model["name"],
        "networks": model["networks"],
        "image_size": description["image_size"],
        "arguments": {key: value for key, value in model.items() if key not in common},
        "domains": checkpoint.domains,
        "label_sets": description.get("label_sets") or (),
        "iteration": checkpoint.iteration,
        "config": config,
        "data": {"crop": description.get("crop"), **(data or {})},
        "licence": None,
        "metrics": tuple(metrics),
        "official": None,
    }
    _check(values, CHECKPOINT)
    values["label_sets"] = tuple(values["label_sets"])
    tensors = {n: t for n, t in checkpoint.tensors.items() if n.partition(".")[0] in (NETWORK, EMA)}
    return Weights(tensors, **values)


# --- file ---------------------------------------------------------------------------------------------------


def write(weights: Weights, path: Path, dtype: Dtype = "float32") -> None:
    """Write a weights file, whole and durable, see `translate.files.writing.atomic_write`.

    With ``dtype`` float16, float32 tensors are stored rounded to half of the bytes; `read` returns them as float32.
    UserError for values that float16 cannot hold.
    """
    header = {"format": FORMAT, "ema": json.dumps(weights.ema_roles), "dtype": dtype}
    for item in fields(weights):
        if item.name not in ("tensors", "version"):
            header[item.name] = json.dumps(getattr(weights, item.name))
    tensors = _unshared(weights.tensors)
    if dtype == "float16":
        tensors = {name: _half(name, tensor) for name, tensor in tensors.items()}
    header["version"] = weights.version
    header[CHECKSUMS] = json.dumps(checksums(tensors, header))
    atomic_write(path, save(tensors, metadata=header), durable=True)


def checksums(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each tensor, by name, and of the header without its checksums, as "header"."""
    content = json.dumps({key: header[key] for key in sorted(header) if key != CHECKSUMS})
    digests = {HEADER: hashlib.sha256(content.encode()).hexdigest()}
    for name, tensor in tensors.items():
        digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        digests[name] = digest.hexdigest()
    return digests


def _half(name: str, tensor: Tensor) -> Tensor:
    """Return a float32 tensor as float16, any other unchanged; UserError if a finite value becomes infinite."""
    if tensor.dtype != torch.float32:
        return tensor
    half = tensor.half()
    if not torch.equal(half.isfinite(), tensor.isfinite()):
        limit = torch.finfo(torch.float16).max
        largest = tensor[tensor.isfinite()].abs().max().item()
        raise UserError(
            f"the tensor {name!r} does not fit into float16",
            key="dtype",
            found=largest,
            expected=f"values up to {limit:g}",
            fix="dtype=float32",
        )
    return half


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU, each with its own memory: safetensors refuses two tensors that share one."""
    result: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        result[name] = plain.clone() if memory in seen else plain
        seen.add(memory)
    return result


def header_of(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; UserError for any other file, and for one that is cut short."""
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"not a readable safetensors file ({error})", key=str(path)) from error


def is_weights_file(path: Path) -> bool:
    """Return whether a file has the header of a weights file; UserError for a damaged safetensors file."""
    return path.suffix == ".safetensors" and header_of(path).get("format") in (FORMAT, *WITHOUT_CHECKSUMS)


def read(path: Path) -> Weights:
    """Read a weights file of this or an earlier format; UserError for any other file."""
    header = header_of(path)
    _require_format(header.get("format"), path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    _verify(tensors, header, path)
    if header.get("dtype") == "float16":
        tensors = {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    is_old = header["format"] == FORMAT_1
    values: Node = {}
    for item in fields(Weights):
        if item.name not in ("tensors", "version"):
            key = FIELDS_OF_FORMAT_1.get(item.name, item.name) if is_old else item.name
            try:
                values[item.name] = loads(header[key])
            except (KeyError, ValueError) as error:
                raise _damaged(f"the header's {key!r} is missing or damaged", path) from error
    _check(values, str(path))
    for name in ("domains", "label_sets", "metrics"):
        values[name] = tuple(values[name])
    weights = Weights(tensors, version=header.get("version", "unknown"), **values)
    return _from_format_1(weights) if is_old else weights


def _verify(tensors: Mapping[str, Tensor], header: Mapping[str, str], path: Path) -> None:
    """Raise UserError for tensors or a header that differ from their checksums; early formats have a warning."""
    if header["format"] in WITHOUT_CHECKSUMS:
        log.warning("%s has no checksums, as early versions wrote it, so damage cannot be noticed", path)
        return
    try:
        written = loads(header[CHECKSUMS])
        actual = checksums(tensors, header)
        wrong = sorted(name for name in written.keys() | actual.keys() if written.get(name) != actual.get(name))
    except (KeyError, ValueError, AttributeError) as error:
        raise _damaged("the checksums are missing or damaged", path) from error
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise _damaged(f"the checksum is wrong of {', '.join(wrong[:3])}{more}", path)


def read_any(path: Path) -> Weights:
    """Return the weights in a checkpoint or in a weights file; UserError for any other file."""
    if header_of(path).get("format") in (checkpoints.FORMAT, checkpoints.FORMAT_1):
        return of_checkpoint(checkpoints.read(path, (NETWORK, EMA)))
    return read(path)


def _require_format(found: str | None, path: Path) -> None:
    """Raise UserError, with the way out, unless a header's format is that of a weights file."""
    if found in (FORMAT, *WITHOUT_CHECKSUMS):
        return
    if found in (checkpoints.FORMAT, checkpoints.FORMAT_1):
        raise UserError(
            "this is a checkpoint, not a weights file",
            key=str(path),
            fix="load its run folder, or make a weights file: python -m translate export run=RUN_FOLDER",
        )
    raise UserError(
        "this is not a weights file",
        key=str(path),
        found=found or Phrase("no format name"),
        expected=f"{FORMAT!r} in the header",
        fix="for released weights of a paper: python -m translate import weights=FILE to=FILE.safetensors",
    )


def _damaged(statement: str, path: Path | str) -> UserError:
    return UserError(statement, key=str(path), fix="download or export the file again")


def _from_format_1(weights: Weights) -> Weights:
    """Return weights of format 1 by today's names of groups, network arguments and official tensors."""
    names = {old: new for new, old in GROUPS_OF_FORMAT_1.items()}

    def renamed(name: str) -> str:
        words = name.split(".")
        place = 1 if words[0] == EXTRA and len(words) > 1 else 0
        words[place] = names.get(words[place], words[place])
        return ".".join(words)

    official = weights.official
    if official is not None:
        official = {**official, "absent": [renamed(name) for name in official.get("absent", [])]}
    return replace(
        weights,
        tensors={renamed(name): tensor for name, tensor in weights.tensors.items()},
        networks={role: rename_network(node) for role, node in weights.networks.items()},
        config=None if weights.config is None else rename_saved(weights.config),
        official=official,
    )


LARGEST_SIDE = 8_192
"""Pixels of a side that a header may state: photographs are resized to it."""

LONGEST_NAME = 255
"""Characters of the name of a domain or label, as of a folder."""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "networks": dict,
    "image_size": (int, list),
    "arguments": dict,
    "domains": (list, tuple),
    "label_sets": (list, tuple),
    "iteration": (int, type(None)),
    "config": (dict, type(None)),
    "data": dict,
    "licence": (str, type(None)),
    "metrics": (list, tuple),
    "official": (dict, type(None)),
}


def _check(values: Mapping[str, Any], where: str) -> None:
    """Raise UserError if a value of the header has another type than `write` gives it: files come from anywhere."""
    good = all(isinstance(values[name], kind) for name, kind in _TYPES.items())
    good = good and all(
        isinstance(node, dict) and isinstance(node.get("name"), str) for node in values["networks"].values()
    )
    sides = values["image_size"] if isinstance(values["image_size"], list) else [values["image_size"]] * 2
    good = good and len(sides) == 2 and all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides)
    good = good and _are_names(values["domains"])
    good = good and all(isinstance(evaluation, dict) for evaluation in values["metrics"])
    good = good and all(
        isinstance(labels, dict)
        and labels.get("kind") in ("attributes", "classes")
        and isinstance(labels.get("names"), list)
        and _are_names(labels["names"])
        for labels in values["label_sets"]
    )
    if not good:
        raise _damaged("the header does not describe weights", where)
    if values["config"] is not None:
        require_shape(values["config"], where)


def _are_names(names: Sequence[Any]) -> bool:
    """Return whether these are names of domains or labels: short texts, each there once."""
    return all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in names) and len({*names}) == len(
        names
    )


# --- networks -----------------------------------------------------------------------------------------------


class Networks(dict[str, nn.Module]):
    """Networks by role; UserError for a role that the file lacks."""

    def __missing__(self, role: str) -> nn.Module:
        raise UserError("the weights lack a network that this translation needs", key="weights", found=role)


def build(node: Mapping[str, Any], state: Mapping[str, Tensor] | None = None, role: str = "") -> nn.Module:
    """Return the network that a node names, built with the node's arguments; its weights are arbitrary.

    The random state stays as it was. UserError for an unknown network, for arguments that it does not have, and for
    tensors in ``state`` that it does not have, before memory is allocated.
    """
    cls = NETWORKS.get(node["name"])
    arguments = {key: value for key, value in node.items() if key != "name"}
    with torch.random.fork_rng(devices=[]):
        try:
            if state is not None:
                fitting.check(cls, arguments, state, role)
                fitting.check_finite(state, role)
            network = cls(**arguments)
        except UserError:
            raise
        except Exception as error:  # arguments of any types, from a file of anybody, can fail anywhere
            raise UserError(
                f"the network {node['name']!r} cannot be built with the arguments in the file ({first_line(error)})"
            ) from error
    assert isinstance(network, nn.Module), node
    return network


def networks_of(weights: Weights, roles: tuple[str, ...]) -> Networks:
    """Return the networks of those ``roles`` that the file has, with their inference weights, frozen, in eval mode."""
    networks = Networks()
    for role in roles:
        if role not in weights.networks:
            continue
        state = weights.inference_state(role)
        network = build(weights.networks[role], state, role)
        network.load_state_dict(state)
        networks[role] = network.requires_grad_(False).eval().to(memory_format=torch.channels_last)
    return networks
