"""Gradient penalties on a discriminator D. Each is a mean over the batch and can be differentiated again."""

import torch
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("r1")
def r1(logits: Tensor, real: Tensor) -> Tensor:
    """Return the R1 penalty ``0.5 E[|grad_x D(x)|^2]`` (Mescheder et al. 2018, eq. 9).

    ``logits`` (B,) must be computed from ``real`` (B, ...), which must require a gradient. The paper's ``gamma / 2`` is
    0.5 here; ``gamma`` is the weight of the term.

    >>> x = torch.tensor([[3.0]], requires_grad=True)
    >>> r1((2 * x).sum(1), x).item()
    2.0
    """
    (gradient,) = torch.autograd.grad(precise(logits).sum(), real, create_graph=True)
    return 0.5 * precise(gradient).square().flatten(1).sum(1).mean()


@LOSSES.register("gradient_penalty")
def gradient_penalty(logits: Tensor, interpolated: Tensor) -> Tensor:
    """Return the penalty of WGAN-GP, ``E[(|grad_x D(x)| - 1)^2]`` (Gulrajani et al. 2017, eq. 3).

    ``logits`` (B, ...) must be computed from ``interpolated`` (B, ...), see `interpolate`. The logits of the patches of
    an image are summed, as in StarGAN v1. The paper's factor of 10 is the weight of the term.

    >>> x = torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> gradient_penalty(x.square().sum(1), x).item()
    81.0
    """
    (gradient,) = torch.autograd.grad(precise(logits).sum(), interpolated, create_graph=True)
    return (torch.linalg.vector_norm(precise(gradient).flatten(1), dim=1) - 1).square().mean()


def interpolate(real: Tensor, fake: Tensor, weights: Tensor) -> Tensor:
    """Return ``w real + (1 - w) fake``, the images at which `gradient_penalty` differentiates the discriminator.

    ``real`` and ``fake`` (B, ...), ``weights`` (B, 1, ...) in [0, 1] on any device. The result requires a gradient and
    has no history.

    >>> interpolate(torch.tensor([[1.0]]), torch.tensor([[3.0]]), torch.tensor([[0.25]])).item()
    2.5
    """
    weights = weights.to(real.device, real.dtype, non_blocking=True)
    return (weights * real.detach() + (1 - weights) * fake.detach()).requires_grad_()
