"""Standard normal noise of the size of feature maps, by the generator of `translate.data.philox` on any device.

A feature map has up to a million numbers an image, which would keep a GPU waiting for the CPU. The words are integers,
so they are equal on every device. The logarithm, root and cosine are computed in float64, so the noise is equal but for
rounding in the last digit of float32.
"""

import math

import numpy as np
import torch
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def words_on(device: torch.device, seed: int, stream: int, positions: np.ndarray, count: int) -> Tensor:
    """Return the words (n, count) of `translate.data.philox.words` as int64 on a device.

    >>> words_on(torch.device("cpu"), 0, 0, np.array([0]), 2)
    tensor([[1713891541, 3781805453]])
    """
    blocks = -(-count // 4)
    places = torch.from_numpy(np.asarray(positions, dtype=np.int64)).to(device, non_blocking=True)[:, None]
    c0, c1 = places & _LOW, places >> 32
    c2 = torch.arange(blocks, device=device)[None]
    c3 = torch.full_like(c2, stream)
    k0, k1 = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(10):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]  # modulo 2^64: all bits are kept
        c0, c1, c2, c3 = (
            _high(product1) ^ c1 ^ k0,
            product1 & _LOW,
            _high(product0) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return torch.stack(torch.broadcast_tensors(c0, c1, c2, c3), dim=-1).flatten(1)[:, :count]


def normal_on(device: torch.device, seed: int, stream: int, positions: np.ndarray, count: int) -> Tensor:
    """Return standard normal numbers (n, count) float32 on a device, see `translate.data.philox.normal`."""
    pairs = -(-count // 2)
    uniform = words_on(device, seed, stream, positions, 2 * pairs).double().mul_(2.0**-32).view(-1, pairs, 2)
    radius = uniform[..., 0].neg().log1p_().mul_(-2).sqrt_()
    angle = 2 * math.pi * uniform[..., 1]
    numbers = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)
    return numbers.flatten(1)[:, :count].float()


def _high(product: Tensor) -> Tensor:
    """Return the high 32 bits of unsigned 64-bit products, which int64 tensors hold."""
    return (product >> 32) & _LOW
