"""3x3 convolutions by Winograd's algorithm along the height (Lavin & Gray, CVPR 2016, F(4, 3)), for CPUs.

A column of 4 outputs takes 6 products for each tap along the width, where the sum that defines it takes 12. Columns of
6 inputs are transformed, and so are the weights; the products are a convolution by the library in 6 groups, with
kernels of one line; then they are transformed back. So this is as fast as the library's convolutions are, at half of
their work. The result is the same but for rounding: of 256 channels in float32, a millionth of its size.

The output is linear in the features and in the weights. So the gradient of either, and gradients of gradients, are made
of the same three sums over features x, weights w and outputs y: y of x and w, x of y and w, w of x and y.

Letters: B batch, C and O channels in and out, H and W sides, h and v sides of what a convolution gives, n = h / 4
columns at a place along the width, rounded up.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

TILE = 4  # outputs of a column
REACH = TILE + 2  # inputs of a column

POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""Where polynomials are evaluated, beside infinity: 0 and pairs. The usual ones, 1 and 2, round half as badly again."""


def matrices(points: tuple[float, ...] = POINTS) -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of inputs (6, 6), weights (6, 3) and outputs (4, 6).

    Inputs and weights of a column are coefficients of polynomials, and their sums of products those of a product of
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
    return inputs.float(), weights.float(), outputs.float()


def _coefficients(roots: Sequence[float]) -> Tensor:
    """Return the coefficients, the constant first, of the polynomial with these roots."""
    found = torch.ones(1, dtype=torch.float64)
    for root in roots:
        found = F.pad(found, (1, 0)) - root * F.pad(found, (0, 1))
    return found


INPUT, WEIGHT, OUTPUT = matrices()


def convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Return ``F.conv2d(x, weight, padding=padding)`` for features (B, C, H, W) and weights (O, C, 3, 3), in float32.

    The result lies in memory as ``x`` does. It can be differentiated any number of times.
    """
    y: Tensor = _Outputs.apply(x, weight, padding)
    return y


class _Outputs(torch.autograd.Function):
    """The outputs of features and weights: the convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        products = F.conv2d(_of_features(x, padding), _of_weights(weight), padding=(0, padding), groups=REACH)
        columns = torch.matmul(OUTPUT, _split(products))  # (B, n, v, 4, O)
        y = columns.transpose(2, 3).flatten(1, 2)[:, : x.shape[2] + 2 * padding - 2]
        return y.permute(0, 3, 1, 2).contiguous(memory_format=_layout(x))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (g,), (x, weight), padding = gradients, ctx.saved_tensors, ctx.padding
        of_x, of_weight = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():
            return (
                _Features.apply(g, weight, padding) if of_x else None,
                _Weights.apply(x, g, padding) if of_weight else None,
                None,
            )
        spread = _of_outputs(g)  # once for both
        return (
            _features(g, spread, weight, padding) if of_x else None,
            _weights(x, spread, padding) if of_weight else None,
            None,
        )


class _Features(torch.autograd.Function):
    """The features of outputs and weights: the gradient of a convolution's features."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(y, weight)
        ctx.padding = padding
        return _features(y, _of_outputs(y), weight, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (g,), (y, weight), padding = gradients, ctx.saved_tensors, ctx.padding
        of_y = _Outputs.apply(g, weight, padding) if ctx.needs_input_grad[0] else None
        return of_y, _Weights.apply(g, y, padding) if ctx.needs_input_grad[1] else None, None


class _Weights(torch.autograd.Function):
    """The weights of features and outputs: the gradient of a convolution's weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.padding = padding
        return _weights(x, _of_outputs(y), padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (g,), (x, y), padding = gradients, ctx.saved_tensors, ctx.padding
        of_x = _Features.apply(y, g, padding) if ctx.needs_input_grad[0] else None
        return of_x, _Outputs.apply(x, g, padding) if ctx.needs_input_grad[1] else None, None


def _features(y: Tensor, spread: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Return the features (B, C, H, W) of outputs (B, O, h, v), spread to columns (B, 6 O, n, v), and weights."""
    height, width = (side + 2 - 2 * padding for side in y.shape[2:])
    size = (len(y), REACH * weight.shape[1], spread.shape[2], width)
    lines = conv2d_input(size, _of_weights(weight), spread, padding=(0, padding), groups=REACH)
    columns = torch.matmul(INPUT.t(), _split(lines)).transpose(2, 3)  # (B, n, 6, W, C), which overlap by two
    x = columns.new_empty(len(y), TILE * (spread.shape[2] + 1), width, weight.shape[1])
    rows = x.unflatten(1, (-1, TILE))
    rows[:, :-1] = columns[:, :, :TILE]
    rows[:, -1] = 0
    rows[:, 1:, :2].add_(columns[:, :, TILE:])
    return x[:, padding : padding + height].permute(0, 3, 1, 2).contiguous(memory_format=_layout(y))


def _weights(x: Tensor, spread: Tensor, padding: int) -> Tensor:
    """Return the weights (O, C, 3, 3) of features (B, C, H, W) and outputs spread to columns (B, 6 O, n, v)."""
    lines, width, out_width = _of_features(x, padding), x.shape[1], spread.shape[1] // REACH
    # Numbers that are not read. They lie channels-last, or they would be copied to lie so, which takes as long as the
    # rest; torch.nn.grad.conv2d_weight has no say in that.
    unread = spread.new_empty(len(spread[0]), 1, 3, width).permute(0, 3, 1, 2)
    how = ([1, 1], [0, padding], [1, 1], False, [0, 0], REACH, [False, True, False])
    products = torch.ops.aten.convolution_backward(spread, lines, unread, None, *how)[1]
    products = products.permute(0, 2, 3, 1).reshape(REACH, out_width, -1).transpose(0, 1)  # (O, 6, 3 C)
    taps = torch.bmm(WEIGHT.t().expand(out_width, -1, -1), products)
    return taps.view(out_width, 3, 3, width).permute(0, 3, 1, 2).contiguous(memory_format=_layout(x))


def _of_features(x: Tensor, padding: int) -> Tensor:
    """Return the transformed columns (B, 6 C, n, W) of features (B, C, H, W)."""
    rows = -(-(x.shape[2] + 2 * padding - 2) // TILE)
    below = TILE * rows + 2 - x.shape[2] - padding
    x = _bordered(x.permute(0, 2, 3, 1), padding, below).contiguous()  # (B, 4 n + 2, W, C)
    image, line, place, channel = x.stride()
    columns = x.as_strided((len(x), rows, x.shape[2], REACH, x.shape[3]), (image, TILE * line, place, line, channel))
    return torch.matmul(INPUT, columns).flatten(3).permute(0, 3, 1, 2)


def _of_weights(weight: Tensor) -> Tensor:
    """Return the transformed weights (6 O, C, 1, 3) of weights (O, C, 3, 3), channels-last."""
    out_width, width = weight.shape[:2]
    above, middle, below = weight.permute(2, 0, 3, 1)  # each (O, 3, C)
    transformed, factors = weight.new_empty(REACH, out_width, 3, width), WEIGHT.tolist()
    # Sums, as a product this flat runs on one thread. Points come as 0, p, -p, q, -q, infinity.
    torch.mul(above, factors[0][0], out=transformed[0])
    for plus, minus in ((1, 2), (3, 4)):
        even = torch.mul(above, factors[plus][0], out=transformed[minus]).add_(below, alpha=factors[plus][2])
        torch.add(even, middle, alpha=factors[plus][1], out=transformed[plus])
        even.sub_(middle, alpha=factors[plus][1])
    transformed[-1].copy_(below)
    return transformed.view(REACH * out_width, 1, 3, width).permute(0, 3, 1, 2)


def _of_outputs(y: Tensor) -> Tensor:
    """Return the columns (B, 6 O, n, v) from which outputs (B, O, h, v) come, each with its share of every output."""
    rows = -(-y.shape[2] // TILE)
    y = _bordered(y.permute(0, 2, 3, 1), 0, TILE * rows - y.shape[2])
    columns = y.unflatten(1, (rows, TILE)).transpose(2, 3)  # (B, n, v, 4, O)
    return torch.matmul(OUTPUT.t(), columns).flatten(3).permute(0, 3, 1, 2)


def _bordered(x: Tensor, above: int, below: int) -> Tensor:
    """Return features (B, H, W, C) with lines of zeros above and below."""
    return F.pad(x, (0, 0, 0, 0, above, below)) if above or below else x  # which would copy them even so


def _split(lines: Tensor) -> Tensor:
    """Return columns (B, 6 C, n, W) as (B, n, W, 6, C)."""
    return lines.permute(0, 2, 3, 1).unflatten(3, (REACH, -1))


def _layout(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last
