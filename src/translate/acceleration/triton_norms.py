"""Instance norm, scale and shift, and leaky ReLU in one pass over channels-last features, as Triton kernels.

    y = leaky_relu(scale (x - mean) / sqrt(variance + 1e-5) + shift, slope)

Statistics are those of each channel of each image, in float32. Features, results and their gradients keep the type of
the input, so that bfloat16 moves half of the bytes. Torch computes this as a group norm of one channel a group, in NCHW
memory and under autocast in float32: copies into that order and back, and an activation of its own.

A pass has two kernels. The first reduces chunks of rows (pixels) to partial statistics, in parallel. The second
combines these and writes the result. So no program waits for another, and sums have a fixed order.

The gradient of a gradient (a penalty) is computed by torch's own operations.
"""

# mypy: disable-error-code="no-untyped-def"
# Triton reads the annotations of kernels as its own types.

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

EPSILON = 1e-5  # added to every variance, as in `translate.networks.layers.normalization`
TILE = 4096  # elements that a program holds at a time
CHANNELS = 64  # most channels of a tile: 128 bytes of a row in bfloat16
PROGRAMS = 1024  # programs of a reduction that keep a large GPU busy


@triton.jit
def _tile(image, row, rows, column, channels):
    """Return the places of a tile in memory, and which of them exist."""
    place = (image.to(tl.int64) * rows + row[:, None]) * channels + column[None, :]
    return place, (row < rows)[:, None] & (column < channels)[None, :]


@triton.jit
def _scaled(value, scale, shift, place, exists):
    """Return values with the scales and shifts of their channels."""
    factor = tl.load(scale + place, mask=exists, other=0.0)
    term = tl.load(shift + place, mask=exists, other=0.0)
    return value * factor[None, :] + term[None, :]


@triton.jit
def _moments(x, partial, rows, channels, chunk, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Write the mean, and the sum of squared deviations from it, of a chunk of rows of each channel."""
    image, part = tl.program_id(0), tl.program_id(2)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    exists = column < channels
    first = part * chunk
    last = tl.minimum(first + chunk, rows)
    mean = tl.zeros((WIDTH,), tl.float32)
    deviations = tl.zeros((WIDTH,), tl.float32)
    count = 0.0
    for start in range(first, last, ROWS):
        row = start + tl.arange(0, ROWS)
        place, inside = _tile(image, row, rows, column, channels)
        inside &= (row < last)[:, None]
        tile = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        number = (tl.minimum(start + ROWS, last) - start).to(tl.float32)
        tile_mean = tl.sum(tile, 0) / number
        centred = tl.where(inside, tile - tile_mean[None, :], 0.0)
        # Chan, Golub and LeVeque (1983): the moments of a union from those of its two parts
        difference, total = tile_mean - mean, count + number
        mean += difference * (number / total)
        deviations += tl.sum(centred * centred, 0) + difference * difference * (count * number / total)
        count = total
    target = partial + (image * tl.num_programs(2) + part) * 2 * channels + column
    tl.store(target, mean, mask=exists)
    tl.store(target + channels, deviations, mask=exists)


@triton.jit
def _normalize(
    x, partial, scale, shift, y, means, deviations, rows, channels, chunk, parts, stride, slope,
    AFFINE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write the results of a tile; the programs of the first rows write the statistics."""
    image, block = tl.program_id(0), tl.program_id(2)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    exists = column < channels
    mean = tl.zeros((WIDTH,), tl.float32)
    squares = tl.zeros((WIDTH,), tl.float32)
    count = 0.0
    for part in range(parts):
        source = partial + (image * parts + part) * 2 * channels + column
        part_mean = tl.load(source, mask=exists, other=0.0)
        part_squares = tl.load(source + channels, mask=exists, other=0.0)
        number = (tl.minimum((part + 1) * chunk, rows) - part * chunk).to(tl.float32)
        difference, total = part_mean - mean, count + number
        mean += difference * (number / total)
        squares += part_squares + difference * difference * (count * number / total)
        count = total
    inverse = 1.0 / tl.sqrt(squares / count + 1e-5)
    if block == 0:
        tl.store(means + image * channels + column, mean, mask=exists)
        tl.store(deviations + image * channels + column, inverse, mask=exists)
    row = block * ROWS + tl.arange(0, ROWS)
    place, inside = _tile(image, row, rows, column, channels)
    value = (tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
    if AFFINE:
        value = _scaled(value, scale, shift, image * stride + column, exists)
    value = tl.where(value > 0, value, value * slope)
    tl.store(y + place, value.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _gradient_sums(
    x, dy, scale, shift, means, deviations, partial, rows, channels, chunk, stride, slope,
    AFFINE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write the sums over a chunk of rows of the gradient before the activation, and of it times the normalised x."""
    image, part = tl.program_id(0), tl.program_id(2)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    exists = column < channels
    mean = tl.load(means + image * channels + column, mask=exists, other=0.0)
    inverse = tl.load(deviations + image * channels + column, mask=exists, other=0.0)
    first = part * chunk
    last = tl.minimum(first + chunk, rows)
    total = tl.zeros((WIDTH,), tl.float32)
    product = tl.zeros((WIDTH,), tl.float32)
    for start in range(first, last, ROWS):
        row = start + tl.arange(0, ROWS)
        place, inside = _tile(image, row, rows, column, channels)
        inside &= (row < last)[:, None]
        value = (tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
        output = value
        if AFFINE:
            output = _scaled(value, scale, shift, image * stride + column, exists)
        gradient = tl.load(dy + place, mask=inside, other=0.0).to(tl.float32)
        gradient = tl.where(output > 0, gradient, gradient * slope)
        total += tl.sum(gradient, 0)
        product += tl.sum(gradient * value, 0)
    target = partial + (image * tl.num_programs(2) + part) * 2 * channels + column
    tl.store(target, total, mask=exists)
    tl.store(target + channels, product, mask=exists)


@triton.jit
def _gradients(
    x, dy, scale, shift, means, deviations, partial, dx, totals, products, rows, channels, parts, stride, slope,
    AFFINE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write the gradients of a tile; the programs of the first rows write those of the shift and the scale."""
    image, block = tl.program_id(0), tl.program_id(2)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    exists = column < channels
    mean = tl.load(means + image * channels + column, mask=exists, other=0.0)
    inverse = tl.load(deviations + image * channels + column, mask=exists, other=0.0)
    total = tl.zeros((WIDTH,), tl.float32)
    product = tl.zeros((WIDTH,), tl.float32)
    for part in range(parts):
        source = partial + (image * parts + part) * 2 * channels + column
        total += tl.load(source, mask=exists, other=0.0)
        product += tl.load(source + channels, mask=exists, other=0.0)
    if block == 0:
        tl.store(totals + image * channels + column, total, mask=exists)
        tl.store(products + image * channels + column, product, mask=exists)
    row = block * ROWS + tl.arange(0, ROWS)
    place, inside = _tile(image, row, rows, column, channels)
    value = (tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
    output, factor = value, inverse
    if AFFINE:
        output = _scaled(value, scale, shift, image * stride + column, exists)
        factor = inverse * tl.load(scale + image * stride + column, mask=exists, other=0.0)
    gradient = tl.load(dy + place, mask=inside, other=0.0).to(tl.float32)
    gradient = tl.where(output > 0, gradient, gradient * slope)
    of_x = factor[None, :] * (gradient - (total[None, :] + value * product[None, :]) / rows)
    tl.store(dx + place, of_x.to(dx.dtype.element_ty), mask=inside)


class _Grid:
    """The division of features (B, C, H, W) in channels-last memory among programs."""

    def __init__(self, x: Tensor) -> None:
        self.images, self.channels, height, length = x.shape
        self.rows = height * length
        width = min(CHANNELS, triton.next_power_of_2(self.channels))
        self.tile = {"ROWS": TILE // width, "WIDTH": width}
        columns = triton.cdiv(self.channels, width)
        blocks = triton.cdiv(self.rows, self.tile["ROWS"])
        wanted = max(1, min(blocks, PROGRAMS // max(1, self.images * columns)))
        self.chunk = triton.cdiv(blocks, wanted) * self.tile["ROWS"]  # rows of a partial statistic
        self.parts = triton.cdiv(self.rows, self.chunk)
        self.reduction = (self.images, columns, self.parts)
        self.elementwise = (self.images, columns, blocks)

    def statistics(self, x: Tensor, parts: int = 0) -> Tensor:
        """Return memory for a statistic of each channel of each image, or for two of each part."""
        shape = (self.images, parts, 2, self.channels) if parts else (self.images, self.channels)
        return torch.empty(shape, dtype=torch.float32, device=x.device)


class NormalizeAndActivate(torch.autograd.Function):
    """The kernels with their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None, slope: float) -> Tensor:
        """Return the normalised, scaled, shifted and activated features, in channels-last memory."""
        grid = _Grid(x)
        partial = grid.statistics(x, grid.parts)
        _moments[grid.reduction](x, partial, grid.rows, grid.channels, grid.chunk, **grid.tile)
        y, means, deviations = torch.empty_like(x), grid.statistics(x), grid.statistics(x)
        weight, bias, stride = _in_float32(x, scale, shift)
        _normalize[grid.elementwise](
            x, partial, weight, bias, y, means, deviations, grid.rows, grid.channels, grid.chunk, grid.parts,
            stride, slope, AFFINE=scale is not None, **grid.tile,
        )  # fmt: skip
        ctx.save_for_backward(x, scale, shift, means, deviations)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the features, the scale and the shift."""
        x, scale, shift, means, deviations = ctx.saved_tensors
        if torch.is_grad_enabled():  # a penalty differentiates the gradient
            return *_plain_gradients(x, scale, shift, ctx.slope, dy, ctx.needs_input_grad), None
        grid = _Grid(x)
        dy = dy.contiguous(memory_format=torch.channels_last)
        weight, bias, stride = _in_float32(x, scale, shift)
        partial, affine = grid.statistics(x, grid.parts), scale is not None
        _gradient_sums[grid.reduction](
            x, dy, weight, bias, means, deviations, partial, grid.rows, grid.channels, grid.chunk, stride, ctx.slope,
            AFFINE=affine, **grid.tile,
        )  # fmt: skip
        dx, of_shift, of_scale = torch.empty_like(x), grid.statistics(x), grid.statistics(x)
        _gradients[grid.elementwise](
            x, dy, weight, bias, means, deviations, partial, dx, of_shift, of_scale, grid.rows, grid.channels,
            grid.parts, stride, ctx.slope, AFFINE=affine, **grid.tile,
        )  # fmt: skip
        return dx, _like(scale, of_scale), _like(shift, of_shift), None


def _in_float32(x: Tensor, scale: Tensor | None, shift: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Return the scale and the shift for the kernels, and the step from an image's to the next image's."""
    if scale is None or shift is None:
        return x, x, 0  # not read
    return scale.float().contiguous(), shift.float().contiguous(), x.shape[1] if scale.ndim == 2 else 0


def _like(parameter: Tensor | None, gradient: Tensor) -> Tensor | None:
    """Return the gradients (B, C) of each image in the shape and type of the parameter."""
    if parameter is None:
        return None
    return (gradient if parameter.ndim == 2 else gradient.sum(0)).to(parameter.dtype)


def plain(x: Tensor, scale: Tensor | None, shift: Tensor | None, slope: float) -> Tensor:
    """Return what the kernels compute, by torch's operations in float32 or better, in the type of ``x``."""
    wide = x if x.dtype == torch.float64 else x.float()
    deviation, mean = torch.var_mean(wide, dim=(2, 3), correction=0, keepdim=True)
    y = (wide - mean) * torch.rsqrt(deviation + EPSILON)
    if scale is not None and shift is not None:
        y = y * scale.to(y.dtype)[..., None, None] + shift.to(y.dtype)[..., None, None]
    return F.leaky_relu(y, slope).to(x.dtype)


def _plain_gradients(
    x: Tensor, scale: Tensor | None, shift: Tensor | None, slope: float, dy: Tensor, needed: tuple[bool, ...]
) -> list[Tensor | None]:
    inputs = [tensor if need else None for tensor, need in zip((x, scale, shift), needed, strict=False)]
    asked = [tensor for tensor in inputs if tensor is not None]
    with torch.autocast(x.device.type, enabled=False):
        gradients = iter(torch.autograd.grad(plain(x, scale, shift, slope), asked, dy, create_graph=True))
    return [None if tensor is None else next(gradients) for tensor in inputs]
