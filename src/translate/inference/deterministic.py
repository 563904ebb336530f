"""Networks as they translate: what training leaves to the batch and to chance is settled."""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # the base of SyncBatchNorm as well

from translate.networks.layers.normalization import instance_norm


class ImageNorm(nn.Module):
    """A batch norm at batch size 1: every image is normalised by itself, with the learned scale and shift."""

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S) as given."""
        return instance_norm(x, self.weight, self.bias)


class FixedDropout(nn.Module):
    """Dropout with one mask for all images and all calls, drawn from ``seed`` without touching torch's random state."""

    def __init__(self, probability: float, seed: int) -> None:
        super().__init__()
        self.probability, self.seed = probability, seed

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, S, S) of which the same part is zero in every image, the rest scaled up."""
        draws = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(self.seed))
        kept = (draws >= self.probability).to(x.device, x.dtype)
        return x * kept / (1 - self.probability)


def steady(network: nn.Module, statistics: Literal["image", "running"], noise: bool = False) -> nn.Module:
    """Return a network whose output for an image depends on that image and the weights alone.

    It shares its parameters and buffers with the one given, which is left as it is. Batch norms normalise by the
    ``statistics`` of each image, or by those that ran along with training; dropout is off, or with ``noise`` drops the
    same features of every image.
    """
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    result = copy.deepcopy(network, shared).eval()
    seed = 0
    for name, module in list(result.named_modules()):
        if isinstance(module, BatchNorm) and statistics == "image":
            result.set_submodule(name, ImageNorm(module))
        elif isinstance(module, nn.Dropout) and noise:
            result.set_submodule(name, FixedDropout(module.p, seed))
            seed += 1
    return result
