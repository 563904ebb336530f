"""Find image files and read any of them as 8-bit RGB.

The order of the steps is part of the data: orientation, RGB, one of two images side by side, crop, resize. A file that
cannot be read always raises `ImageError`, with a reason for a log line.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from translate.data.pixel_budget import decoding_budget
from translate.files.reading import KINDS, opened
from translate.sizes import ImageSize, SizeLike

Crop = Literal["square", "none"] | int
Half = Literal["left", "right"]

SUFFIXES = frozenset({"png", "jpg", "jpeg", "webp", "bmp", "tiff", "tif"})
CROPS: tuple[Literal["square", "none"], ...] = ("square", "none")

# A file is opened by its content, whatever its name, but only as a plain raster format: EPS starts a program.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF")
MAX_FILE_BYTES = 2_000_000_000
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_SIGNED = 2


class ImageError(ValueError):
    """A file that cannot be read as an image; `reason` completes the sentence "this file ..."."""

    def __init__(self, reason: str) -> None:
        """Take the reason, which is also the text of the exception."""
        super().__init__(reason)
        self.reason = reason


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is not data: a dot name, or a folder that macOS adds to archives."""
    return name.startswith(".") or name == "__MACOSX"


def is_image(name: str, suffixes: Set[str] = SUFFIXES) -> bool:
    """Return whether a name has the suffix of an image file, one of ``suffixes`` in any letter case."""
    stem, _, suffix = name.rpartition(".")
    return bool(stem) and suffix.lower() in suffixes


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; a link to itself is neither folder nor file."""
    return _is(entry.is_dir)


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a file or a link to one, see `is_folder`."""
    return _is(entry.is_file)


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def list_images(folder: str | os.PathLike[str], suffixes: Set[str] = SUFFIXES) -> list[str]:
    """Return the image files below a folder, at any depth, as relative paths with "/", in byte order.

    Hidden files and folders are left out. Links to folders are followed, each folder once. No file is opened.
    """
    names: list[str] = []
    seen: set[tuple[int, int]] = set()

    def visit(path: str, prefix: str) -> None:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:  # a link back to a parent
            return
        if status.st_ino:  # 0 where the file system has no such number
            seen.add((status.st_dev, status.st_ino))
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
                if is_hidden(entry.name):
                    continue
                if is_folder(entry):
                    visit(entry.path, f"{prefix}{entry.name}/")
                elif is_image(entry.name, suffixes) and (entry.is_symlink() or is_file(entry)):
                    names.append(prefix + entry.name)  # also a link to nothing or to itself, which cannot be read

    visit(os.fspath(folder), "")
    return sorted(names, key=os.fsencode)


def read_image(source: str | os.PathLike[str] | BinaryIO, size: SizeLike, crop: Crop = "square") -> np.ndarray:
    """Return an image (height, width, 3) uint8 RGB from a path or an open file: `open_rgb`, then `resize`."""
    with decoded(source) as image:
        return resize(image, size, crop)


def open_rgb(source: str | os.PathLike[str] | BinaryIO) -> Image.Image:
    """Return an upright image of mode "RGB" from a path or an open file.

    Grey, palette, 1-bit and CMYK images become RGB. Transparency is composited on white. Grey of 16 or 32 bits or
    float is scaled to 8 bits, not clipped. The EXIF orientation is applied. An animation is its first frame. Colour
    profiles are ignored, as in the official loaders. Raises ImageError for a file that is missing, damaged, truncated,
    too large, or not an image.
    """
    with decoded(source) as image:
        return image


@contextmanager
def decoded(source: str | os.PathLike[str] | BinaryIO) -> Iterator[Image.Image]:
    """Yield the image of `open_rgb`; until the block ends, its pixels count among those that threads decode at once.

    The size in the header counts, before anything is decoded, so that threads wait while others have large images.
    """
    with ExitStack() as stack:
        with explained(source):
            image = stack.enter_context(Image.open(source, formats=formats()))
            stack.enter_context(decoding_budget().hold(image.width * image.height))
            image.load()
            rgb = to_rgb(upright(image))
        yield rgb


@contextmanager
def explained(source: str | os.PathLike[str] | BinaryIO) -> Iterator[None]:
    """Turn every exception of a decoder about ``source`` into an ImageError; only a regular file is opened at all."""
    try:
        if isinstance(source, str | os.PathLike):
            _require_file(source)
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise ImageError(f"is larger than {limit:.0f} megapixels (a damaged header or a decompression bomb)") from error
    except UnidentifiedImageError as error:
        raise ImageError("is empty (0 bytes)" if _is_empty(source) else "is not an image in a known format") from error
    except MemoryError as error:
        raise ImageError("needs more memory than is available") from error
    except OSError as error:  # errors of the system have a strerror, errors of Pillow only a message
        text = error.strerror.lower() if error.strerror else str(error)
        raise ImageError(f"cannot be read: {text}") from error
    except Exception as error:  # a damaged file can fail anywhere in a decoder: struct.error, SyntaxError, KeyError
        raise ImageError(f"cannot be decoded: {type(error).__name__}: {error}") from error


def _require_file(path: str | os.PathLike[str]) -> None:
    """Raise ImageError for a folder, a pipe or a device, which might never answer; OSError for nothing at all."""
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        raise ImageError(f"is {KINDS.get(kind, 'no file')}, not a file")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of an image file; ImageError for a folder, a pipe, and more than `MAX_FILE_BYTES`."""
    with explained(path), opened(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise ImageError(f"has more than {MAX_FILE_BYTES / 1e9:.0f} GB")
        return file.read()


def cut_half(image: Image.Image, half: Half) -> Image.Image:
    """Return the left or the right half of an image that is two images side by side; ImageError for an odd width."""
    middle, rest = divmod(image.width, 2)
    if rest or not middle:
        raise ImageError(f"is {image.width} pixels wide, so it is not two images of equal width")
    return image.crop((0, 0, middle, image.height) if half == "left" else (middle, 0, image.width, image.height))


def resize(image: Image.Image, size: SizeLike, crop: Crop = "square") -> np.ndarray:
    """Return an RGB image as (height, width, 3) uint8.

    ``crop`` "square" takes the largest box about the centre that has the aspect ratio of ``size``: a square for a
    number. A number limits the longer side of that box. "none" squeezes the whole image into the size, as the official
    StarGAN v2 loader does. The resize is Pillow's bilinear filter, which is antialiased (its support grows with the
    scale).
    """
    assert crop in CROPS or (isinstance(crop, int) and crop > 0), crop
    height, width = ImageSize.of(size)
    if crop != "none":
        box_height, box_width = _centre_box(image.height, image.width, ImageSize(height, width), crop)
        # Half-way offsets round to even, as in torchvision's CenterCrop, so crops equal those of the official code.
        left, top = round((image.width - box_width) / 2), round((image.height - box_height) / 2)
        if image.size != (box_width, box_height):
            image = image.crop((left, top, left + box_width, top + box_height))
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(image)


def _centre_box(height: int, width: int, size: ImageSize, crop: Literal["square"] | int) -> tuple[int, int]:
    """Return the height and width of the largest box of an aspect ratio in an image; ``crop`` may limit its sides.

    >>> _centre_box(218, 178, ImageSize(64, 64), "square"), _centre_box(100, 100, ImageSize(256, 128), "square")
    ((178, 178), (100, 50))
    """
    if height * size.width <= width * size.height:  # the box is as high as the image
        box_height, box_width = height, round(height * size.width / size.height)
    else:
        box_height, box_width = round(width * size.height / size.width), width
    if crop != "square" and crop < max(box_height, box_width):
        scale = crop / max(size)
        box_height, box_width = round(size.height * scale), round(size.width * scale)
    return max(box_height, 1), max(box_width, 1)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a loaded image of any mode in mode "RGB", see `open_rgb`.

    Raises ImageError for values whose black and white are not known.
    """
    if image.mode[0] in "IF":  # I, I;16, I;16B, ..., F
        return _grey(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Return grey of more than 8 bits in mode "L"."""
    levels, _ = grey_levels(image)
    eight = np.rint(levels).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        eight[np.asarray(image) == key] = 255
    return Image.fromarray(eight)


def grey_levels(image: Image.Image) -> tuple[np.ndarray, int]:
    """Return the levels (H, W) float64, from 0 for black to 255 for white, of grey of more than 8 bits, and its white.

    White is the declared maximum of a two-byte file (65535, or 4095 for 12-bit TIFF). A 32-bit file declares none: its
    white is the smallest of 255, 65535 and 2^32 - 1 (float: 1, 255 and 65535) that is no less than any value. Raises
    ImageError for values whose black and white are not known.
    """
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise ImageError("has values that are not finite")
        whites: tuple[int, ...] = (1, 255, 65535)
    elif image.mode == "I":
        signed = _first(tags.get(_SAMPLE_FORMAT)) == _SIGNED
        values = values.astype(np.int64) if signed else values.view(np.uint32).astype(np.int64)
        # Older Pillow gives 16-bit PNG this mode.
        whites = (65535,) if image.format == "PNG" else (255, 65535, 2**32 - 1)
    else:
        whites = ((1 << (_first(tags.get(_BITS_PER_SAMPLE)) or 16)) - 1,)
    low, high = values.min(), values.max()
    white = next((white for white in whites if high <= white), None)
    if low < 0 or white is None:
        raise ImageError(f"has values from {low:g} to {high:g}, for which black and white are not known")
    levels = values.astype(np.float64) * (255.0 / white)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts only 8 bits
        levels = 255 - levels
    return levels, white


def _is_empty(source: str | os.PathLike[str] | BinaryIO) -> bool:
    if isinstance(source, str | os.PathLike):
        return os.path.getsize(source) == 0
    return source.seek(0, os.SEEK_END) == 0


def _first(value: object) -> int | None:
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else None


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block is ignored, since the pixels are not affected."""
    try:
        method = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return image
    if method is None:
        return image
    turned = image.transpose(method)
    turned.format = image.format
    if hasattr(image, "tag_v2"):
        turned.tag_v2 = image.tag_v2  # type: ignore[attr-defined]
    return turned


@functools.cache
def formats() -> tuple[str, ...]:
    """Return the formats that a file may have, those of `_FORMATS` that this Pillow can read."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
