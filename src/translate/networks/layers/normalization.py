"""Normalisations that several networks share."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.layers.device import on_cpu

EPSILON = 1e-5  # what is added to every variance, torch's own


def instance_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Return features (B, C, S, S) with mean 0 and variance 1 in every channel of every image, then scaled and shifted.

    Written as a group norm of one channel a group or, for channels-last memory on a CPU, as the batch norm of each
    image: the same numbers but for rounding, and quicker than ``F.instance_norm`` there, which copies to and fro. (The
    backward pass of a group norm takes four times as long there, in bfloat16 thirty times.)
    """
    if not on_cpu(x) or x.is_contiguous():
        return F.group_norm(x, x.shape[1], weight, bias)
    images = [torch.batch_norm(image, weight, bias, None, None, True, 0.0, EPSILON, False) for image in x.split(1)]
    return images[0] if len(images) == 1 else torch.cat(images)


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and shift a channel, and no running statistics."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S) as given."""
        return instance_norm(x, self.weight, self.bias)


class PlainInstanceNorm(nn.Module):
    """Instance normalisation that learns nothing: no parameters, no running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S) as given."""
        return instance_norm(x)


def normalization(norm: Literal["instance", "batch"], width: int) -> nn.Module:
    """Return a layer that normalises (B, width, S, S): each image alone, without parameters, or the batch."""
    if norm not in ("instance", "batch"):
        raise ValueError(f"norm: found {norm!r}, expected 'instance' or 'batch'")
    return PlainInstanceNorm() if norm == "instance" else nn.BatchNorm2d(width)
