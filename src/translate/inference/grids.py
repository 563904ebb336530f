"""Arrange many images into one, with labels at the rows and columns."""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from translate.errors import UserError
from translate.files.writing import atomic_write, written

GAP = 2  # pixels between neighbours
MARGIN = 6  # pixels between the border images (references, inputs) and the grid
MIN_SIDE = 900  # pixels of the longer side of an enlarged grid

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

FONT_SIZES = (11, 22)  # the smallest and largest, in pixels
ROW_LABEL_WIDTH = 260  # pixels, at most
INK = (30, 30, 30)


@dataclass(frozen=True)
class Grid:
    """Images (3, H, W) in [-1, 1] in rows on white, with border images above and at the left, and labels.

    Images that are smaller than the largest by a whole factor are enlarged by repeated pixels.

    ``top`` has one image per column, ``left`` one per row; None is blank. ``row_labels`` has one text per row,
    ``column_labels`` one per column.
    """

    rows: Sequence[Sequence[Tensor | None]]
    top: Sequence[Tensor | None] = ()
    left: Sequence[Tensor | None] = ()
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()

    @classmethod
    def of_rows(cls, rows: Mapping[str, Iterable[Tensor]]) -> "Grid":
        """Return a grid of images by the label of their row."""
        return cls([list(row) for row in rows.values()], row_labels=tuple(rows))

    def arranged(self) -> Tensor:
        """Return the images without labels as one image (3, H, W) in [-1, 1]."""
        canvas = torch.ones(3, *self._extent(1))
        for image, y, x in self._placed(1):
            canvas[:, y : y + image.shape[1], x : x + image.shape[2]] = image.detach().float().cpu().clamp(-1, 1)
        return canvas

    def pixels(self, min_side: int = MIN_SIDE) -> np.ndarray:
        """Return the labelled grid, (H, W, 3) uint8; small images are enlarged by repeated pixels.

        Without labels, the longer side has at least ``min_side`` pixels.
        """
        scale = math.ceil(min_side / max(self._extent(1)))
        canvas = np.full((*self._extent(scale), 3), 255, np.uint8)
        for image, y, x in self._placed(scale):
            shown = to_bytes(image.detach().float().cpu()).numpy().repeat(scale, axis=0).repeat(scale, axis=1)
            canvas[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
        return self._labelled(canvas, scale) if self.row_labels or self.column_labels else canvas

    # --- images ----------------------------------------------------------------------------------------------

    def _cell(self) -> tuple[int, int]:
        """Return the height and width of the largest image."""
        images = [image for row in (*self.rows, self.top, self.left) for image in row if image is not None]
        return max(image.shape[-2] for image in images), max(image.shape[-1] for image in images)

    def _offset(self, scale: int) -> tuple[int, int]:
        """Return the place (y, x) of the first image of the first row."""
        height, width = self._cell()
        y = scale * (height + MARGIN) if self.top else 0
        return y, scale * (width + MARGIN) if self.left else 0

    def _place(self, row: int, column: int, scale: int) -> tuple[int, int]:
        """Return the place (y, x) of an image; -1 is the row above and the column at the left."""
        (height, width), (y, x) = self._cell(), self._offset(scale)
        return (
            0 if row < 0 else y + row * scale * (height + GAP),
            0 if column < 0 else x + column * scale * (width + GAP),
        )

    def _extent(self, scale: int) -> tuple[int, int]:
        """Return the height and width of the grid without labels."""
        y, x = self._place(len(self.rows), max(len(row) for row in (*self.rows, self.top)), scale)
        return y - scale * GAP, x - scale * GAP

    def _placed(self, scale: int) -> Iterator[tuple[Tensor, int, int]]:
        """Yield every image with its place (y, x)."""
        left = [(number, -1, image) for number, image in enumerate(self.left)]
        rows = [(number, column, image) for number, row in enumerate(self.rows) for column, image in enumerate(row)]
        for row, column, image in (*((-1, column, image) for column, image in enumerate(self.top)), *left, *rows):
            if image is not None:
                yield (self._fitted(image), *self._place(row, column, scale))

    def _fitted(self, image: Tensor) -> Tensor:
        """Return an image, enlarged by a whole factor as far as it fits into a cell."""
        height, width = self._cell()
        factor = min(height // image.shape[-2], width // image.shape[-1])
        return image if factor == 1 else image.repeat_interleave(factor, -2).repeat_interleave(factor, -1)

    # --- labels ----------------------------------------------------------------------------------------------

    def _labelled(self, canvas: np.ndarray, scale: int) -> np.ndarray:
        """Return the pixels with row labels at the left and column labels above."""
        height, width = (scale * side for side in self._cell())
        font = _font(max(FONT_SIZES[0], min(FONT_SIZES[1], height // 6)))
        line = math.ceil(sum(abs(each) for each in font.getmetrics()))
        beside = [_wrapped(text, font, ROW_LABEL_WIDTH) for text in self.row_labels]
        above = [_wrapped(text, font, width) for text in self.column_labels]
        left = (
            max((math.ceil(font.getlength(part)) for lines in beside for part in lines), default=-2 * MARGIN)
            + 2 * MARGIN
        )
        top = max((line * len(lines) for lines in above), default=-MARGIN) + MARGIN
        image = Image.new("RGB", (left + canvas.shape[1], top + canvas.shape[0]), "white")
        image.paste(Image.fromarray(canvas), (left, top))
        draw = ImageDraw.Draw(image)
        for row, lines in enumerate(beside):
            y = top + self._place(row, 0, scale)[0] + height // 2 - line * len(lines) // 2
            for number, part in enumerate(lines):
                draw.text((left - MARGIN, y + number * line), part, INK, font, anchor="ra")
        for column, lines in enumerate(above):
            x = left + self._place(0, column, scale)[1] + width // 2
            y = top - MARGIN // 2 - line * len(lines)
            for number, part in enumerate(lines):
                draw.text((x, y + number * line), part, INK, font, anchor="ma")
        return np.asarray(image)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # every wheel of Pillow is built with FreeType
    return font


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Return the lines of a text, at most ``width`` pixels wide; a word that is too long loses its middle."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_shortened(word, font, width))
    return lines


def _shortened(word: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    kept = len(word)
    shown = word
    while font.getlength(shown) > width and kept > 2:
        kept -= 1
        shown = f"{word[: math.ceil(kept / 2)]}…{word[len(word) - kept // 2 :]}"
    return shown


def captioned(pixels: np.ndarray, text: str) -> np.ndarray:
    """Return pixels (H, W, 3) uint8 above a line of text; the height of the line does not depend on the text."""
    font = _font(max(FONT_SIZES[0], min(FONT_SIZES[1], pixels.shape[1] // 25)))
    line = math.ceil(sum(abs(each) for each in font.getmetrics()))
    image = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + line + MARGIN), "white")
    image.paste(Image.fromarray(pixels), (0, 0))
    place = (pixels.shape[1] // 2, pixels.shape[0] + MARGIN // 2)
    ImageDraw.Draw(image).text(place, _shortened(text, font, pixels.shape[1]), INK, font, anchor="ma")
    return np.asarray(image)


def check_suffix(path: Path) -> None:
    """Raise UserError if grids cannot be saved under this name."""
    if path.suffix.lower() not in FORMATS:
        raise UserError("unknown kind of image", key="output", found=path.suffix, known=tuple(FORMATS))


def save(pixels: np.ndarray, path: Path) -> None:
    """Write pixels (H, W, 3) uint8 to an image file in the format of its suffix; UserError if that fails."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, FORMATS[path.suffix.lower()])  # into a file, Pillow does not say why it fails
    with written(path):
        atomic_write(path, content.getvalue())


def to_bytes(image: Tensor) -> Tensor:
    """Return the 8-bit pixels (H, W, 3) of an image (3, H, W) in [-1, 1]."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous()
