"""Images of high resolution, of which windows of whole pixels are cut, for super-resolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from translate.data.datasets.base import ImageFiles, check_split, check_val_fraction, find_root, split_domain
from translate.data.images import ImageError, list_images
from translate.errors import Phrase, UserError
from translate.registry.registry import DATASETS
from translate.sizes import ImageSize, SizeLike


@DATASETS.register("high_resolution", provides=())
class HighResolution(ImageFiles):
    """Windows of the images in a folder, at any depth, in their own pixels: an image is cropped and never resized.

    Of every training image there are `tiles` x `tiles` windows, spread evenly from corner to corner, so that large
    images of different sizes fit into one cache. Of a validation image there is the one in the middle, and evaluation
    reads it whole. `val_root` is the folder of the validation images; null holds out `val_fraction` of the files of
    `root` by the hash of their names. There are no domains.
    UserError for a root that is no folder, a folder without images, and domains. An image that is smaller than a window
    cannot be read.
    """

    def __init__(
        self,
        root: str,
        val_root: str | None = None,
        tiles: int = 4,
        val_fraction: float = 0.05,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """List the files; see the class."""
        split = check_split(split)
        if domains:
            raise UserError(key="domains", found=list(domains), expected="null: images of high resolution have none")
        if tiles < 1:
            raise UserError(key="tiles", found=tiles, expected="at least 1")
        held_out = val_root is not None and split == "val"
        home = find_root(val_root if held_out and val_root is not None else root)
        names = list_images(home)
        if not names:
            raise UserError(key="val_root" if held_out else "root", found=Phrase(f"no image in {home}"))
        if val_root is None:
            check_val_fraction(val_fraction)
            names = split_domain(names, "high resolution", val_fraction, split, home)
        self.tiles = tiles if split == "train" else 1
        count = self.tiles**2
        super().__init__(home, [name for name in names for _ in range(count)], "none")
        self._windows = np.tile(np.arange(count), len(names))

    def _pixels(self, whole: Image.Image, index: int, size: SizeLike) -> np.ndarray:
        """Return the window of an item; ImageError for an image that is smaller."""
        sides = ImageSize.of(size)
        room = whole.height - sides.height, whole.width - sides.width
        if min(room) < 0:
            raise ImageError(f"is smaller than a window of {sides} pixels")
        places = divmod(int(self._windows[index]), self.tiles)
        top, left = (self._start(place, extent) for place, extent in zip(places, room, strict=True))
        return np.asarray(whole.crop((left, top, left + sides.width, top + sides.height)))

    def _start(self, place: int, room: int) -> int:
        """Return where a window begins, of those along one side, with ``room`` pixels to move."""
        return round(room * (place / (self.tiles - 1) if self.tiles > 1 else 0.5))

    def describe(self, index: int) -> str:
        """Return the path, and the number of the window if there are several."""
        path = super().describe(index)
        return path if self.tiles == 1 else f"{path} (window {self._windows[index] + 1} of {self.tiles**2})"

    def fingerprint(self) -> str:
        """Digest the files and the number of windows."""
        return f"{super().fingerprint()}{self.tiles}"
