"""Published files of weights, filled by formula: their names and shapes are the golden layouts, or written out here."""

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from numerics.formula import parameter

GOLDEN = Path(__file__).parent / "golden"

State = dict[str, Tensor]
Content = State | dict[str, State]


def golden(tag: str) -> dict[str, Any]:
    """Return the figures of a published implementation."""
    found: dict[str, Any] = json.loads((GOLDEN / f"{tag}.json").read_text())
    return found


def value(tag: str, network: str, key: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """Return a tensor of a published file: a parameter by formula, a buffer at a value that tells it from others."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if key == "hpf.filter":
        kernel = torch.full((3, 3), -1.0)
        kernel[1, 1] = 8.0
        return kernel
    tensor = parameter(tag, network, key, shape, scale)
    return tensor.abs() + 0.5 if key.endswith("running_var") else tensor


def golden_state(tag: str, network: str, scale: float = 1.0) -> State:
    """Return the tensors of a network of a golden layout."""
    return {key: value(tag, network, key, tuple(shape), scale) for key, shape in golden(tag)["layout"][network]}


def golden_stargan_v2(tag: str, *names: str) -> dict[str, State]:
    """Return a file of the networks of a golden layout; without names those of averages."""
    return {name: golden_state(tag, name) for name in names or ("generator", "mapping_network", "style_encoder")}


def stargan_v2(size: int, w_hpf: float, domains: int, width: int | None = None, widest: int = 512) -> dict[str, State]:
    """Return a file of averages of StarGAN v2 as published, the landmark network's place taken by a few tensors.

    The names and shapes are written out from the publication, not taken from the networks of this project. Without
    ``width`` it is the published one.
    """
    shapes: dict[str, dict[str, tuple[int, ...]]] = {"generator": {}, "mapping_network": {}, "style_encoder": {}}
    width = width or 2**14 // size

    def convolution(network: str, name: str, out: int, into: int, side: int, bias: bool = True) -> None:
        shapes[network][f"{name}.weight"] = (out, into, side, side)
        if bias:
            shapes[network][f"{name}.bias"] = (out,)

    def linear(network: str, name: str, out: int, into: int) -> None:
        shapes[network] |= {f"{name}.weight": (out, into), f"{name}.bias": (out,)}

    def block(network: str, name: str, into: int, out: int, middle: int) -> None:
        convolution(network, f"{name}.conv1", middle, into, 3)
        convolution(network, f"{name}.conv2", out, middle, 3)
        if into != out:
            convolution(network, f"{name}.conv1x1", out, into, 1, bias=False)

    widths = [width]
    for _ in range(int(math.log2(size)) - 4 + (w_hpf > 0)):
        widths.append(min(2 * widths[-1], widest))
    widths += [widths[-1]] * 2
    convolution("generator", "from_rgb", width, 3, 3)
    pairs = list(pairwise(widths))
    for i, (narrow, wide) in enumerate(pairs):
        block("generator", f"encode.{i}", narrow, wide, narrow)
        for norm in ("norm1", "norm2"):
            shapes["generator"] |= {f"encode.{i}.{norm}.weight": (narrow,), f"encode.{i}.{norm}.bias": (narrow,)}
    for i, (narrow, wide) in enumerate(reversed(pairs)):
        block("generator", f"decode.{i}", wide, narrow, narrow)
        linear("generator", f"decode.{i}.norm1.fc", 2 * wide, 64)
        linear("generator", f"decode.{i}.norm2.fc", 2 * narrow, 64)
    shapes["generator"] |= {"to_rgb.0.weight": (width,), "to_rgb.0.bias": (width,)}
    convolution("generator", "to_rgb.2", 3, width, 1)

    for i in range(4):
        linear("mapping_network", f"shared.{2 * i}", 512, 512 if i else 16)
    for d in range(domains):
        for i in range(4):
            linear("mapping_network", f"unshared.{d}.{2 * i}", 64 if i == 3 else 512, 512)

    convolution("style_encoder", "shared.0", width, 3, 3)
    into, halvings = width, int(math.log2(size)) - 2
    for i in range(1, halvings + 1):
        out = min(2 * into, widest)
        block("style_encoder", f"shared.{i}", into, out, into)
        into = out
    convolution("style_encoder", f"shared.{halvings + 2}", into, into, 4)
    for d in range(domains):
        linear("style_encoder", f"unshared.{d}", 64, into)
    shapes["fan"] = {"conv1.conv.weight": (64, 3, 7, 7), "bn1.running_var": (64,), "bn1.num_batches_tracked": ()}
    return {
        network: {key: value("published", network, key, shape) for key, shape in found.items()}
        for network, found in shapes.items()
    }


def wrapped(content: Mapping[str, State]) -> dict[str, State]:
    """Return the same with the prefix of a wrapper for several GPUs."""
    return {name: {f"module.{key}": tensor for key, tensor in state.items()} for name, state in content.items()}


def save(content: Content, path: Path, kind: str = "zip") -> Path:
    """Write a file as torch does today ("zip"), as it did before 1.6 ("legacy"), or as safetensors; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "safetensors":
        flat: State = {}
        for name, found in content.items():
            flat |= {name: found} if isinstance(found, Tensor) else {f"{name}.{k}": t for k, t in found.items()}
        path = path.with_suffix(".safetensors")
        save_file(flat, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    return path


def differences(first: Content, second: Content) -> list[str]:
    """Return the names of tensors that are in one alone, or differ in type, shape or value."""

    def flat(content: Content) -> State:
        found: State = {}
        for name, each in content.items():
            found |= {name: each} if isinstance(each, Tensor) else {f"{name}/{k}": t for k, t in each.items()}
        return found

    a, b = flat(first), flat(second)
    same = [key for key in a.keys() & b.keys() if a[key].dtype == b[key].dtype and a[key].equal(b[key])]
    return sorted((a.keys() | b.keys()) - set(same))
