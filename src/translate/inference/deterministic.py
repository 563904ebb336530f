"""Deterministic inference: replace batch statistics and random dropout, so an output depends on its input alone."""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # the base of SyncBatchNorm as well

from translate.networks.layers.normalization import instance_norm


class ImageNorm(nn.Module):
    """A batch norm as at batch size 1: normalize each image by its own statistics, with the trained scale and shift."""

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return normalized features; input and output have shape (B, C, H, W)."""
        return instance_norm(x, self.weight, self.bias)


class FixedDropout(nn.Module):
    """Dropout with one mask for all images and calls, drawn from ``seed`` without torch's global random state."""

    def __init__(self, probability: float, seed: int) -> None:
        super().__init__()
        self.probability, self.seed = probability, seed

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, H, W): the same ones zero in every image, the rest divided by 1 - probability."""
        draws = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(self.seed))
        kept = (draws >= self.probability).to(x.device, x.dtype)
        return x * kept / (1 - self.probability)


def deterministic(network: nn.Module, statistics: Literal["image", "running"], noise: bool = False) -> nn.Module:
    """Return a network in eval mode whose output for an image depends on this image and the weights alone.

    The result shares parameters and buffers with ``network``, which stays unchanged. Batch norms normalize by the
    ``statistics`` of each image, or by the running ones of training. Dropout is off, or with ``noise`` drops the same
    features of every image.
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


class ConstantDropout(nn.Module):
    """Dropout with a stored factor for each feature, for features of one size."""

    factors: Tensor

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.register_buffer("factors", factors)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, H, W) times the factors (C, H, W)."""
        return x * self.factors


@torch.no_grad()
def with_constant_dropout(network: nn.Module, x: Tensor) -> nn.Module:
    """Replace every `FixedDropout` by its factors for images of the size of ``x``, in place; return the network."""
    shapes: dict[str, torch.Size] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, FixedDropout):
            note = lambda module, inputs, name=name: shapes.update({name: inputs[0].shape})  # noqa: E731
            hooks.append(module.register_forward_pre_hook(note))
    if hooks:
        network(x)
    for hook in hooks:
        hook.remove()
    for name, shape in shapes.items():
        factors = network.get_submodule(name)(torch.ones((1, *shape[1:]), device=x.device, dtype=x.dtype))[0]
        network.set_submodule(name, ConstantDropout(factors))
    return network
