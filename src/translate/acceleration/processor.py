"""What this processor computes fast, from its instructions and from measurements of such processors."""

import platform

import torch

FASTER: dict[str, frozenset[str]] = {
    "AVX512": frozenset({"winograd", "output rows", "input rows", "product"}),
    "AVX2": frozenset({"output rows", "product"}),
}
"""Algorithms that were measured to be faster than the library, by the instructions that torch uses.

On AVX2 a residual layer of CycleGAN by Winograd's algorithm takes 1.01 of the library's time for one image and 0.91 for
two, and keeps more memory; input rows take 1.25, the product 0.42. See docs/benchmarks.md.
"""

OTHERWISE = frozenset({"output rows", "product"})
"""Algorithms for processors that were not measured: those that do less work without additional memory."""


def is_faster(algorithm: str) -> bool:
    """Return whether an algorithm for convolutions is faster than the library on this kind of processor.

    A table answers, not a measurement at the start: equal processors choose, and so round, equally.
    """
    return algorithm in FASTER.get(torch.backends.cpu.get_cpu_capability(), OTHERWISE)


def computes_bfloat16() -> bool:
    """Return whether this processor has instructions for products in bfloat16; True where this is not known."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
