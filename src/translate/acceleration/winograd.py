"""3x3 convolutions by Winograd's algorithm along the height (Lavin & Gray, CVPR 2016, F(4, 3)), for CPUs.

A column of 4 outputs needs 6 multiplications for each tap along the width; the definition needs 12. Columns of 6
inputs and the weights are transformed. Their products are one convolution of the library in 6 groups, with kernels
of one row. The products are transformed back. The library does half of the work. Results are equal but for
rounding: with 256 channels in float32, the relative difference is 1e-6. The backward pass stores the transformed
features, 1.5 times the size that the library stores, and the transformed weights, twice their size. Letters: B
batch, C and O channels in and out, H and W sides of the input, h and v sides of the output, n = h / 4 columns at
each position along the width, rounded up.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4  # outputs of a column
REACH = TILE + 2  # inputs of a column

POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""Where polynomials are evaluated, beside infinity. The usual 0, 1, -1, 2, -2 have 1.5 times the rounding error."""


def matrices(points: tuple[float, ...] = POINTS) -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of inputs (6, 6), weights (6, 3) and outputs (4, 6).

    The inputs and weights of a column are coefficients of two polynomials. The outputs are coefficients of their
    product, which its values at enough points determine (Toom and Cook).
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
    return inputs.float(), weights.float(), outputs.float()


def _coefficients(roots: Sequence[float]) -> Tensor:
    """Return the coefficients, the constant first, of the polynomial with these roots."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        coefficients = F.pad(coefficients, (1, 0)) - root * F.pad(coefficients, (0, 1))
    return coefficients


INPUT, WEIGHT, OUTPUT = matrices()


def convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Return ``F.conv2d(x, weight, padding=padding)`` for features (B, C, H, W) and weights (O, C, 3, 3), in float32.

    The result has the memory format of ``x``. It can be differentiated any number of times.
    """
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    products = _Products.apply(_Columns.apply(x, padding, layout), _Taps.apply(weight), padding)
    columns = torch.matmul(OUTPUT, _split(products))  # (B, n, v, 4, O)
    y = columns.transpose(2, 3).flatten(1, 2)
    height = x.shape[2] + 2 * padding - 2
    if y.shape[1] > height:
        y = y[:, :height]
    return y.permute(0, 3, 1, 2).contiguous(memory_format=layout)


class _Products(torch.autograd.Function):
    """The products (B, 6 O, n, v) of transformed features (B, 6 C, n, W) and weights (6 O, C, 1, 3)."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, taps: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(columns, taps)
        ctx.padding = padding
        return F.conv2d(columns, taps, padding=(0, padding), groups=REACH)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (g,), (columns, taps), padding = gradients, ctx.saved_tensors, ctx.padding
        how = ([1, 1], [0, padding], [1, 1], False, [0, 0], REACH)
        derive = torch.ops.aten.convolution_backward  # has derivatives itself; torch.nn.grad copies
        of_columns = of_taps = None
        if ctx.needs_input_grad[0]:
            of_columns = derive(g, columns, taps, None, *how, [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            # each row as an image: the library divides images among threads, and few large ones badly
            of_taps = derive(_apart(g), _apart(columns), taps, None, *how, [False, True, False])[1]
        return of_columns, of_taps, None


class _Columns(torch.autograd.Function):
    """The transformed columns (B, 6 C, n, W) of features (B, C, H, W), for ``padding`` rows of zeros at both ends.

    ``layout`` is the memory format of the features and of their gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int, layout: torch.memory_format) -> Tensor:
        ctx.how = (x.shape[2], padding, layout)
        rows = -(-(x.shape[2] + 2 * padding - 2) // TILE)
        below = TILE * rows + 2 - x.shape[2] - padding
        x = x.permute(0, 2, 3, 1)
        if padding or below:
            x = F.pad(x, (0, 0, 0, 0, padding, below))  # the next line would copy them anyway
        x = x.contiguous()  # (B, 4 n + 2, W, C)
        image, line, place, channel = x.stride()
        size = (len(x), rows, x.shape[2], REACH, x.shape[3])
        columns = x.as_strided(size, (image, TILE * line, place, line, channel))
        return torch.matmul(INPUT, columns).flatten(3).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Overlaid.apply(*gradients, *ctx.how), None, None


class _Overlaid(torch.autograd.Function):
    """The features (B, C, H, W) of columns (B, 6 C, n, W), transformed back and added up: the adjoint of `_Columns`."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, height: int, padding: int, layout: torch.memory_format) -> Tensor:
        ctx.how = (padding, layout)
        columns = torch.matmul(INPUT.t(), _split(columns)).transpose(2, 3)  # (B, n, 6, W, C), overlapping by two
        batch, number, _, width, channels = columns.shape
        x = columns.new_empty(batch, number + 1, TILE, width, channels)
        x[:, :-1] = columns[:, :, :TILE]
        x[:, -1] = 0
        x[:, 1:, :2].add_(columns[:, :, TILE:])
        x = x.flatten(1, 2)[:, padding : padding + height]
        return x.permute(0, 3, 1, 2).contiguous(memory_format=layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _Columns.apply(*gradients, *ctx.how), None, None, None


class _Taps(torch.autograd.Function):
    """The transformed weights (6 O, C, 1, 3), channels-last, of weights (O, C, 3, 3)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.layout = torch.contiguous_format if weight.is_contiguous() else torch.channels_last
        out_width, width = weight.shape[:2]
        above, middle, below = weight.permute(2, 0, 3, 1)  # each (O, 3, C)
        taps, factors = weight.new_empty(REACH, out_width, 3, width), WEIGHT.tolist()
        # Sums, as a product this flat runs on one thread. Points come as 0, p, -p, q, -q, infinity.
        torch.mul(above, factors[0][0], out=taps[0])
        for plus, minus in ((1, 2), (3, 4)):
            even = torch.mul(above, factors[plus][0], out=taps[minus]).add_(below, alpha=factors[plus][2])
            torch.add(even, middle, alpha=factors[plus][1], out=taps[plus])
            even.sub_(middle, alpha=factors[plus][1])
        taps[-1].copy_(below)
        return taps.view(REACH * out_width, 1, 3, width).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (g,) = gradients
        out_width, width = len(g) // REACH, g.shape[1]
        lines = g.permute(0, 2, 3, 1).reshape(REACH, out_width, -1).transpose(0, 1)  # (O, 6, 3 C)
        weight = torch.bmm(WEIGHT.t().expand(out_width, -1, -1), lines).view(out_width, 3, 3, width)
        return weight.permute(0, 3, 1, 2).contiguous(memory_format=ctx.layout)


def _apart(columns: Tensor) -> Tensor:
    """Return columns (B, 6 C, n, W) as (B n, 6 C, 1, W)."""
    return columns.permute(0, 2, 3, 1).flatten(0, 1).unsqueeze(1).permute(0, 3, 1, 2)


def _split(columns: Tensor) -> Tensor:
    """Return columns (B, 6 C, n, W) as (B, n, W, 6, C)."""
    return columns.permute(0, 2, 3, 1).unflatten(3, (REACH, -1))
