"""Spectral normalisation of weights (Miyato et al., ICLR 2018), with a power iteration that a model moves.

A layer computes with ``W / sigma``, where ``sigma = u^T W v`` estimates the largest singular value of W, a weight
flattened to (outputs, all other dimensions). The vectors u and v are buffers, constants to the gradient. A forward pass
does not change them: `advance_power_iterations` does, once at the beginning of each update of the network, see
`TranslationModel.update`. So all forward passes of an update, of all microbatches and in the recomputation of
activations, have one sigma. Processes have equal vectors, because these are a function of equal weights. They are in
checkpoints, so a resumed run has them too.

torch's own parametrization moves the vectors in every forward pass in training mode, those of the generator's update
included, so its sigma depends on the number of forward passes and of microbatches.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from translate.networks.layers.device import without_autocast

PARAMETRIZED = "parametrizations.weight."  # in the names of a layer's tensors in state dicts
FIRST_ITERATIONS = 15  # of a new layer, so that the first sigma is near the largest singular value


class SpectralNorm(nn.Module):
    """The parametrization ``W -> W / (u^T W v)`` of a weight of two or more dimensions."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(len(weight)), dim=0))
        self.register_buffer("v", torch.zeros(weight[0].numel()))
        self.advance(weight, FIRST_ITERATIONS)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the normalised weight."""
        with without_autocast(weight):
            return weight / torch.dot(self.u, weight.flatten(1) @ self.v)

    @torch.no_grad()
    def advance(self, weight: Tensor, times: int = 1) -> None:
        """Move u and v by so many power iterations: ``v = W^T u / |W^T u|``, ``u = W v / |W v|``."""
        matrix = weight.flatten(1)
        for _ in range(times):
            self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
            self.u.copy_(F.normalize(matrix @ self.v, dim=0))


def normalize_spectrally(network: nn.Module) -> None:
    """Give every convolution and linear layer of a network a spectrally normalised weight, after initialisation.

    The weight of a layer becomes ``parametrizations.weight.original`` in state dicts, with the buffers beside it.
    """
    for part in list(network.modules()):
        if isinstance(part, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(part, "weight", SpectralNorm(part.weight))


def has_spectral_norms(network: nn.Module) -> bool:
    """Return whether a network has spectrally normalised weights."""
    return any(isinstance(part, SpectralNorm) for part in network.modules())


def advance_power_iterations(network: nn.Module) -> None:
    """Move the power iterations of all spectrally normalised weights of a network by one step."""
    for part in network.modules():
        if isinstance(part, parametrize.ParametrizationList):
            for each in part:
                if isinstance(each, SpectralNorm):
                    each.advance(part.original)


def without_spectral_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict that has ``W / sigma`` as ``weight`` in the place of each parametrized weight.

    A network without spectral norms computes the same with it.

    >>> layer = nn.Linear(2, 2, bias=False)
    >>> normalize_spectrally(layer)
    >>> plain = without_spectral_norms(layer.state_dict())
    >>> list(plain), torch.equal(plain["weight"], layer.weight)
    (['weight'], True)
    """
    plain: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name, parametrized, rest = key.rpartition(PARAMETRIZED)
        if not parametrized:
            plain[key] = tensor
        elif rest == "original":
            u, v = (state[f"{name}{PARAMETRIZED}0.{vector}"] for vector in "uv")
            plain[f"{name}weight"] = tensor / torch.dot(u, tensor.flatten(1) @ v)
    return plain
