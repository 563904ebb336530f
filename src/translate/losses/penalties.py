"""Gradient penalties on a discriminator."""

import torch
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("r1")
def r1(logits: Tensor, real: Tensor) -> Tensor:
    """Return the R1 penalty, ``0.5 * mean over the batch of |grad_x sum(D(x))|^2`` (Mescheder et al. 2018, eq. 9).

    ``logits`` (B,) must have been computed from ``real`` (B, ...), which must require a gradient. The result can be
    differentiated again. The publication's ``gamma / 2`` is 0.5 here; scale it by the term's weight.

    >>> x = torch.tensor([[3.0]], requires_grad=True)
    >>> r1((2 * x).sum(1), x).item()
    2.0
    """
    (gradient,) = torch.autograd.grad(precise(logits).sum(), real, create_graph=True)
    return 0.5 * precise(gradient).square().flatten(1).sum(1).mean()


@LOSSES.register("gradient_penalty")
def gradient_penalty(logits: Tensor, mixed: Tensor) -> Tensor:
    """Return ``mean over the batch of (|grad_x sum(D(x))| - 1)^2`` (WGAN-GP, Gulrajani et al. 2017, eq. 3).

    ``logits`` (B, ...) must have been computed from ``mixed`` (B, ...), points between real and fake images, which must
    require a gradient; the logits of an image's patches are summed, as in StarGAN v1. The result can be differentiated
    again. The publication's factor of 10 is the term's weight.

    >>> x = torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> gradient_penalty(x.square().sum(1), x).item()
    81.0
    """
    (gradient,) = torch.autograd.grad(precise(logits).sum(), mixed, create_graph=True)
    return (torch.linalg.vector_norm(precise(gradient).flatten(1), dim=1) - 1).square().mean()
