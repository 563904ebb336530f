"""Pictures of many pictures."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

GAP = 2  # pixels between neighbours
MARGIN = 6  # pixels between the border of guides and what they guide


def grid(
    rows: Sequence[Sequence[Tensor | None]], top: Sequence[Tensor] = (), left: Sequence[Tensor | None] = ()
) -> Tensor:
    """Arrange images (3, S, S) in [-1, 1] in rows on white, with a border of images above and at the left.

    ``top`` has one image a column, ``left`` one a row (None: blank). Returns (3, H, W) in [-1, 1].
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


def enlarged(picture: Tensor, at_least: int = 900) -> Tensor:
    """Return a picture (3, H, W) with every pixel repeated so often that the longer side has ``at_least`` pixels."""
    factor = math.ceil(at_least / max(picture.shape[-2:]))
    return picture.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def to_bytes(picture: Tensor) -> Tensor:
    """Return (H, W, 3) uint8 of a picture (3, H, W) in [-1, 1]."""
    return ((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous()
