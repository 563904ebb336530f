"""Weights and inputs by formula, as the golden figures were made with (no random state, no weight files)."""

import math
import zlib

import numpy as np
import torch
from torch import Tensor, nn


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal float32 numbers that are a function of the name."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return generator.standard_normal(shape).astype(np.float32)


def parameter(tag: str, network: str, key: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """Return the value of a parameter of a network; `scale` is for those of two or more dimensions."""
    values = draw(f"{tag}/{network}/{key}", shape)
    if len(shape) >= 2:
        # the root in float64, then rounded: that of a rounded quotient may differ in the last digit
        return torch.from_numpy(values * np.float32(math.sqrt(2 / math.prod(shape[1:]))) * np.float32(scale))
    return torch.from_numpy(1 + 0.1 * values if key.endswith(("weight", "gamma")) else 0.1 * values)


def fill(module: nn.Module, tag: str, network: str, scale: float = 1.0) -> None:
    """Fill the parameters of a module in place, see `parameter`."""
    with torch.no_grad():
        for key, value in module.named_parameters():
            value.copy_(parameter(tag, network, key, tuple(value.shape), scale))


def image(tag: str, field: str, k: int, batch: int, size: int) -> Tensor:
    """Return the images (B, 3, S, S) of a field at iteration k."""
    return torch.from_numpy(np.tanh(draw(f"{tag}/{field}/{k}", (batch, 3, size, size))))


def code(tag: str, field: str, k: int, batch: int, length: int) -> Tensor:
    """Return the latent codes (B, L) of a field at iteration k."""
    return torch.from_numpy(draw(f"{tag}/{field}/{k}", (batch, length)))


def summary(weight: Tensor) -> list[float]:
    """Return mean, root mean square and a fixed random projection of a parameter."""
    values = weight.detach().double().flatten().numpy()
    direction = np.random.Generator(np.random.PCG64(12345)).standard_normal(values.size)
    rms = float(np.sqrt((values**2).mean()))
    return [float(values.mean()), rms, float(values @ direction / np.sqrt(values.size))]
