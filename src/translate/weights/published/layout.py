"""What the published layouts have in common: files of networks by name, placed in ours, and written again."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from translate.errors import UserError
from translate.weights.format import EXTRA, NETWORK, Node, Weights, build
from translate.weights.published.files import PublishedFile, State


@dataclass(frozen=True)
class ImportOptions:
    """What a file does not say of itself, as far as the user says it. None: what was published."""

    model: str | None = None
    domains: tuple[str, ...] | None = None
    labels: str | None = None  # attributes or domain, as in data.labels
    image_size: int | None = None
    w_hpf: float | None = None
    dropout: bool | None = None
    licence: str | None = None


@dataclass(frozen=True)
class Part:
    """A network of a published file: whose it is there and here."""

    published: str  # its name in the layout
    role: str | None  # its role here; None: we have no such network, and it is kept as it is
    kind: str = NETWORK  # or AVERAGE

    @property
    def source(self) -> str:
        """Return what its names begin with in a header's `absent` and behind `extra`."""
        return f"{self.kind}.{self.published}"


class Layout(ABC):
    """How the weights of some models are published.

    A subclass recognises files (`fits`), describes them in our words (`describe`) and names the files that are written
    (`files`). What our networks lack is kept as extra tensors, so that writing gives what was read, tensor for tensor.
    """

    name: str
    models: tuple[str, ...]
    bare: bool = True  # a file holds one network, without its name

    @abstractmethod
    def fits(self, files: Sequence[PublishedFile]) -> bool:
        """Return whether the files look like this layout's."""

    @abstractmethod
    def describe(
        self, files: Sequence[PublishedFile], wishes: ImportOptions
    ) -> tuple[Weights, list[tuple[Part, State]]]:
        """Return the weights, without tensors, and whose the tensors are; UserError for what cannot be placed."""

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a published network has a tensor that ours lacks, so that it is kept as an extra one."""
        del node, key
        return False

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor of ours follows from the arguments, so that a file may lack it."""
        del node, key
        return False

    def filled(self, node: Node, state: State) -> State:
        """Return tensors that a published network owns but never reads, as its program expects to find them."""
        del node, state
        return {}

    @abstractmethod
    def parts(self, weights: Weights) -> list[tuple[str, Part]]:
        """Return the networks to write, each with the name of its file."""

    # --- in ----------------------------------------------------------------------------------------------------

    def read(self, files: Sequence[PublishedFile], wishes: ImportOptions) -> Weights:
        """Return the weights in the files; UserError for what cannot be placed."""
        described, parts = self.describe(files, wishes)
        tensors: dict[str, Tensor] = {}
        absent: list[str] = []
        for part, state in parts:
            if part.role is None:
                tensors |= _below(f"{EXTRA}.{part.source}", state)
                continue
            own, extra, lacking = self._placed(part, described.networks[part.role], state)
            tensors |= _below(f"{part.kind}.{part.role}", own) | _below(f"{EXTRA}.{part.source}", extra)
            absent += [f"{part.source}.{key}" for key in lacking]
        names = {part.role: part.published for part, _ in parts if part.role is not None}
        published = {"layout": self.name, "names": names, "absent": absent}
        return replace(described, tensors=tensors, published=published, licence=wishes.licence)

    def _placed(self, part: Part, node: Node, state: State) -> tuple[State, State, list[str]]:
        """Return a network's tensors, those that ours does not have, and the names of those that the file lacks."""
        wanted = build(node).state_dict()
        own: State = {}
        lacking = []
        for key, ours in wanted.items():
            found = state.get(key)
            if found is None and self.derived(node, key):
                own[key] = ours
                lacking.append(key)
            elif found is None:
                raise UserError(f"{self.name}: {part.published} lacks the tensor {key}, expected one of {_shape(ours)}")
            elif found.shape != ours.shape:
                raise UserError(f"{self.name}: {part.published}.{key} is {_shape(found)}, expected {_shape(ours)}")
            else:
                own[key] = found
        extra = {key: tensor for key, tensor in state.items() if key not in wanted}
        for key in extra:
            if not self.optional(node, key):
                raise UserError(
                    f"{self.name}: {part.published}.{key}, {_shape(extra[key])}, has no place in {node['name']}"
                )
        return own, extra, lacking

    # --- out ---------------------------------------------------------------------------------------------------

    def write(self, weights: Weights) -> dict[str, dict[str, State]]:
        """Return the networks of each file by published name; weights that came in this layout go out as they came."""
        read = weights.published if weights.published and weights.published["layout"] == self.name else None
        files: dict[str, dict[str, State]] = {}
        for file, part in self.parts(weights):
            extra = weights.part(EXTRA, part.kind, part.published)
            state: State = {}
            if part.role is not None:
                state = weights.part(part.kind, part.role)
                if read is None:
                    extra = self.filled(weights.networks[part.role], state)
                else:
                    state = {k: t for k, t in state.items() if f"{part.source}.{k}" not in read["absent"]}
            files.setdefault(file, {})[part.published] = state | extra
        return files


def _below(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {f"{prefix}.{key}": tensor for key, tensor in state.items()}


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def published_name(weights: Weights, role: str, default: str) -> str:
    """Return what a role was called where it came from, or is called in the layout."""
    names: Any = (weights.published or {}).get("names", {})
    return str(names.get(role, default))


def named(
    wishes: ImportOptions, count: int, known: Mapping[int, Sequence[str]], what: str = "domains"
) -> tuple[str, ...]:
    """Return the names of ``count`` domains: those wished, else those known for this number, else d0, d1, ..."""
    if wishes.domains is None:
        return tuple(known.get(count, [f"d{number}" for number in range(count)]))
    if len(wishes.domains) != count:
        raise UserError(f"domains: found {len(wishes.domains)} names, but the file has {count} {what}")
    return wishes.domains


def numbers(state: Iterable[str], start: str, end: str) -> list[int]:
    """Return the numbers between a start and an end in the names of a state, each once, in order.

    >>> numbers(["encode.0.conv1.weight", "encode.1.conv1.weight"], "encode.", ".conv1.weight")
    [0, 1]
    """
    found = {key.removeprefix(start).removesuffix(end) for key in state if key.startswith(start) and key.endswith(end)}
    return sorted(int(number) for number in found if number.isdigit())


def constant(shape: Sequence[int], value: float = 0.0, like: Tensor | None = None) -> Tensor:
    """Return a tensor of one value, in the type of another."""
    return torch.full(tuple(shape), value, dtype=None if like is None else like.dtype)
