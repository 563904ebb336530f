"""Activation checkpointing: store few activations and recompute the rest in the backward pass.

Chen et al. 2016, arXiv 1604.06174. The modules of a network get subclasses of their own classes, so copies of the
network are checkpointed too. A method that is set on one module would not be copied.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from translate.errors import UserError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def checkpoint_activations(network: nn.Module, key: str = "activation_checkpointing") -> None:
    """Let every stage of a network store its input only; the backward pass recomputes the activations in it.

    A stage is an innermost module with convolutions (a block), or, in a sequence of layers, a convolution with the
    layers up to the next one. Results are equal to the bit, with the same random draws and running statistics, and so
    are the names of parameters. Gradients of gradients work, but store the activations that they need. A network
    without convolutions, which stores little, is not changed. ``key`` is the key of errors in a forward pass.
    """
    if not _convolves(network):
        return
    inner = [part for part in network.modules() if part is not network and _convolves(part)]
    if any(isinstance(part, nn.Sequential) or _is_block(part) for part in inner):
        for part in network.children():
            _checkpoint_stages(part, key)
    else:
        _change_class(network, CheckpointedModule, key)


def _checkpoint_stages(module: nn.Module, key: str) -> None:
    if not _convolves(module):
        return
    blocks = [part for part in module.modules() if part is not module and _is_block(part)]
    if _is_block(module) and not blocks:
        _change_class(module, CheckpointedModule, key)
        return
    if type(module) is nn.Sequential:
        _change_class(module, CheckpointedSequence, key)
    for part in module.children():
        _checkpoint_stages(part, key)


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, CONVOLUTIONS) for part in module.modules())


def _is_block(module: nn.Module) -> bool:
    return not isinstance(module, (*CONTAINERS, *CONVOLUTIONS)) and _convolves(module)


def _change_class(module: nn.Module, first_base: type[nn.Module], key: str) -> None:
    module.__class__ = _checkpointed(type(module), first_base, key)


def _checkpointed(kind: type[nn.Module], first_base: type[nn.Module], key: str) -> type[nn.Module]:
    known = (kind, first_base, key)
    if known not in _CHECKPOINTED:
        _CHECKPOINTED[known] = type(kind.__name__, (first_base, kind), {"checkpointing_key": key})
    return _CHECKPOINTED[known]


_CHECKPOINTED: dict[tuple[type[nn.Module], type[nn.Module], str], type[nn.Module]] = {}


class CheckpointedModule(nn.Module):
    """The first base of a module's subclass: the module is one stage."""

    checkpointing_key: ClassVar[str]

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return the output of the module."""
        return _checkpoint(self.checkpointing_key, super().forward, [self], *inputs, **named)


class CheckpointedSequence(nn.Sequential):
    """A sequence of layers in which each convolution, with the layers up to the next one, is a stage."""

    checkpointing_key: ClassVar[str]

    def forward(self, x: Any) -> Any:
        """Return the output of the last layer."""
        for layers in _stages(self):
            stage = functools.partial(_apply, layers)
            x = layers[0](x) if len(layers) == 1 else _checkpoint(self.checkpointing_key, stage, layers, x)
        return x


def _apply(layers: Iterable[nn.Module], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def _stages(layers: Iterable[nn.Module]) -> Iterator[list[nn.Module]]:
    """Yield layers in stages with one convolution each.

    Blocks, which are checkpointed themselves, and layers that would change the input of a stage in place are alone.
    """
    stage: list[nn.Module] = []
    for layer in layers:
        alone = not isinstance(layer, CONVOLUTIONS) and _convolves(layer)
        alone |= not stage and getattr(layer, "inplace", False)
        full = isinstance(layer, CONVOLUTIONS) and any(isinstance(one, CONVOLUTIONS) for one in stage)
        if stage and (alone or full):
            yield stage
            stage = []
        if alone:
            yield [layer]
        else:
            stage.append(layer)
    if stage:
        yield stage


def _checkpoint(
    key: str, function: Callable[..., Any], modules: Iterable[nn.Module], *inputs: Any, **named: Any
) -> Any:
    """Return the output of a function and store only its inputs; UserError, with ``key``, if it overwrites them."""
    if not torch.is_grad_enabled():
        return function(*inputs, **named)
    tensors = [value for value in (*inputs, *named.values()) if isinstance(value, Tensor)]
    versions = [value._version for value in tensors]
    buffers = RestoredBuffers(modules)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), buffers

    output = checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts, **named)
    if [value._version for value in tensors] != versions:
        names = ", ".join(type(module).__name__ for module in modules)
        raise UserError(
            f"{names} changes its input in place, so its activations cannot be recomputed",
            key=key,
            fix="switch activation checkpointing off, or let the module change a copy of its input",
        )
    return output


class RestoredBuffers:
    """A context in which the buffers of modules have their present values, so that batch norms count a batch once."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        owners = [part for module in modules for part in module.modules() if part.training]
        named = [(owner, name) for owner in owners for name, _ in owner.named_buffers(recurse=False)]
        self.saved: list[tuple[nn.Module, str, Tensor]] = [(o, n, getattr(o, n).clone()) for o, n in named]
        self.current: list[Tensor] = []

    def __enter__(self) -> None:
        """Replace the current buffers by copies of the saved ones."""
        self.current = [getattr(owner, name) for owner, name, _ in self.saved]
        for owner, name, buffer in self.saved:
            setattr(owner, name, buffer.clone())

    def __exit__(self, *problem: object) -> None:
        """Put the current buffers back."""
        for (owner, name, _), buffer in zip(self.saved, self.current, strict=True):
            setattr(owner, name, buffer)
