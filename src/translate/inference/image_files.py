"""Read image files for translation, with the form in which a translation is written; torch is not imported.

Networks see upright sRGB on white, with values of 0 to 255. What was converted on the way is said in notes.
"""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from translate.data.images import explained, formats, grey_levels, upright
from translate.inference import colours, deep_colours
from translate.inference.image_forms import Form
from translate.inference.metadata import kept_exif

WHITE = 255.0
OPAQUE = 65535

TWO_IMAGES = "MPO"
"""Pillow's name for a JPEG file with a second image behind the first, as phones write."""


@dataclass(frozen=True)
class ImageFile:
    """An upright image for networks, and what belongs to its file.

    ``pixels`` are (H, W, 1) or (H, W, 3), uint8, or float32 from 0 to 255 for channels of more than 8 bits. ``alpha``
    is (H, W), uint8 or uint16, with the largest number where the image is opaque.
    """

    pixels: np.ndarray
    form: Form
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


def enlarged(file: ImageFile, scale: int) -> ImageFile:
    """Return a file whose transparency has the size of a translation, ``scale`` times that of the file."""
    if scale == 1 or file.alpha is None:
        return file
    height, width = file.alpha.shape
    values = Image.fromarray(file.alpha.astype(np.float32)).resize((scale * width, scale * height))
    largest = np.iinfo(file.alpha.dtype).max
    return replace(file, alpha=np.rint(np.asarray(values).clip(0, largest)).astype(file.alpha.dtype))


@dataclass
class _Notes:
    """Notes on a file while it is read, each once."""

    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        if text not in self.texts:
            self.texts.append(text)


# --- reading ------------------------------------------------------------------------------------------------


def size_of(path: Path) -> tuple[int, int]:
    """Return height and width from the header of a file, before it is turned upright; ImageError for no image."""
    with explained(path), Image.open(path, formats=formats()) as image:
        return image.height, image.width


def read(content: bytes) -> ImageFile:
    """Return the image in the bytes of a file; ImageError for one that is damaged, truncated or too large."""
    source, notes = io.BytesIO(content), _Notes()
    with explained(source), Image.open(source, formats=formats()) as image:
        if getattr(image, "n_frames", 1) > 1 and image.format != TWO_IMAGES:
            notes.add("the first image of several is translated")
        bits = _bits(image)
        image.load()
        turned = upright(image)
        if turned is not image:
            notes.add("the orientation of EXIF is applied")
        samples = deep_colours.samples(content) if bits > 8 and image.mode in ("RGB", "RGBA") else None
        return _decoded(turned, image, bits, notes, samples)


def of_image(image: Image.Image) -> ImageFile:
    """Return a Pillow image as if it came from a file; ImageError for values whose black and white are not known."""
    image.load()
    return _decoded(image, image, _bits(image), _Notes())


def _decoded(
    image: Image.Image, opened: Image.Image, bits: int, notes: _Notes, samples: np.ndarray | None = None
) -> ImageFile:
    """Return a loaded and upright image; ``opened`` has the facts of its header, ``samples`` are colours of 16 bits."""
    form = _form(image, opened, bits, notes)
    if image.mode[0] in "IF":
        return _deep_grey(image, form, notes)
    if samples is not None:
        return _deep_colours(samples, form, deep_colours.key_colour(image), notes)
    if bits > 8 and image.mode == "CMYK":
        notes.add("inks of 16 bits are read and written with 8")
        form = replace(form, bits=8)
    elif bits > 8:
        notes.add("colours of 16 bits are read with 8 bits and written with 16")
    alpha = None
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
    base = _without_alpha(image)
    form = replace(form, mode=_mode(image, base, alpha is not None, notes))
    base, form = _to_srgb(base, form, notes)
    if alpha is not None:
        base = Image.composite(base, Image.new(base.mode, base.size, "white"), alpha)
    pixels = np.asarray(base)
    opacity = None if alpha is None else np.asarray(alpha)
    return ImageFile(pixels if pixels.ndim == 3 else pixels[:, :, None], form, opacity, tuple(notes.texts))


def _form(image: Image.Image, opened: Image.Image, bits: int, notes: _Notes) -> Form:
    """Return the form of a file with the mode of its image, before colours are converted."""
    exif, left_out = kept_exif(opened)
    if left_out:
        notes.add(f"left out of the metadata: {', '.join(left_out)}")
    return Form(
        "JPEG" if opened.format == TWO_IMAGES else opened.format or "PNG",
        image.mode,
        bits,
        opened.info.get("icc_profile") or None,
        _dpi(opened.info.get("dpi")),
        opened.info.get("compression"),
        exif=exif,
    )


def _bits(image: Image.Image) -> int:
    """Return the bits of a channel, 8 or 16, of an image whose pixels are not yet loaded."""
    if image.format == "TIFF":
        depth = getattr(image, "tag_v2", {}).get(258, 8)
        return 16 if max(depth if isinstance(depth, tuple) else (depth,)) > 8 else 8
    tiles = getattr(image, "tile", None) or ()
    return 16 if image.format == "PNG" and any(";16" in str(tile[3]) for tile in tiles) else 8


def _deep_grey(image: Image.Image, form: Form, notes: _Notes) -> ImageFile:
    levels, white = grey_levels(image)
    pixels, alpha = levels.astype(np.float32)[:, :, None], None
    if form.profile is not None:
        notes.add("the colour profile of grey with 16 bits is kept, and not applied")
    if image.mode == "F":
        form = replace(form, mode="F", bits=32, white=white)
    else:
        form = replace(form, mode="L", bits=16)
        if white > 65535 or (image.mode == "I" and form.format == "TIFF"):
            notes.add("integers of 32 bits are written with 16")
        elif white not in (255, 65535):
            notes.add(f"levels from 0 to {white} are written from 0 to 65535")
        if isinstance(key := image.info.get("transparency"), int):
            alpha = np.where(np.asarray(image) == key, 0, OPAQUE).astype(np.uint16)
            form = replace(form, mode="LA")
    return ImageFile(_on_white(pixels, alpha), form, alpha, tuple(notes.texts))


def _deep_colours(samples: np.ndarray, form: Form, key: tuple[int, ...] | None, notes: _Notes) -> ImageFile:
    """Return an image of samples (H, W, C) uint16; pixels of the colour ``key`` are transparent."""
    channels = samples.shape[2]
    alpha = samples[:, :, -1] if channels in (2, 4) else None
    samples = samples if alpha is None else samples[:, :, :-1]
    if key is not None:
        alpha = np.where((samples == key).all(axis=2), 0, OPAQUE).astype(np.uint16)
    mode = "L" if channels == 2 else "RGB"
    form = replace(form, mode=mode if alpha is None else f"{mode}A")
    pixels = samples.astype(np.float32) / np.float32(OPAQUE / WHITE)
    if form.profile is not None:
        high = (samples >> 8).astype(np.uint8)
        base = Image.fromarray(high[:, :, 0] if channels == 2 else high)
        converted, form = _to_srgb(base, form, notes)
        if converted is not base:
            pixels = np.asarray(converted).astype(np.float32).reshape(*high.shape[:2], -1)
    return ImageFile(_on_white(pixels, alpha), form, alpha, tuple(notes.texts))


def _on_white(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Return pixels (H, W, C) float32 from 0 to 255 on white; ``alpha`` is (H, W) uint16."""
    if alpha is None:
        return pixels
    opacity = alpha[:, :, None] / np.float32(OPAQUE)
    return pixels * opacity + np.float32(WHITE) * (1 - opacity)


def _without_alpha(image: Image.Image) -> Image.Image:
    """Return an image in mode L, RGB or CMYK, without transparency."""
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("L")
    if image.mode in ("P", "PA"):
        colour = image.convert("RGBA").convert("RGB") if image.has_transparency_data else image.convert("RGB")
        return colour.getchannel("R") if _is_grey_palette(image) else colour
    if image.mode == "CMYK":
        return image
    return image.convert("RGB") if image.mode != "RGB" else image


def _is_grey_palette(image: Image.Image) -> bool:
    colours_of = image.getpalette("RGB")
    if not colours_of:
        return False
    table = np.asarray(colours_of).reshape(-1, 3)
    return bool((table == table[:, :1]).all())


def _mode(image: Image.Image, base: Image.Image, transparent: bool, notes: _Notes) -> str:
    """Return the mode in which a translation of an image is stored."""
    if image.mode in ("P", "PA"):
        notes.add("a palette of at most 256 colours is chosen for each translation")
        return "P"
    if image.mode == "1":
        notes.add("translations have two levels, by dithering")
        return "1"
    if transparent:
        return "LA" if base.mode == "L" else "RGBA"
    if image.mode not in ("L", "RGB", "CMYK"):
        notes.add(f"the colour mode {image.mode} is written as {base.mode}")
    return base.mode


def _to_srgb(base: Image.Image, form: Form, notes: _Notes) -> tuple[Image.Image, Form]:
    """Return an image in sRGB, and the form of translations: their profile is kept if colours can be converted back."""
    if form.profile is None:
        return (base.convert("RGB"), form) if base.mode == "CMYK" else (base, form)
    there, back = colours.transforms(form.profile, base.mode)
    if there is None:
        notes.add("the colour profile cannot be read and is left out")
        return base.convert("RGB") if base.mode == "CMYK" else base, replace(form, profile=None)
    if there is colours.SAME:
        return base, form
    if back is None:
        notes.add("the colour profile has no way back, so translations are in sRGB")
        mode = {"CMYK": "RGB"}.get(form.mode, form.mode)
        return colours.apply(there, base), replace(form, profile=colours.srgb(), mode=mode)
    notes.add("the colour profile is applied, and applied backwards to translations")
    if form.bits > 8:
        notes.add("colours of 16 bits have the precision of 8 bits where a colour profile is applied")
    return colours.apply(there, base), form


def _dpi(value: object) -> tuple[float, float] | None:
    try:
        horizontal, vertical = (float(each) for each in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (horizontal, vertical) if 0 < horizontal < 1e6 and 0 < vertical < 1e6 else None
