"""The graphs of a model for other runtimes: each network alone, and the whole ways from image to translation.

A graph is a module with named tensors as inputs and outputs. Those of a network alone are read from a call: the
translation runs once, and the inputs and outputs of each network are noted. So a model of a plug-in needs no more than
its translation.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from translate.inference.base import TranslationPath
from translate.inference.deterministic import FixedDropout, with_constant_dropout
from translate.inference.sizes import SizeRule, joint_rule, size_rule
from translate.inference.translator import Translator

Tensors = dict[str, Tensor]

NAMES = {"x": "image", "domain": "target"}
"""Arguments of networks whose names in a file are others."""

WHOLE = {None: "translate", "code": "translate_latent", "reference": "translate_reference"}
"""Names of the whole ways, by style input."""

LATENT_STYLE = "style_latent"
"""The name of the way from codes to styles."""


@dataclass(frozen=True)
class Example:
    """Inputs of a graph and the outputs that belong to them."""

    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True)
class Graph:
    """A part of a model that becomes one file.

    ``axes`` holds the dynamic axes of each input, {input: {axis: "batch", "height" or "width"}}. ``rule`` says which
    heights and widths are possible; None if they are fixed. ``example`` draws inputs for (batch, height, width, seed)
    and computes the outputs by the translation itself.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]
    rule: SizeRule | None
    whole: bool  # from images to translations
    style_input: str | None
    target: int | None  # the domain to which it translates, if that is no input
    example: Callable[[int, int, int, int], Example]


def graphs_of(translator: Translator) -> list[Graph]:
    """Return the graphs of a model: its networks alone, then the whole ways that are not one network."""
    return [*_networks_alone(translator), *_latent_style(translator), *_whole_paths(translator)]


def num_domains(translator: Translator) -> int:
    """Return the number of domains; without names, that of the networks, or 2."""
    nodes = translator.about.networks.values()
    counts = [node["num_domains"] for node in nodes if isinstance(node.get("num_domains"), int)]
    return len(translator.domains) or max(counts, default=2)


# --- whole paths --------------------------------------------------------------------------------------------


def _whole_paths(translator: Translator) -> Iterable[Graph]:
    translation = translator.translation
    if translation.fixed_targets:
        return
    nodes = [node for role, node in translator.about.networks.items() if role in translation.roles]
    for style_input in translation.style_inputs or (None,):
        module = translation.path(style_input, num_domains(translator))
        size = translator.image_size
        called = _calls_of(translator, style_input, _draw(translator, 2, *size, 0))
        # a file holds no weights that it does not read; without style inputs the target may choose the networks
        for role in set(module.networks) - set(called) if style_input is not None else ():
            del module.networks[role]

        def example(batch: int, height: int, width: int, seed: int, module: TranslationPath = module) -> Example:
            return _whole_example(translator, module.inputs, batch, height, width, seed)

        rule = joint_rule(nodes) if style_input is None else None
        names, target = ("translation",), translation.only_target
        yield _graph(translator, WHOLE[style_input], module, module.inputs, names, rule, example, style_input, target)


def _whole_example(
    translator: Translator, names: Iterable[str], batch: int, height: int, width: int, seed: int
) -> Example:
    """Return drawn inputs of a whole way, and the translation."""
    drawn = _draw(translator, batch, height, width, seed)
    inputs = {name: value for name, value in drawn.items() if name in names}
    style_inputs = {name: value for name, value in inputs.items() if name not in ("image", "target")}
    keywords = {name: value.item() if name == "psi" else value for name, value in style_inputs.items()}
    translations = translator.translation(inputs["image"], drawn["target"], **keywords)
    return Example(inputs, {"translation": translations.clamp(-1, 1)})


def _draw(translator: Translator, batch: int, height: int, width: int, seed: int) -> Tensors:
    """Return random images, targets, codes, references of the size of training, and psi."""
    draws = torch.Generator().manual_seed(seed)
    size, length = translator.image_size, translator.translation.latent_size

    def images(*shape: int) -> Tensor:
        return torch.rand(batch, 3, *shape, generator=draws) * 2 - 1

    return {
        "image": images(height, width),
        "target": translator.translation.random_target(batch, num_domains(translator), draws),
        "code": torch.randn(batch, length, generator=draws),
        "reference": images(*size),
        "psi": torch.tensor(0.5 + 0.5 * (seed % 2)),
    }


def _latent_style(translator: Translator) -> Iterable[Graph]:
    """Yield the way from codes to styles, with truncation, where a model has it."""
    module = translator.translation.latent_style(num_domains(translator))
    if module is None:
        return
    names: tuple[str, ...] = tuple(module.inputs)  # type: ignore[arg-type]

    def example(batch: int, height: int, width: int, seed: int) -> Example:
        drawn = _draw(translator, batch, height, width, seed)
        inputs = {name: drawn[name] for name in names}
        keywords: dict[str, Any] = {"code": inputs["code"], "psi": inputs["psi"].item()}
        return Example(inputs, {"style": translator.translation.styles(inputs["target"], **keywords)})

    yield _graph(translator, LATENT_STYLE, module, names, ("style",), None, example, "code", whole=False)


# --- networks alone -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """One call of a network: its arguments by name, and its output."""

    arguments: inspect.BoundArguments
    output: Any

    def inputs(self) -> Tensors:
        """Return the tensors among the arguments, by the names of a file."""
        tensors: Tensors = {}
        for name, value in self.arguments.arguments.items():
            tensors |= _named(NAMES.get(name, name), value)
        return tensors


def _named(name: str, value: Any) -> Tensors:
    """Return the tensors of an argument or output: one, or several with numbers behind the name."""
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, tuple | list) and all(isinstance(each, Tensor) for each in value):
        return {f"{name}_{number}": each for number, each in enumerate(value)}
    return {}


class NetworkAlone(nn.Module):
    """A network with the tensors of its arguments as positional inputs, and the rest of a noted call's arguments."""

    def __init__(self, network: nn.Module, call: _Call) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of the output."""
        arguments, left = self.call.arguments, list(tensors)
        values = dict(arguments.arguments)
        for name, value in values.items():
            count = len(_named(name, value))
            if count:
                values[name] = left[0] if isinstance(value, Tensor) else tuple(left[:count])
                del left[:count]
        bound = inspect.BoundArguments(arguments.signature, values)
        return tuple(_named("", self.network(*bound.args, **bound.kwargs)).values())


def _networks_alone(translator: Translator) -> Iterable[Graph]:
    translation, nodes = translator.translation, translator.about.networks
    for role, network in translation.parts().items():
        call, names = _call_of(translator, role)
        fixed = role in translation.fixed_targets
        network = network if role not in translation.networks else translation.network(role)
        rule = size_rule(nodes[role.partition(".")[0]])
        maps = [tensor for tensor in call.inputs().values() if tensor.ndim == 4]
        if any(tensor.shape[2:] != translator.image_size for tensor in maps):  # features; the rule is for images
            rule = None
        if any(isinstance(module, FixedDropout) for module in network.modules()):  # its factors have one size
            rule, network = None, with_constant_dropout(network, call.inputs()["image"])

        def example(batch: int, height: int, width: int, seed: int, role: str = role) -> Example:
            call, names = _call_of(translator, role, batch, height, width, seed)
            return Example(call.inputs(), dict(zip(names, _named("", call.output).values(), strict=True)))

        module, target = NetworkAlone(network, call), translation.fixed_targets.get(role)
        yield _graph(translator, role, module, tuple(call.inputs()), names, rule, example, None, target, fixed)


def _call_of(
    translator: Translator, role: str, batch: int = 2, height: int = 0, width: int = 0, seed: int = 0
) -> tuple[_Call, tuple[str, ...]]:
    """Return the call of a role's network in a translation of drawn inputs, and the names of its outputs.

    An output that another network reads has the name of that argument; the others are translations.
    """
    size = translator.image_size
    inputs = _draw(translator, batch, height or size.height, width or size.width, seed)
    translation = translator.translation
    if (target := translation.example_target(role)) is not None:
        inputs["target"] = torch.tensor([target] * batch)
    calls: dict[str, _Call] = {}
    for style_input in translation.style_inputs or (None,):
        if role not in calls:
            calls = _calls_of(translator, style_input, inputs)
    assert role in calls, f"the translation by {translator.about.model} does not call {role}"
    outputs = _named("translation", calls[role].output)
    read_as = {id(value): name for call in calls.values() for name, value in call.inputs().items()}
    names = (read_as.get(id(value), name) for name, value in outputs.items())
    own = calls[role].inputs()  # a file has no two tensors of one name
    return calls[role], tuple(f"{name}_out" if name in own else name for name in names)


def _calls_of(translator: Translator, style_input: str | None, inputs: Tensors) -> dict[str, _Call]:
    """Return the calls of networks in a translation, by role."""
    calls: dict[str, _Call] = {}

    def noting(role: str) -> Callable[..., None]:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            calls[role] = _Call(inspect.signature(module.forward).bind(*args, **kwargs), output)

        return note

    networks = translator.translation.parts()
    hooks = [network.register_forward_hook(noting(role), with_kwargs=True) for role, network in networks.items()]
    keywords = {} if style_input is None else {style_input: inputs[style_input]}
    try:
        translator.translation(inputs["image"], inputs["target"], **keywords)
    finally:
        for registered in hooks:
            registered.remove()
    return calls


# --- shapes -------------------------------------------------------------------------------------------------


def _graph(
    translator: Translator,
    name: str,
    module: nn.Module,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    rule: SizeRule | None,
    example: Callable[[int, int, int, int], Example],
    style_input: str | None = None,
    target: int | None = None,
    whole: bool = True,
) -> Graph:
    """Return a graph, with the dynamic axes found by comparing examples of different batch and image size."""
    size = translator.image_size
    first, larger = example(2, *size, 0), example(3, *size, 0)
    names = {2: "height", 3: "width"}
    axes: dict[str, dict[int, str]] = {}
    for key, tensor in first.inputs.items():
        changed = [axis for axis, side in enumerate(tensor.shape) if side != larger.inputs[key].shape[axis]]
        axes[key] = dict.fromkeys(changed, "batch")
    if rule is not None:
        other = example(2, *rule.larger(size), 0)
        for key, tensor in first.inputs.items():
            sides = [
                axis for axis in names if axis < tensor.ndim and tensor.shape[axis] != other.inputs[key].shape[axis]
            ]
            axes[key] |= {axis: names[axis] for axis in sides}
    return Graph(name, module, inputs, outputs, axes, rule, whole, style_input, target, example)
