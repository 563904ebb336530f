"""Gradient penalties on a discriminator D. Each is a mean over the batch and can be differentiated again.

The zero-centred penalties ``0.5 E[|grad_x D(x)|^2]`` differ in the images: `r1` has real ones, `r2` fake ones,
`zero_centred` images between both. The papers' ``gamma / 2`` is 0.5 here; ``gamma`` is the weight of the term. D(x) is
the mean of an image's logits: over the patches of a map, then over several maps. So the penalty concerns the same mean
as an adversarial loss. The sensitivity of one patch's logit enters by its share, so a discriminator of many patches
needs a larger gamma than one with a logit for each image.

`gradient_penalty` is centred at one. There D(x) is the sum of an image's logits, as in StarGAN v1.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES

Logits = Tensor | Sequence[Tensor]
"""Logits of one map (B, ...), or of several maps."""


@LOSSES.register("r1")
def r1(logits: Logits, real: Tensor) -> Tensor:
    """Return the R1 penalty ``0.5 E[|grad_x D(x)|^2]`` of real images (Mescheder et al. 2018, eq. 9).

    ``logits`` must be computed from ``real`` (B, ...), which must require a gradient.

    >>> x = torch.tensor([[3.0]], requires_grad=True)
    >>> r1((2 * x).sum(1), x).item()
    2.0
    """
    return squared_gradients([logits], [real])[0]


@LOSSES.register("r2")
def r2(logits: Logits, fake: Tensor) -> Tensor:
    """Return the R2 penalty ``0.5 E[|grad_x D(G)|^2]`` of fake images (Mescheder et al. 2018, eq. 10; R3GAN).

    ``logits`` must be computed from ``fake`` (B, ...), which must require a gradient and needs no history.

    >>> x = torch.tensor([[3.0], [1.0]], requires_grad=True)
    >>> r2(x.square().sum(1), x).item()
    10.0
    """
    return squared_gradients([logits], [fake])[0]


@LOSSES.register("zero_centred")
def zero_centred(logits: Logits, interpolated: Tensor) -> Tensor:
    """Return ``0.5 E[|grad_x D(x)|^2]`` of images between real and fake ones (Thanh-Tung et al. 2019, eq. 5).

    ``logits`` must be computed from ``interpolated`` (B, ...), see `interpolate`.

    >>> x = torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> zero_centred(x.square().sum(1), x).item()
    50.0
    """
    return squared_gradients([logits], [interpolated])[0]


def squared_gradients(logits: Sequence[Logits], images: Sequence[Tensor]) -> list[Tensor]:
    """Return ``0.5 E[|grad_x D(x)|^2]`` for each of several batches of images, by one backward pass.

    The logits of a batch (B, ...) must be computed from its images (B, ...), and not depend on the other batches.
    """
    gradients = torch.autograd.grad(total_of_means(logits), list(images), create_graph=True)
    return [squared_norm(gradient) for gradient in gradients]


def squared_norm(gradient: Tensor) -> Tensor:
    """Return ``0.5 E[|g|^2]`` of the gradients g (B, ...) with respect to images.

    >>> squared_norm(torch.tensor([[3.0, 4.0]]))
    tensor(12.5000)
    """
    return 0.5 * precise(gradient).square().flatten(1).sum(1).mean()


def distance_of_norm(gradient: Tensor) -> Tensor:
    """Return ``E[(|g| - 1)^2]`` of the gradients g (B, ...) with respect to images.

    >>> distance_of_norm(torch.tensor([[3.0, 4.0]]))
    tensor(16.)
    """
    return (torch.linalg.vector_norm(precise(gradient).flatten(1), dim=1) - 1).square().mean()


def total_of_means(logits: Sequence[Logits]) -> Tensor:
    """Return the sum over all images of several batches of `mean_logits`, whose gradients `squared_norm` measures."""
    return torch.stack([mean_logits(each).sum() for each in logits]).sum()


def total_of_sums(logits: Sequence[Logits]) -> Tensor:
    """Return the sum of all logits of several batches, whose gradients `distance_of_norm` measures."""
    maps = [each for of_batch in logits for each in ([of_batch] if isinstance(of_batch, Tensor) else of_batch)]
    totals = [precise(each).sum() for each in maps]
    return totals[0] if len(totals) == 1 else torch.stack(totals).sum()


Totals = Sequence[Callable[[Sequence[Logits]], Tensor]]
"""Functions of the logits of several batches, whose values are differentiated: `total_of_means`, `total_of_sums`."""

WithInputGradients = Callable[[Callable[..., Sequence[Any]], Sequence[Tensor], Sequence[int], Totals], Any]
"""The signature of `with_input_gradients`."""


def with_input_gradients(
    function: Callable[..., Sequence[Any]], images: Sequence[Tensor], chosen: Sequence[int], totals: Totals
) -> tuple[Sequence[Any], list[Sequence[Tensor]]]:
    """Return the outputs of a function of batches of images, and gradients that can be differentiated again.

    The first outputs are the logits of each batch. ``images`` (B, ...) have no history. The gradients, for each of
    ``totals``, are those of its value at the logits of the batches ``chosen``, with respect to these batches.
    """
    images = [batch.detach().requires_grad_(place in chosen) for place, batch in enumerate(images)]
    outputs = function(*images)
    logits, batches = [outputs[place] for place in chosen], [images[place] for place in chosen]
    return outputs, [torch.autograd.grad(total(logits), batches, create_graph=True) for total in totals]


def mean_logits(logits: Logits) -> Tensor:
    """Return D(x) of each image (B,): the mean over a map (B, ...), then over several maps, in float32 at least.

    >>> mean_logits([torch.tensor([[1.0, 3.0]]), torch.tensor([[6.0]])])
    tensor([4.])
    """
    maps = [logits] if isinstance(logits, Tensor) else logits
    means = [precise(each).flatten(1).mean(1) if each.dim() > 1 else precise(each) for each in maps]
    return means[0] if len(means) == 1 else torch.stack(means).mean(0)


@LOSSES.register("gradient_penalty")
def gradient_penalty(logits: Logits, interpolated: Tensor) -> Tensor:
    """Return the penalty of WGAN-GP, ``E[(|grad_x D(x)| - 1)^2]`` (Gulrajani et al. 2017, eq. 3).

    ``logits`` (B, ...) must be computed from ``interpolated`` (B, ...), see `interpolate`. The logits of the patches of
    an image are summed, as in StarGAN v1, and those of several maps. The paper's factor of 10 is the weight of
    the term.

    >>> x = torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> gradient_penalty(x.square().sum(1), x).item()
    81.0
    """
    (gradient,) = torch.autograd.grad(total_of_sums([logits]), interpolated, create_graph=True)
    return distance_of_norm(gradient)


def interpolate(real: Tensor, fake: Tensor, weights: Tensor) -> Tensor:
    """Return ``w real + (1 - w) fake``, the images at which `gradient_penalty` differentiates the discriminator.

    ``real`` and ``fake`` (B, ...), ``weights`` (B, 1, ...) in [0, 1] on any device. The result requires a gradient and
    has no history.

    >>> interpolate(torch.tensor([[1.0]]), torch.tensor([[3.0]]), torch.tensor([[0.25]])).item()
    2.5
    """
    weights = weights.to(real.device, real.dtype, non_blocking=True)
    return (weights * real.detach() + (1 - weights) * fake.detach()).requires_grad_()
