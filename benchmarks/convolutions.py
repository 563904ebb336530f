"""Time the fast convolutions of a CPU against the library's, layer by layer, in turns, and measure their rounding.

    python benchmarks/convolutions.py --rounds 5
    python benchmarks/convolutions.py --bf16

A row for each layer: the rates of the library in billions of multiplications and additions a second, forward and in the
gradient of the weights, and the time of the quick way (forward and both gradients) to the library's. Layers of which
the ratio is above 1 are left to the library (`translate/networks/convolutions.py` has the limits). In float32 also the
rounding of Winograd's algorithm, to that of the library. Freed memory is kept, as in training.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.acceleration import winograd
from translate.acceleration.cpu_convolutions import FastConv2d
from translate.training.process_settings import keep_freed_memory

USUAL_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)


class Layer(NamedTuple):
    """A convolution of square images, and the number of them."""

    batch: int
    width: int
    out_width: int
    side: int
    kernel: int
    stride: int


LAYERS = [
    Layer(1, 256, 256, 32, 3, 1),  # residual blocks of CycleGAN and StarGAN v1 at 128 px
    Layer(2, 256, 256, 32, 3, 1),
    Layer(4, 256, 256, 32, 3, 1),
    Layer(16, 256, 256, 32, 3, 1),
    Layer(1, 192, 192, 64, 3, 1),
    Layer(1, 64, 64, 256, 3, 1),  # decoder of StarGAN v2 at 256 px
    Layer(1, 128, 128, 128, 3, 1),
    Layer(1, 256, 256, 64, 3, 1),
    Layer(1, 512, 512, 32, 3, 1),
    Layer(1, 512, 512, 16, 3, 1),
    Layer(4, 512, 512, 16, 3, 1),
    Layer(16, 256, 256, 16, 3, 1),
    Layer(1, 64, 3, 128, 7, 1),  # last layer of generators
    Layer(4, 64, 3, 128, 7, 1),
    Layer(4, 256, 512, 16, 4, 2),  # last layers of the discriminator of StarGAN v1 at 128 px
    Layer(4, 512, 1024, 8, 4, 2),
    Layer(4, 1024, 2048, 4, 4, 2),
    Layer(16, 1024, 2048, 4, 4, 2),
]


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(layer: Layer, rounds: int, layout: torch.memory_format, dtype: torch.dtype) -> str:
    """Return a row of the table."""
    draws = torch.Generator().manual_seed(0)
    padding = 3 if layer.kernel == 7 else 1
    conv = FastConv2d(layer.width, layer.out_width, layer.kernel, layer.stride, padding, bias=False)
    x = torch.randn(layer.batch, layer.width, layer.side, layer.side, generator=draws).to(dtype)
    x = x.contiguous(memory_format=layout).requires_grad_()
    if layer.kernel != 4:  # heavy weights lie plane by plane
        conv.to(memory_format=layout)
    weight = conv.weight

    def library() -> Tensor:
        return F.conv2d(x, weight, stride=layer.stride, padding=padding)

    def quick() -> Tensor:
        if layer.kernel == 3:
            return winograd.convolve(x, weight, padding)
        return conv.by_output_rows(x) if layer.kernel == 7 else conv.by_matrix_product(x, layer.side // layer.stride)

    y = library()
    g = torch.randn(y.shape, generator=draws).to(dtype).contiguous(memory_format=layout)

    def trained(way: Callable[[], Tensor]) -> object:
        return torch.autograd.grad(way(), (x, weight), g)

    forward, of_weight, ratios = [], [], []
    for number in range(rounds + 1):  # the first one warms up
        took = (
            seconds(library),
            seconds(lambda: torch.autograd.grad(y, weight, g, retain_graph=True)),
            seconds(lambda: trained(quick)) / seconds(lambda: trained(library)),
        )
        if number:
            for found, value in zip((forward, of_weight, ratios), took, strict=True):
                found.append(value)
    work = 2 * g.numel() * layer.width * layer.kernel**2 / 1e9
    rates = [f"{work / statistics.median(times):.0f}" for times in (forward, of_weight)]
    way = {3: "Winograd", 7: "strips", 4: "product"}[layer.kernel]
    name = f"{layer.batch} x {layer.width} to {layer.out_width}, {layer.side} px, {layer.kernel}x{layer.kernel}"
    return f"| {name} | {rates[0]} | {rates[1]} | {way} | {statistics.median(ratios):.2f} |"


def rounding() -> dict[str, float]:
    """Return the root mean square error of 256 channels by Winograd's algorithm, to that of the library."""
    draws = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 256, 32, 32, generator=draws), torch.randn(256, 256, 3, 3, generator=draws)
    exact = F.conv2d(x.double(), weight.double(), padding=1)

    def error(y: Tensor) -> float:
        return (y - exact).square().mean().sqrt().item()

    direct = error(F.conv2d(x, weight, padding=1))
    found = {"Winograd": error(winograd.convolve(x, weight, padding=1)) / direct}
    winograd.INPUT, winograd.WEIGHT, winograd.OUTPUT = winograd.matrices(USUAL_POINTS)
    found["Winograd by the points 0, 1, -1, 2, -2"] = error(winograd.convolve(x, weight, padding=1)) / direct
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--planes", action="store_true", help="images plane by plane, not pixel by pixel")
    parser.add_argument("--bf16", action="store_true", help="in bfloat16 autocast, what can be")
    asked = parser.parse_args()
    layout = torch.contiguous_format if asked.planes else torch.channels_last
    dtype = torch.bfloat16 if asked.bf16 else torch.float32
    keep_freed_memory()
    print("| layer | library, G/s | its gradient of weights | quick | time to the library's |")
    print("| --- | --- | --- | --- | --- |")
    with torch.autocast("cpu", torch.bfloat16, enabled=asked.bf16, cache_enabled=False):
        for layer in LAYERS:
            if not (asked.bf16 and layer.kernel == 3):  # Winograd's algorithm is for float32
                print(measure(layer, asked.rounds, layout, dtype), flush=True)
    if not asked.bf16:
        for way, ratio in rounding().items():
            print(f"rounding, {way}: {ratio:.2f}")


if __name__ == "__main__":
    main()
