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

    Parameters, their names and earlier copies are not changed. Networks in ``double_backward`` run uncompiled where a
    gradient penalty differentiates them twice, which compiled code does not support.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)
    twice = {id(network) for network in double_backward}
    for network in networks:
        for name in getattr(network, "compiled_methods", ("forward",)):
            plain = getattr(network, name)
            compiled = torch.compile(plain, dynamic=False)
            if id(network) in twice:
                compiled = _unless_differentiated_twice(network, plain, compiled)
            setattr(network, name, compiled)


def _unless_differentiated_twice(network: nn.Module, plain: Callable[..., Any], compiled: Callable[..., Any]) -> Any:
    @functools.wraps(plain)
    def chosen(x: torch.Tensor, *rest: Any) -> Any:
        """Run uncompiled if images and weights require gradients: a gradient penalty alone needs both."""
        trained = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in network.parameters())
        return (plain if trained and x.requires_grad else compiled)(x, *rest)

    return chosen
