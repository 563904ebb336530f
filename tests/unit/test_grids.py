"""Grids of images: the place of each, the gaps, the labels, and 8-bit pixels."""

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data.transforms import to_float
from translate.inference.grids import GAP, MARGIN, ROW_LABEL_WIDTH, Grid, to_bytes

SIZE = 5


def tile(value: float) -> Tensor:
    return torch.full((3, SIZE, SIZE), value)


def values(picture: Tensor, offset_y: int, offset_x: int, rows: int, columns: int) -> list[list[float]]:
    """Return the one value that each tile of a grid has."""
    found = []
    for row in range(rows):
        y = offset_y + row * (SIZE + GAP)
        tiles = [picture[:, y : y + SIZE, x : x + SIZE] for x in (offset_x + c * (SIZE + GAP) for c in range(columns))]
        assert all((t == t[0, 0, 0]).all() for t in tiles)
        found.append([round(t[0, 0, 0].item(), 4) for t in tiles])
    return found


def test_rows_and_columns() -> None:
    picture = Grid([[tile(-0.5), tile(0.0), tile(0.5)], [tile(-0.25), tile(0.25), tile(0.75)]]).arranged()
    assert picture.shape == (3, 2 * SIZE + GAP, 3 * SIZE + 2 * GAP)
    assert values(picture, 0, 0, 2, 3) == [[-0.5, 0.0, 0.5], [-0.25, 0.25, 0.75]]
    assert (picture[:, SIZE : SIZE + GAP] == 1).all()
    assert (picture[:, :, SIZE : SIZE + GAP] == 1).all()


def test_borders() -> None:
    picture = Grid([[tile(0.1), tile(0.2)]], top=[tile(-0.1), tile(-0.2)], left=[tile(-0.9)]).arranged()
    offset = SIZE + MARGIN
    assert picture.shape == (3, offset + SIZE, offset + 2 * SIZE + GAP)
    assert values(picture, offset, offset, 1, 2) == [[0.1, 0.2]]
    assert values(picture, 0, offset, 1, 2) == [[-0.1, -0.2]]
    assert values(picture, offset, 0, 1, 1) == [[-0.9]]
    assert (picture[:, :offset, :offset] == 1).all()  # the corner is blank


@pytest.mark.parametrize(("top", "left"), [(True, False), (False, True)])
def test_one_border(top: bool, left: bool) -> None:
    picture = Grid([[tile(0.5)]], top=[tile(0.1)] if top else (), left=[tile(0.2)] if left else ()).arranged()
    assert picture.shape == (3, SIZE + top * (SIZE + MARGIN), SIZE + left * (SIZE + MARGIN))
    assert values(picture, top * (SIZE + MARGIN), left * (SIZE + MARGIN), 1, 1) == [[0.5]]


def test_blanks_and_short_rows_are_white() -> None:
    picture = Grid([[tile(0.5), None, tile(0.25)], [tile(-1.0)]], left=[None, tile(0.0)]).arranged()
    assert values(picture, 0, SIZE + MARGIN, 2, 3) == [[0.5, 1.0, 0.25], [-1.0, 1.0, 1.0]]
    assert values(picture, 0, 0, 2, 1) == [[1.0], [0.0]]


def test_a_blank_may_come_first() -> None:
    picture = Grid([[None, tile(0.5)]], top=[tile(0.1), tile(0.2)]).arranged()
    assert values(picture, SIZE + MARGIN, 0, 1, 2) == [[1.0, 0.5]]


def test_values_are_bounded_and_images_left_alone() -> None:
    image = tile(3.0).requires_grad_()
    picture = Grid([[image, tile(-7.0).double()]]).arranged()
    assert values(picture, 0, 0, 1, 2) == [[1.0, -1.0]]
    assert not picture.requires_grad
    assert picture.dtype == torch.float32
    assert (image == 3).all()


def test_small_images_are_enlarged_by_repeated_pixels() -> None:
    image = torch.arange(24.0).reshape(3, 2, 4) / 12 - 1
    pixels = Grid([[image]]).pixels(min_side=12)
    assert pixels.shape == (6, 12, 3)
    for y, x in ((0, 0), (2, 2)):
        assert np.array_equal(pixels[y::3, x::3], to_bytes(image).numpy())
    assert Grid([[torch.zeros(3, 50, 2_000)]]).pixels().shape == (50, 2_000, 3)  # never smaller


@pytest.mark.parametrize("side", [20, 70, 300, 420, 620, 640, 899, 900])
def test_grids_reach_the_smallest_side(side: int) -> None:
    longer = max(Grid([[torch.zeros(3, 10, side)]]).pixels().shape)
    assert 900 <= longer < 900 + side


def test_images_need_not_be_square() -> None:
    wide = torch.full((3, 4, 9), 0.5)
    assert Grid([[wide, wide]], top=[wide, None], left=[wide]).arranged().shape == (3, 8 + MARGIN, 27 + MARGIN + GAP)


def test_labels_stand_beside_rows_and_above_columns() -> None:
    rows = [[torch.zeros(3, 32, 32)] * 3] * 2
    bare = Grid(rows).pixels()
    labelled = Grid(rows, row_labels=("cat", "a much longer label"), column_labels=("one", "two", "three")).pixels()
    top, left = (labelled.shape[k] - bare.shape[k] for k in (0, 1))
    assert top > 0
    assert 0 < left <= ROW_LABEL_WIDTH + 2 * MARGIN
    assert np.array_equal(labelled[top:, left:], bare)
    middle = top + bare.shape[0] // 2
    for margin in (labelled[top:middle, :left], labelled[middle:, :left], labelled[:top, left:]):
        assert margin.min() < 128  # there is text
    assert (labelled[:top, :left] == 255).all()


def test_a_long_word_is_shortened_in_the_middle() -> None:
    rows = [[torch.zeros(3, 32, 32)] * 4]
    names = ("IMG_20260102_030405_with_a_very_long_name_that_does_not_fit.jpeg", "b.png", "c.png", "d.png")
    labelled, short = (Grid(rows, column_labels=labels).pixels() for labels in (names, ("a.png", *names[1:])))
    assert labelled.shape == short.shape


def test_to_bytes() -> None:
    picture = torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0]).expand(3, 2, 5)
    found = to_bytes(picture)
    assert found.shape == (2, 5, 3)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert found[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_bytes_come_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert to_bytes(to_float(pixels)[0]).equal(pixels[0])
