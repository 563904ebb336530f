"""Compiled networks: the same parameters and names, faster passes after one or two minutes of compilation."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

VARIANTS = 64
"""The number of variants of a function (shapes, frozen or not, with or without gradients) that torch compiles."""


def compile_networks(networks: Iterable[nn.Module], double_backward: Iterable[nn.Module]) -> None:
    """Compile ``forward`` of networks, or the methods that a class names in ``compiled_methods``.

    Of a network that is a list of modules, such as one for each domain, every module is compiled. Parameters, their
    names and earlier copies are not changed. Networks in ``double_backward`` run uncompiled where images require
    gradients and weights are trained, since compiled code cannot be differentiated twice. (The penalties of
    `translate.models.penalties` are compiled as a whole, see `translate.acceleration.compiled_penalties`.)
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)
    twice = {id(part) for network in double_backward for part in _parts(network)}
    for network in (part for each in networks for part in _parts(each)):
        for name in getattr(network, "compiled_methods", ("forward",)):
            plain = getattr(network, name)
            compiled = torch.compile(plain, dynamic=False)
            if id(network) in twice:
                compiled = _unless_differentiated_twice(network, plain, compiled)
            setattr(network, name, compiled)


def _parts(network: nn.Module) -> list[nn.Module]:
    return list(network) if isinstance(network, nn.ModuleList) else [network]


def _unless_differentiated_twice(network: nn.Module, plain: Callable[..., Any], compiled: Callable[..., Any]) -> Any:
    @functools.wraps(plain)
    def chosen(x: torch.Tensor, *rest: Any) -> Any:
        """Run uncompiled if images and weights require gradients: a gradient penalty alone needs both."""
        trained = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in network.parameters())
        return (plain if trained and x.requires_grad else compiled)(x, *rest)

    return chosen
