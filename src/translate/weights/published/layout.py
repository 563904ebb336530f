"""The base of official layouts: files of networks by name, brought into our weights and written again."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.files.reading import is_whole_number
from translate.networks.layers.spectral import without_spectral_norms
from translate.sizes import ImageSize, SizeLike
from translate.weights.format import EXTRA, Node, Weights, build
from translate.weights.published.files import OfficialFile, State


@dataclass(frozen=True)
class ImportOptions:
    """Facts that an official file does not contain, as far as the user gives them. None: as in the official release."""

    model: str | None = None
    domains: tuple[str, ...] | None = None
    labels: str | None = None  # attributes or domain, as in data.labels; joint: attributes, and domains of another set
    num_attributes: int | None = None  # of joint labels; the domains follow
    label_counts: tuple[int, ...] | None = None  # of joint labels: those of each data set
    image_size: SizeLike | None = None
    w_hpf: float | None = None
    dropout: bool | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        """Bring size and counts to their one form; UserError for more than two numbers of a size."""
        if self.label_counts is not None:
            object.__setattr__(self, "label_counts", tuple(self.label_counts))
        if self.image_size is not None:
            object.__setattr__(self, "image_size", ImageSize.of(self.image_size).plain)


@dataclass(frozen=True)
class TensorGroup:
    """One network of an official file: its official name, our role, and our group of tensors."""

    name: str  # in the layout
    role: str | None  # here; None: we have no such network, and its tensors are kept as extra ones
    group: str  # NETWORK or EMA

    @property
    def prefix(self) -> str:
        """Return the prefix of its tensors in a header's `absent` list and below the group `extra`."""
        return f"{self.group}.{self.name}"


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""The last part of the names of running statistics, which instance norms of early torch have and never read."""


class Layout(ABC):
    """The files in which the authors of a paper release its weights.

    A subclass recognizes files (`fits`), describes their content (`describe`) and names the files to write
    (`tensor_groups`). Tensors that our networks lack are kept as extra ones: written files equal the files that were
    read, tensor for tensor.
    """

    name: str
    models: tuple[str, ...]
    facts: tuple[str, ...]  # the options that complete the files, beside the model and the licence
    single_network: bool = True  # a file holds one network, without its name

    @abstractmethod
    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether the files look like this layout's."""

    @abstractmethod
    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each group; UserError for unexpected content."""

    def fits_model(self, weights: Weights) -> bool:
        """Return whether weights of this model can be written in this layout."""
        return weights.model in self.models

    def optional(self, node: Node, key: str) -> bool:
        """Return whether an official network has a tensor that ours lacks, so that it is kept as an extra one."""
        del node, key
        return False

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor of ours follows from the network's arguments, so that a file may lack it."""
        del node, key
        return False

    def required(self, key: str) -> bool:
        """Return whether today's official program refuses a file without a tensor that older files may lack."""
        del key
        return False

    def unused_tensors(self, node: Node, state: State) -> State:
        """Return tensors that the official program loads but never reads."""
        del node, state
        return {}

    @abstractmethod
    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return the networks to write, each with the name of its file."""

    # --- reading -----------------------------------------------------------------------------------------------

    def read(self, files: Sequence[OfficialFile], options: ImportOptions) -> Weights:
        """Return the weights in official files; UserError for unexpected content."""
        described, groups = self.describe(files, options)
        tensors: dict[str, Tensor] = {}
        absent: list[str] = []
        for group, state in groups:
            if group.role is None:
                tensors |= _below(f"{EXTRA}.{group.prefix}", state)
                continue
            own, extra, missing = self._matched(group, described.networks[group.role], state)
            tensors |= _below(f"{group.group}.{group.role}", own) | _below(f"{EXTRA}.{group.prefix}", extra)
            absent += [f"{group.prefix}.{key}" for key in missing]
        names = {group.role: group.name for group, _ in groups if group.role is not None}
        official = {"layout": self.name, "names": names, "absent": absent}
        return replace(described, tensors=tensors, official=official, licence=options.licence)

    def _matched(self, group: TensorGroup, node: Node, state: State) -> tuple[State, State, list[str]]:
        """Return a network's tensors, the tensors that our network lacks, and the names that the file lacks."""
        reference = build(node).state_dict()
        own: State = {}
        missing = []
        for key, ours in reference.items():
            tensor = state.get(key)
            if tensor is None and self.derived(node, key):
                own[key] = ours
                missing.append(key)
            elif tensor is None:
                raise UserError(f"{group.name} lacks the tensor {key} ({_shape(ours)})", key=self.name)
            elif tensor.shape != ours.shape:
                raise UserError(
                    f"the tensor {group.name}.{key} does not fit",
                    key=self.name,
                    found=Phrase(_shape(tensor)),
                    expected=_shape(ours),
                )
            else:
                own[key] = tensor
        extra = {key: tensor for key, tensor in state.items() if key not in reference}
        for key in extra:
            if not self.optional(node, key):
                raise UserError(
                    f"{node['name']} has no tensor for {group.name}.{key} ({_shape(extra[key])})", key=self.name
                )
        return own, extra, missing

    # --- writing -----------------------------------------------------------------------------------------------

    def write(self, weights: Weights) -> dict[str, dict[str, State]]:
        """Return the networks of each file by official name; weights read in this layout are written unchanged.

        Official networks have no spectral norms: normalised weights are written as the layers compute with them.
        Tensors that the file lacked are added only where today's official program requires them.
        """
        origin = weights.official if weights.official and weights.official["layout"] == self.name else None
        files: dict[str, dict[str, State]] = {}
        for file, group in self.tensor_groups(weights):
            extra = weights.group(EXTRA, group.group, group.name)
            state: State = {}
            if group.role is not None:
                state = without_spectral_norms(weights.group(group.group, group.role))
                if origin is None:
                    extra = self.unused_tensors(weights.networks[group.role], state)
                else:
                    absent = {key for key in state if f"{group.prefix}.{key}" in origin["absent"]}
                    state = {key: t for key, t in state.items() if key not in absent or self.required(key)}
            files.setdefault(file, {})[group.name] = state | extra
        return files


class InstanceNormLayout(Layout):
    """The base of layouts whose networks have instance norms alone."""

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a running statistic of an instance norm."""
        del node
        return key.endswith(STATISTICS)


def _below(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {f"{prefix}.{key}": tensor for key, tensor in state.items()}


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def official_name(weights: Weights, role: str, default: str) -> str:
    """Return the name of a role in the file that the weights come from, or its default name in the layout."""
    names: Any = (weights.official or {}).get("names", {})
    return str(names.get(role, default))


def domain_names(
    options: ImportOptions, count: int, known: Mapping[int, Sequence[str]], what: str = "domains"
) -> tuple[str, ...]:
    """Return the names of ``count`` domains: the user's, else the official ones for this number, else d0, d1, ..."""
    if options.domains is None:
        return tuple(known.get(count, [f"d{number}" for number in range(count)]))
    if len(options.domains) != count:
        raise UserError(
            key="domains",
            found=Phrase(f"{len(options.domains)} names"),
            expected=f"{count}: the file has {count} {what}",
        )
    return options.domains


def numbers(state: Iterable[str], start: str, end: str) -> list[int]:
    """Return the numbers between a start and an end in the names of a state, each once, in order.

    >>> numbers(["encode.0.conv1.weight", "encode.1.conv1.weight"], "encode.", ".conv1.weight")
    [0, 1]
    """
    middles = {
        key.removeprefix(start).removesuffix(end) for key in state if key.startswith(start) and key.endswith(end)
    }
    return sorted(int(number) for number in middles if is_whole_number(number))


def constant(shape: Sequence[int], value: float = 0.0, like: Tensor | None = None) -> Tensor:
    """Return a tensor filled with ``value``, of the dtype of ``like``."""
    return torch.full(tuple(shape), value, dtype=None if like is None else like.dtype)
