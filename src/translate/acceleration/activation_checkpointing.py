"""Networks that keep little for the backward pass and compute the rest again (Chen et al. 2016, arXiv 1604.06174)."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from translate.errors import UserError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def checkpoint_activations(network: nn.Module) -> None:
    """Let every stage of a network keep only what goes into it; the backward pass computes the rest again.

    A stage is a block, which is a module with convolutions none of whose parts is a block itself, or, in a sequence of
    layers, a convolution with what stands around it up to the next. The numbers are the same to the bit, random draws
    and running statistics included, and so are the names of parameters. Gradients of gradients work, but what they are
    taken from is kept. A network without convolutions, which keeps little, stays as it is.
    """
    if not _convolves(network):
        return
    inner = [part for part in network.modules() if part is not network and _convolves(part)]
    if any(isinstance(part, nn.Sequential) or _is_block(part) for part in inner):
        for part in network.children():
            _stage(part)
    else:
        _become(network, _recomputed(type(network)))


def _stage(module: nn.Module) -> None:
    if not _convolves(module):
        return
    blocks = [part for part in module.modules() if part is not module and _is_block(part)]
    if _is_block(module) and not blocks:
        _become(module, _recomputed(type(module)))
        return
    if type(module) is nn.Sequential:
        _become(module, Stages)
    for part in module.children():
        _stage(part)


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, CONVOLUTIONS) for part in module.modules())


def _is_block(module: nn.Module) -> bool:
    return not isinstance(module, (*CONTAINERS, *CONVOLUTIONS)) and _convolves(module)


def _become(module: nn.Module, kind: type[nn.Module]) -> None:
    """Change the class of a module: unlike a method of the module alone, it is the same for copies of it."""
    module.__class__ = kind


def _recomputed(kind: type[nn.Module]) -> type[nn.Module]:
    if kind not in _RECOMPUTED:
        _RECOMPUTED[kind] = type(kind.__name__, (Stage, kind), {})
    return _RECOMPUTED[kind]


_RECOMPUTED: dict[type[nn.Module], type[nn.Module]] = {}


class Stage(nn.Module):
    """Stands before the class of a module and computes it again in the backward pass."""

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return what the module makes of its inputs."""
        return _again(super().forward, [self], *inputs, **named)


class Stages(nn.Sequential):
    """A sequence of layers, of which each run from one convolution to the next is computed again."""

    def forward(self, x: Any) -> Any:
        """Return what the layers make of ``x`` one after another."""
        for layers in _runs(self):
            x = layers[0](x) if len(layers) == 1 else _again(functools.partial(_in_turn, layers), layers, x)
        return x


def _in_turn(layers: Iterable[nn.Module], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def _runs(layers: Iterable[nn.Module]) -> Iterator[list[nn.Module]]:
    """Yield layers in runs with a convolution each; what sees to itself or would change a run's input stands alone."""
    run: list[nn.Module] = []
    for layer in layers:
        alone = not isinstance(layer, CONVOLUTIONS) and _convolves(layer)
        alone |= not run and getattr(layer, "inplace", False)
        full = isinstance(layer, CONVOLUTIONS) and any(isinstance(one, CONVOLUTIONS) for one in run)
        if run and (alone or full):
            yield run
            run = []
        if alone:
            yield [layer]
        else:
            run.append(layer)
    if run:
        yield run


def _again(function: Callable[..., Any], modules: Iterable[nn.Module], *inputs: Any, **named: Any) -> Any:
    """Return what a function makes of its inputs, which are all that is kept of it."""
    if not torch.is_grad_enabled():
        return function(*inputs, **named)
    given = [value for value in (*inputs, *named.values()) if isinstance(value, Tensor)]
    versions = [value._version for value in given]
    before = AsBefore(modules)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), before

    found = checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts, **named)
    if [value._version for value in given] != versions:
        names = ", ".join(type(module).__name__ for module in modules)
        raise UserError(
            "trainer.activation_checkpointing: "
            f"a part of a network ({names}) changes its input in place, so it cannot be computed "
            "again; set trainer.activation_checkpointing=false, or let it leave its input as it is"
        )
    return found


class AsBefore:
    """Puts the buffers of modules back to what they are now, for as long as it is entered: batch norms count once."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        owners = [part for module in modules for part in module.modules() if part.training]
        named = [(owner, name) for owner in owners for name, _ in owner.named_buffers(recurse=False)]
        self.kept: list[tuple[nn.Module, str, Tensor]] = [(o, n, getattr(o, n).clone()) for o, n in named]
        self.moved_on: list[Tensor] = []

    def __enter__(self) -> None:
        """Take the buffers away that have moved on since."""
        self.moved_on = [getattr(owner, name) for owner, name, _ in self.kept]
        for owner, name, buffer in self.kept:
            setattr(owner, name, buffer.clone())

    def __exit__(self, *problem: object) -> None:
        """Give them back."""
        for (owner, name, _), present in zip(self.kept, self.moved_on, strict=True):
            setattr(owner, name, present)
