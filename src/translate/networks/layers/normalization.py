"""Normalisations that several networks share."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.device import on_cpu

EPSILON = 1e-5  # added to every variance; torch's default


def instance_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Return ``weight (x - mean) / sqrt(variance + 1e-5) + bias``, with statistics of each channel of each image.

    ``x`` is (B, C, S, S). This is computed as a group norm with one channel in each group or, for channels-last memory
    on a CPU, as the batch norm of each image. Results equal those of ``F.instance_norm`` but for rounding, which is
    slower on a CPU because it copies. (The backward pass of a group norm takes four times as long there, in bfloat16
    thirty times.)
    """
    if not on_cpu(x) or x.is_contiguous():
        return F.group_norm(x, x.shape[1], weight, bias)
    images = [torch.batch_norm(image, weight, bias, None, None, True, 0.0, EPSILON, False) for image in x.split(1)]
    return images[0] if len(images) == 1 else torch.cat(images)


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and shift for each channel, without running statistics.

    With ``slope`` a leaky ReLU of that slope follows. It has no parameters, so files are the same.
    """

    def __init__(self, width: int, slope: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S)."""
        return activate(instance_norm(x, self.weight, self.bias), self.slope)


class PlainInstanceNorm(nn.Module):
    """Instance normalisation without parameters and without running statistics, and a leaky ReLU if it has a slope."""

    def __init__(self, slope: float | None = None) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S)."""
        return activate(instance_norm(x), self.slope)


class AdaIN(nn.Module):
    """Adaptive instance normalisation: instance norm, then a scale 1 + gamma and a shift beta from the style.

    With ``slope`` a leaky ReLU of that slope follows.
    """

    def __init__(self, style_size: int, width: int, slope: float | None = None) -> None:
        super().__init__()
        self.fc = nn.Linear(style_size, 2 * width)
        self.slope = slope

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Return features (B, C, S, S) restyled by codes (B, Z)."""
        gamma, beta = self.fc(style)[:, :, None, None].chunk(2, dim=1)
        return activate(torch.addcmul(beta, 1 + gamma, instance_norm(x)), self.slope)


def activate(x: Tensor, slope: float | None) -> Tensor:
    """Return the leaky ReLU of features, or the features without a slope."""
    return x if slope is None else F.leaky_relu(x, slope)


class UnbiasedLayerNorm(nn.Module):
    """Layer normalisation by the unbiased deviation, with a learned scale and shift for each channel (UNIT, MUNIT).

    ``gamma (x - mean) / (deviation + 1e-5) + beta``, with statistics over channels and pixels of an image. Epsilon is
    added to the deviation and not to the variance. ``gamma`` starts uniform on [0, 1), ``beta`` at 0.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S)."""
        deviation, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True)
        scale, shift = self.gamma[:, None, None], self.beta[:, None, None]
        return (x - mean) / (deviation + EPSILON) * scale + shift


def normalization(norm: Literal["instance", "batch", "none"], width: int) -> nn.Module:
    """Return a normalisation of features (B, width, S, S): instance norm without parameters, batch norm, or none."""
    if norm == "none":
        return nn.Identity()
    if norm not in ("instance", "batch"):
        raise UserError(key="norm", found=norm, expected="'instance' or 'batch'")
    return PlainInstanceNorm() if norm == "instance" else nn.BatchNorm2d(width)
