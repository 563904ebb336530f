"""Compiled networks: the same parameters and names, faster passes after a minute or two at the start."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

VARIANTS = 64
"""Kinds of calls (shapes, frozen or not, with gradients or without) of a function that torch keeps code for."""


def compile_networks(networks: Iterable[nn.Module], penalized: Iterable[nn.Module]) -> None:
    """Let torch compile what is called of networks: ``forward``, or what the class names in ``compiled_methods``.

    Parameters, their names and copies made before stay as they are. Those in ``penalized`` run as they are where a
    gradient penalty differentiates them twice, which compiled code does not allow.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)
    twice = {id(network) for network in penalized}
    for network in networks:
        for name in getattr(network, "compiled_methods", ("forward",)):
            plain = getattr(network, name)
            quick = torch.compile(plain, dynamic=False)
            if id(network) in twice:
                quick = _unless_differentiated_twice(network, plain, quick)
            setattr(network, name, quick)


def _unless_differentiated_twice(network: nn.Module, plain: Callable[..., Any], quick: Callable[..., Any]) -> Any:
    @functools.wraps(plain)
    def chosen(x: torch.Tensor, *rest: Any) -> Any:
        """Run plainly where both the images and the weights want gradients: so a penalty asks, and nothing else."""
        learning = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in network.parameters())
        return (plain if learning and x.requires_grad else quick)(x, *rest)

    return chosen
