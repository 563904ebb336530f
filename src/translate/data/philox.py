"""Random numbers as a function of (seed, stream, position), by the counter-based generator Philox4x32-10.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. There is no state: any process can draw the
numbers of any position, in any order, and gets the same numbers. The streams are numbered in `translate.data.streams`.
"""

import numpy as np

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Return four random 32-bit words (..., 4) uint32 for each counter (..., 4)."""
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _HALF) ^ c1 ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _HALF) ^ c3 ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def words(seed: int, stream: int, positions: np.ndarray, count: int) -> np.ndarray:
    """Return random words (n, count) uint32 of a stream at positions (n,), integers in [0, 2^63)."""
    positions = np.asarray(positions, dtype=np.uint64)
    blocks = -(-count // 4)
    counter = np.empty((len(positions), blocks, 4), dtype=np.uint64)
    counter[..., 0] = (positions & _LOW)[:, None]
    counter[..., 1] = (positions >> _HALF)[:, None]
    counter[..., 2] = np.arange(blocks, dtype=np.uint64)
    counter[..., 3] = np.uint64(stream)
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    return philox(counter, key).reshape(len(positions), blocks * 4)[:, :count]


def uniform(seed: int, stream: int, positions: np.ndarray, count: int) -> np.ndarray:
    """Return uniform numbers (n, count) float64 in [0, 1) at positions (n,)."""
    return words(seed, stream, positions, count) * 2.0**-32


def normal(seed: int, stream: int, positions: np.ndarray, count: int) -> np.ndarray:
    """Return standard normal numbers (n, count) float32 at positions (n,), by Box and Muller (1958)."""
    pairs = -(-count // 2)
    u = uniform(seed, stream, positions, 2 * pairs).reshape(len(positions), pairs, 2)
    radius = np.sqrt(-2 * np.log1p(-u[..., 0]))
    angle = 2 * np.pi * u[..., 1]
    numbers = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return numbers.reshape(len(positions), 2 * pairs)[:, :count].astype(np.float32)


def integers(seed: int, stream: int, positions: np.ndarray, below: np.ndarray | int) -> np.ndarray:
    """Return uniform integers (n,) int64 in [0, below) at positions (n,); ``below`` is a number or (n,)."""
    return (uniform(seed, stream, positions, 1)[:, 0] * below).astype(np.int64)


def choose(draws: np.ndarray, count: int, below: int) -> np.ndarray:
    """Return ``count`` different integers in [0, below), or all of them if there are fewer, in random order, int64.

    ``draws`` are at least ``4 * count`` uniform numbers in [0, 1). All subsets and orders are equally likely: of few
    integers it is the beginning of a permutation, of many the first different ones of integers drawn with repetition.

    >>> choose(np.array([0.9, 0.1, 0.15, 0.5] * 2), 2, 100), choose(np.array([0.9, 0.1, 0.2, 0.5] * 2), 2, 3)
    (array([90, 10]), array([1, 2]))
    """
    if below <= 4 * count:
        return np.argsort(draws[:below], kind="stable")[:count]
    integers = (draws * below).astype(np.int64)
    _, first = np.unique(integers, return_index=True)
    assert len(first) >= count, f"{len(first)} different integers of {len(integers)} below {below}, {count} wanted"
    return integers[np.sort(first)[:count]]
