"""The height and width of images."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from translate.errors import UserError

SizeLike = int | Sequence[int]
"""A size as configurations, files and arguments have it: the side of a square, or [height, width]."""

EXPECTED = "a number of pixels, or [height, width]"


class ImageSize(NamedTuple):
    """Height and width in pixels.

    >>> ImageSize.of(64), ImageSize.of([256, 128])
    (ImageSize(height=64, width=64), ImageSize(height=256, width=128))
    >>> f"{ImageSize.of(64)} px", f"{ImageSize.of([256, 128])} px"
    ('64 px', '256 x 128 px')
    """

    height: int
    width: int

    @staticmethod
    def of(size: SizeLike) -> "ImageSize":
        """Return the size that a number or two numbers stand for; UserError for more or fewer."""
        if not isinstance(size, Sequence):
            return ImageSize(size, size)
        if len(size) != 2:
            raise UserError(key="image_size", found=list(size), expected=EXPECTED)
        return ImageSize(*size)

    @property
    def plain(self) -> int | list[int]:
        """Return the form of configurations and files: a number for a square."""
        return self.height if self.is_square else [self.height, self.width]

    @property
    def is_square(self) -> bool:
        """Return whether height and width are equal."""
        return self.height == self.width

    @property
    def area(self) -> int:
        """Return the number of pixels."""
        return self.height * self.width

    def each(self, function: Callable[[int], int]) -> "ImageSize":
        """Return the size whose height and width are a function of these.

        >>> ImageSize(256, 128).each(lambda side: side // 64)
        ImageSize(height=4, width=2)
        """
        return ImageSize(function(self.height), function(self.width))

    def __str__(self) -> str:
        return str(self.height) if self.is_square else f"{self.height} x {self.width}"
