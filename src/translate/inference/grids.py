"""Arrange many images into one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

GAP = 2  # pixels between neighbours
MARGIN = 6  # pixels between the border images (references, inputs) and the grid


def grid(
    rows: Sequence[Sequence[Tensor | None]], top: Sequence[Tensor] = (), left: Sequence[Tensor | None] = ()
) -> Tensor:
    """Return one image (3, H, W) of images (3, S, S) in rows on white, with border images above and at the left.

    All values are in [-1, 1]. ``top`` has one image per column, ``left`` one per row; None is blank.
    """
    size = rows[0][0].shape[-1] if rows[0][0] is not None else top[0].shape[-1]
    num_columns = max(len(row) for row in rows)
    offset_x = size + MARGIN if left else 0
    offset_y = size + MARGIN if top else 0
    height = offset_y + len(rows) * (size + GAP) - GAP
    width = offset_x + num_columns * (size + GAP) - GAP
    canvas = torch.ones(3, height, width)

    def put(image: Tensor | None, y: int, x: int) -> None:
        if image is not None:
            canvas[:, y : y + size, x : x + size] = image.detach().float().cpu().clamp(-1, 1)

    for column, image in enumerate(top):
        put(image, 0, offset_x + column * (size + GAP))
    for number, row in enumerate(rows):
        y = offset_y + number * (size + GAP)
        if left:
            put(left[number], y, 0)
        for column, cell in enumerate(row):
            put(cell, y, offset_x + column * (size + GAP))
    return canvas


def enlarged(image: Tensor, min_side: int = 900) -> Tensor:
    """Return an image (3, H, W) with repeated pixels, so that its longer side has at least ``min_side`` pixels."""
    factor = math.ceil(min_side / max(image.shape[-2:]))
    return image.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def to_bytes(image: Tensor) -> Tensor:
    """Return the 8-bit pixels (H, W, 3) of an image (3, H, W) in [-1, 1]."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous()
