"""3x3 convolutions by Winograd's algorithm (Lavin & Gray, CVPR 2016, F(4x4, 3x3)), for CPUs.

A tile of 4x4 outputs takes 36 products where the sum that defines it takes 144. All work is in products of matrices:
tiles of 6x6 inputs are transformed, multiplied by the transformed weights, and transformed back. The result is the
same but for rounding: of 256 channels in float32, a millionth of its size. Gradients, and gradients of gradients, are
such convolutions themselves.

Letters: B batch, C and O channels in and out, h and w sides of what a convolution gives, n tiles.
"""

import math
import threading
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4  # outputs of a tile along a side
REACH = TILE + 2  # inputs of a tile along a side
BAND_BYTES = 8 * 2**20  # of the transformed tiles that are made at a time: they stay in the processor's cache

POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""Where polynomials are evaluated, beside infinity. The usual ones, 1 and 2, round twice as badly."""


def matrices(points: tuple[float, ...] = POINTS) -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of inputs (36, 36), weights (36, 9) and outputs (16, 36), of both sides of a tile at once.

    Inputs and weights of a line are coefficients of polynomials, and their sums of products those of a product of
    polynomials, which its values at enough points determine (Toom and Cook).
    """
    inputs, weights = torch.zeros(REACH, REACH, dtype=torch.float64), torch.zeros(REACH, 3, dtype=torch.float64)
    outputs = torch.zeros(TILE, REACH, dtype=torch.float64)
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        inputs[row, :-1] = _coefficients(others)
        scale = math.prod(point - other for other in others)
        weights[row] = torch.tensor([point**k / scale for k in range(3)])
        outputs[:, row] = torch.tensor([point**k for k in range(TILE)])
    inputs[-1], weights[-1, -1], outputs[-1, -1] = _coefficients(points), 1.0, 1.0  # at infinity
    both = [torch.kron(matrix, matrix).float() for matrix in (inputs, weights, outputs)]
    return both[0], both[1], both[2]


def _coefficients(roots: Sequence[float]) -> Tensor:
    """Return the coefficients, the constant first, of the polynomial with these roots."""
    found = torch.ones(1, dtype=torch.float64)
    for root in roots:
        found = F.pad(found, (1, 0)) - root * F.pad(found, (0, 1))
    return found


INPUT, WEIGHT, OUTPUT = matrices()


def convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Return ``F.conv2d(x, weight, padding=padding)`` for features (B, C, H, W) and weights (O, C, 3, 3), in float32.

    ``padding`` is at most 2. The result lies in memory as ``x`` does. It can be differentiated any number of times.
    """
    y: Tensor = _Convolution.apply(x, weight, padding, False)
    return y


class _Convolution(torch.autograd.Function):
    """A convolution, or with ``turned`` one whose weights are turned about and map back, from O to C channels.

    The gradient of a convolution's input is the turned convolution of what comes back.
    """

    @staticmethod
    def forward(ctx, x, weight, padding, turned):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.turned = padding, turned
        return _convolved(x, weight, padding, turned)

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _Convolution.apply(g, weight, 2 - ctx.padding, not ctx.turned)
        if ctx.needs_input_grad[1]:
            ends = (g, x, 2 - ctx.padding) if ctx.turned else (x, g, ctx.padding)
            of_weight = _Correlation.apply(*ends)
        return of_x, of_weight, None, None


class _Correlation(torch.autograd.Function):
    """The gradient of a convolution's weights."""

    @staticmethod
    def forward(ctx, x, g, padding):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, g)
        ctx.padding = padding
        return _correlated(x, g, padding)

    @staticmethod
    def backward(ctx, v):  # type: ignore[no-untyped-def]
        x, g = ctx.saved_tensors
        of_x = _Convolution.apply(g, v, 2 - ctx.padding, True) if ctx.needs_input_grad[0] else None
        of_g = _Convolution.apply(x, v, ctx.padding, False) if ctx.needs_input_grad[1] else None
        return of_x, of_g, None


def _convolved(x: Tensor, weight: Tensor, padding: int, turned: bool) -> Tensor:
    """Return the convolution of features (B, C, H, W), or turned (B, O, H, W), by weights (O, C, 3, 3)."""
    out_width = weight.shape[1 if turned else 0]
    height, length = (side + 2 * padding - 2 for side in x.shape[2:])
    tiles = _Tiles(x, padding, height, length, out_width)
    taps = _scratch("taps", 9, weight[:, :, 0, 0].numel()).copy_(weight.reshape(-1, 9).t())
    matrix = WEIGHT.flip(1) if turned else WEIGHT
    transformed = torch.mm(matrix, taps, out=_scratch("weights", REACH**2, taps.shape[1]))
    transformed = transformed.view(-1, *weight.shape[:2])
    if not turned:
        transformed = transformed.transpose(1, 2)
    y = x.new_empty(len(x), tiles.rows, TILE, tiles.columns, TILE, out_width)
    for images, rows in tiles.bands():
        inputs = tiles.transformed(images, rows)
        products = torch.bmm(inputs, transformed, out=_scratch("products", REACH**2, inputs.shape[1], out_width))
        outputs = torch.mm(OUTPUT, products.flatten(1), out=_scratch("tiles", TILE**2, products[0].numel()))
        part = y[images, rows].permute(2, 4, 0, 1, 3, 5)
        part.copy_(outputs.view(part.shape))
    y = y.view(len(x), tiles.rows * TILE, tiles.columns * TILE, out_width)[:, :height, :length].permute(0, 3, 1, 2)
    return y.contiguous(memory_format=_layout(x))


def _correlated(x: Tensor, g: Tensor, padding: int) -> Tensor:
    """Return the gradient (O, C, 3, 3) of the weights, for features (B, C, H, W) and what comes back (B, O, h, w)."""
    width, (out_width, height, length) = x.shape[1], g.shape[1:]
    tiles = _Tiles(x, padding, height, length, out_width)
    rest = (0, 0, 0, tiles.columns * TILE - length, 0, tiles.rows * TILE - height)
    g = F.pad(g.permute(0, 2, 3, 1), rest).reshape(len(g), tiles.rows, TILE, tiles.columns, TILE, out_width)
    products = _scratch("weights", REACH**2, out_width, width)
    for number, (images, rows) in enumerate(tiles.bands()):
        inputs = tiles.transformed(images, rows)
        part = g[images, rows].permute(2, 4, 0, 1, 3, 5)
        outputs = _scratch("tiles", *part.shape).copy_(part).view(TILE**2, -1)
        spread = torch.mm(OUTPUT.t(), outputs, out=_scratch("products", REACH**2, outputs.shape[1]))
        back = spread.view(REACH**2, -1, out_width).transpose(1, 2)
        torch.baddbmm(products, back, inputs, beta=min(number, 1), out=products)
    taps = torch.mm(WEIGHT.t(), products.view(REACH**2, -1), out=_scratch("taps", 9, width * out_width))
    return taps.t().clone(memory_format=torch.contiguous_format).view(out_width, width, 3, 3)  # not what is shared


def _layout(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last


class _Tiles:
    """The overlapping 6x6 tiles of features (B, C, H, W) from which the outputs of a convolution are made."""

    def __init__(self, x: Tensor, padding: int, height: int, length: int, out_width: int) -> None:
        self.rows, self.columns = -(-height // TILE), -(-length // TILE)
        below, right = (
            REACH + TILE * (tiles - 1) - side - padding
            for tiles, side in ((self.rows, x.shape[2]), (self.columns, x.shape[3]))
        )
        self.x = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, right, padding, below)).contiguous()  # (B, H, W, C)
        bytes_of_a_row = REACH**2 * self.columns * max(x.shape[1], out_width) * x.element_size()
        self.rows_at_once = max(1, BAND_BYTES // bytes_of_a_row)

    def bands(self) -> Iterator[tuple[slice, slice]]:
        """Yield which images and which of their rows of tiles to make at a time: several images, or a part of one."""
        images, rows = max(1, self.rows_at_once // self.rows), min(self.rows, self.rows_at_once)
        for first in range(0, len(self.x), images):
            for top in range(0, self.rows, rows):
                yield slice(first, first + images), slice(top, min(top + rows, self.rows))

    def transformed(self, images: slice, rows: slice) -> Tensor:
        """Return the transformed tiles (36, n, C) of a band."""
        x = self.x[images, TILE * rows.start :]
        image, line, pixel, channel = x.stride()
        tiles = x.as_strided(
            (REACH, REACH, len(x), rows.stop - rows.start, self.columns, x.shape[3]),
            (line, pixel, image, TILE * line, TILE * pixel, channel),
        )
        gathered = _scratch("tiles", *tiles.shape).copy_(tiles).view(REACH**2, -1)
        transformed = torch.mm(INPUT, gathered, out=_scratch("inputs", *gathered.shape))
        return transformed.view(REACH**2, -1, x.shape[3])


_memory = threading.local()


def _scratch(name: str, *shape: int) -> Tensor:
    """Return scratch memory of this thread, for what lives no longer than a call; its numbers are anything.

    Fresh memory of this size would come from the system every time, which takes longer than filling it.
    """
    memory = getattr(_memory, name, None)
    if memory is None or memory.numel() < math.prod(shape):
        with torch.inference_mode(False):
            memory = torch.empty(math.prod(shape), dtype=torch.float32)
        setattr(_memory, name, memory)
    return memory[: math.prod(shape)].view(shape)
