"""Limits on what a request may send, and reading of uploaded images within them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from translate.data.images import Crop, ImageError, formats, read_image
from translate.errors import NOTHING, Phrase, UserError
from translate.inference import image_files
from translate.inference.image_files import ImageFile
from translate.sizes import SizeLike

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """The largest upload in bytes, the largest image in pixels, and the number of requests that may wait."""

    max_bytes: int = 20 * MEBIBYTE
    max_pixels: int = 50_000_000
    queue: int = 64

    def read(self, path: Path, key: str) -> ImageFile:
        """Return the image in an uploaded file; UserError with ``key`` if it is refused."""
        self._check(path, key)
        try:
            return image_files.read(path.read_bytes())
        except ImageError as error:
            raise UserError(f"this file {error.reason}", key=key) from error

    def read_reference(self, path: Path, key: str, size: SizeLike, crop: Crop) -> np.ndarray:
        """Return an uploaded image as training sees it, (height, width, 3) uint8; UserError with ``key``."""
        self._check(path, key)
        try:
            return read_image(path, size, crop)
        except ImageError as error:
            raise UserError(f"this file {error.reason}", key=key) from error

    def _check(self, path: Path, key: str) -> None:
        """Raise UserError for a file that is too large; the header is read, and no pixel is decoded."""
        try:
            size = path.stat().st_size
        except OSError as error:
            raise UserError("the uploaded file is no longer here", key=key, fix="upload the image again") from error
        if size > self.max_bytes:
            raise too_many_bytes(self.max_bytes, size, key)
        try:
            with Image.open(path, formats=formats()) as image:
                width, height = image.size
        except Image.DecompressionBombError as error:  # Pillow has a limit of its own, and does not say the size
            raise self._too_many_pixels(key) from error
        except Exception:  # any decoder can fail in any way; reading gives the reason
            return
        if width * height > self.max_pixels:
            raise self._too_many_pixels(key, Phrase(f"{width} x {height} pixels"))

    def _too_many_pixels(self, key: str, found: object = NOTHING) -> UserError:
        expected = f"at most {self.max_pixels:,} pixels"
        return UserError("the image is too large", key=key, found=found, expected=expected, fix="scale the image down")


def too_many_bytes(limit: int, size: int | None = None, key: str = "image") -> UserError:
    """Return the error about an upload of more bytes than allowed; ``size`` is None if it is not known."""
    found = NOTHING if size is None else Phrase(f"{size:,} bytes")
    fix = "scale the image down, or save it as JPEG or WebP"
    return UserError("the upload is too large", key=key, found=found, expected=f"at most {limit:,} bytes", fix=fix)
