"""Gradient reversal (Ganin et al., JMLR 2016, arXiv 1505.07818): a network and its opponent in one update."""

from typing import Any

import torch
from torch import Tensor


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """Return ``x`` unchanged; its gradient is that of the result times ``-factor``.

    What follows minimizes a loss, and what comes before maximizes the same loss. With ``factor`` 0 the gradient ends.

    >>> x = torch.tensor([2.0], requires_grad=True)
    >>> (3 * reverse_gradient(x, 0.5)).sum().backward()
    >>> x.grad
    tensor([-1.5000])
    """
    reversed_: Tensor = _Reversal.apply(x, factor)
    return reversed_


class _Reversal(torch.autograd.Function):
    """The identity, with the gradient times a negative factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None
