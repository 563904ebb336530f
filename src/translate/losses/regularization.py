"""Regularization of latent codes."""

from torch import Tensor

from translate.losses.precision import precise
from translate.registry.registry import LOSSES


@LOSSES.register("code_energy")
def code_energy(code: Tensor) -> Tensor:
    """Return ``E[z^2]``, the mean over all elements of codes z of any shape (UNIT).

    The divergence of a normal distribution with mean z and deviation 1 from the standard normal one is ``z^2 / 2``.

    >>> import torch
    >>> code_energy(torch.tensor([1.0, 3.0])).item()
    5.0
    """
    return precise(code).square().mean()
