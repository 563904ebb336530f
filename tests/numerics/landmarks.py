"""The layout of wing.ckpt written out from the publication, its tensors filled by formula, and the network plainly."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from numerics.published import State, value

NUM_TENSORS, NUM_PARAMETERS = 336, 6_333_603
"""Of the landmark network in the released files."""


def layout() -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the landmark network by name."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{key}": (width,) for key in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def convolution(name: str, out: int, into: int, side: int, bias: bool) -> None:
        shapes[f"{name}.weight"] = (out, into, side, side)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    def block(name: str, into: int, out: int) -> None:
        widths = (into, out // 2, out // 4, out // 4)
        for number in (1, 2, 3):
            norm(f"{name}.bn{number}", widths[number - 1])
            convolution(f"{name}.conv{number}", widths[number], widths[number - 1], 3, bias=False)
        if into != out:
            norm(f"{name}.downsample.0", into)
            convolution(f"{name}.downsample.2", out, into, 1, bias=False)

    convolution("conv1.conv", 64, 3 + 3, 7, bias=True)
    norm("bn1", 64)
    block("conv2", 64, 128)
    block("conv3", 128, 128)
    block("conv4", 128, 256)
    convolution("m0.coordconv.conv", 256, 256 + 3, 1, bias=True)
    for name in (*(f"b{b}_{level}" for b in (1, 2, 3) for level in (1, 2, 3, 4)), "b2_plus_1"):
        block(f"m0.{name}", 256, 256)
    block("top_m_0", 256, 256)
    convolution("conv_last0", 256, 256, 1, bias=True)
    norm("bn_end0", 256)
    convolution("l0", 98 + 1, 256, 1, bias=True)
    return shapes


def state() -> State:
    """Return the tensors by formula."""
    return {key: value("wing", "fan", key, shape) for key, shape in layout().items()}


def save_wing(path: Path, tensors: State) -> Path:
    """Write a file as wing.ckpt is: the tensors below `state_dict`, beside notes."""
    torch.save({"state_dict": tensors, "epoch": 80}, path)
    return path


def heat_maps(tensors: State, images: Tensor) -> Tensor:
    """Return the heat maps (B, 98, 64, 64) of images (B, 3, 256, 256) in [0, 1], operation by operation."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            tensors[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def convolution(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = tensors[f"{name}.weight"]
        return F.conv2d(x, weight, tensors.get(f"{name}.bias"), stride, padding=weight.shape[2] // 2)

    def with_coordinates(x: Tensor) -> Tensor:
        side = x.shape[2]
        line = torch.arange(side) / (side - 1) * 2 - 1
        rows, columns = line[:, None].expand(side, side), line[None, :].expand(side, side)
        radius = (rows**2 + columns**2).sqrt()
        return torch.cat([x, torch.stack([rows, columns, radius / 2**0.5]).expand(len(x), 3, side, side)], dim=1)

    def block(name: str, x: Tensor) -> Tensor:
        outputs, y = [], x
        for number in (1, 2, 3):
            y = convolution(f"{name}.conv{number}", norm(f"{name}.bn{number}", y).relu())
            outputs.append(y)
        if f"{name}.downsample.2.weight" in tensors:
            x = convolution(f"{name}.downsample.2", norm(f"{name}.downsample.0", x).relu())
        return torch.cat(outputs, dim=1) + x

    x = norm("bn1", convolution("conv1.conv", with_coordinates(images), stride=2)).relu()
    x = block("conv4", block("conv3", F.avg_pool2d(block("conv2", x), 2)))
    x = convolution("m0.coordconv.conv", with_coordinates(x))
    skips = []
    for level in (4, 3, 2, 1):
        skips.append(block(f"m0.b1_{level}", x))
        x = block(f"m0.b2_{level}", F.avg_pool2d(x, 2))
    x = block("m0.b2_plus_1", x)
    for level in (1, 2, 3, 4):
        x = block(f"m0.b3_{level}", x)
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) + skips.pop()
    x = norm("bn_end0", convolution("conv_last0", block("top_m_0", x))).relu()
    return convolution("l0", x)[:, :98]
