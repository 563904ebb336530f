"""Read image files for translation, and write translations in the form of their sources; torch is not imported.

The form of a file is its format, colour mode, depth, transparency and colour profile. Networks see upright sRGB on
white, with values of 0 to 255. What was converted on the way is said in notes.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from translate.data.images import ImageError, explained, formats, grey_levels, upright
from translate.errors import UserError
from translate.inference import colours, deep_files

SUFFIXES = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tiff": "TIFF"}
"""The formats that can be asked for, by suffix."""

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("P", "L", "1"),
    "PPM": ("1", "L", "RGB"),
    "AVIF": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F"),
}
"""The colour modes of each format that can be written."""

DEEP = ("PNG", "TIFF")
"""The formats with 16 bits."""

WITHOUT_ALPHA = {"LA": "L", "RGBA": "RGB"}
QUALITY = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "exact": True},
    "AVIF": {"quality": 90},
}
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, ITU-R BT.601, as in Pillow
WHITE = 255.0


@dataclass(frozen=True)
class Form:
    """How a file stores an image: format and mode of Pillow, bits of a channel, profile, and the largest grey level."""

    format: str
    mode: str
    bits: int = 8
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    compression: str | None = None  # of TIFF
    white: int = 255  # of mode F

    @property
    def is_grey(self) -> bool:
        """Return whether the image has no colours."""
        return self.mode in ("1", "L", "LA", "F")


@dataclass(frozen=True)
class ImageFile:
    """An upright image for networks, and what belongs to its file.

    ``pixels`` are (H, W, 1) or (H, W, 3), uint8, or float32 from 0 to 255 for grey of more than 8 bits. ``alpha`` is
    (H, W) uint8, 255 where the image is opaque.
    """

    pixels: np.ndarray
    form: Form
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


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
        if getattr(image, "n_frames", 1) > 1:
            notes.add("the first image of several is translated")
        bits = _bits(image)
        image.load()
        turned = upright(image)
        if turned is not image:
            notes.add("the orientation of EXIF is applied")
        return _decoded(turned, image, bits, notes)


def of_image(image: Image.Image) -> ImageFile:
    """Return a Pillow image as if it came from a file; ImageError for values whose black and white are not known."""
    image.load()
    return _decoded(image, image, _bits(image), _Notes())


def _decoded(image: Image.Image, opened: Image.Image, bits: int, notes: _Notes) -> ImageFile:
    """Return a loaded and upright image; ``opened`` has the facts of its header."""
    form = Form(
        opened.format or "PNG",
        image.mode,
        bits,
        opened.info.get("icc_profile") or None,
        _dpi(opened.info.get("dpi")),
        opened.info.get("compression"),
    )
    if image.mode[0] in "IF":
        return _deep_grey(image, form, notes)
    if bits > 8:
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


def _bits(image: Image.Image) -> int:
    """Return the bits of a channel, 8 or 16, of an image whose pixels are not yet loaded."""
    if image.format == "TIFF":
        depth = getattr(image, "tag_v2", {}).get(258, 8)
        return 16 if max(depth if isinstance(depth, tuple) else (depth,)) > 8 else 8
    tiles = getattr(image, "tile", None) or ()
    return 16 if image.format == "PNG" and any(";16" in str(tile[3]) for tile in tiles) else 8


def _deep_grey(image: Image.Image, form: Form, notes: _Notes) -> ImageFile:
    levels, white = grey_levels(image)
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
    return ImageFile(levels.astype(np.float32)[:, :, None], form, notes=tuple(notes.texts))


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


# --- writing ------------------------------------------------------------------------------------------------


def as_format(form: Form, suffix: str) -> Form:
    """Return the form of a translation in another format; UserError for an unknown suffix."""
    if suffix not in SUFFIXES:
        raise UserError("unknown format of images", key="format", found=suffix, known=tuple(SUFFIXES))
    return replace(form, format=SUFFIXES[suffix], compression=None)


def fitted(form: Form) -> tuple[Form, tuple[str, ...]]:
    """Return a form that its format can store, and notes on what is lost."""
    notes = []
    known = MODES.get(form.format)
    if known is None:
        raise ImageError(f"has the format {form.format}, which cannot be written")
    if form.bits > 8 and (form.format not in DEEP or form.mode == "P"):
        notes.append(f"{form.format} stores 8 bits")
        form = replace(form, bits=8, mode="L" if form.mode == "F" else form.mode)
    if form.mode == "F" and form.format != "TIFF":
        notes.append(f"{form.format} stores 16 bits")
        form = replace(form, bits=16, mode="L")
    if form.mode not in known:
        mode = next(mode for mode in _instead(form.mode) if mode in known)
        if mode != "RGBA" and not (form.mode == "L" and mode == "RGB"):
            notes.append(f"{form.format} stores the colour mode {form.mode} as {mode}")
        profile = None if (form.mode == "CMYK") != (mode == "CMYK") else form.profile
        form = replace(form, mode=mode, profile=profile)
    return form, tuple(notes)


def _instead(mode: str) -> tuple[str, ...]:
    """Return the modes that replace one, the best first."""
    grey = ("LA", "RGBA", "L", "RGB") if mode == "LA" else ("L", "RGB")
    return grey if mode in ("1", "L", "LA", "F") else ("RGBA", "RGB", "P") if mode in ("P", "RGBA") else ("RGB", "P")


def encode(translation: np.ndarray, source: ImageFile, form: Form) -> bytes:
    """Return the bytes of a file with a translation (H, W, 3), uint8, or float32 from 0 to 255.

    ``form`` is that of ``source`` or another; its format must be able to store it, see `fitted`.
    """
    if form.bits > 8:
        return _encode_deep(translation, source, form)
    image = to_image(translation, source, form)
    options: dict[str, Any] = dict(QUALITY.get(form.format, {}))
    if form.profile is not None and form.format != "BMP":
        options["icc_profile"] = form.profile
    if form.dpi is not None:
        options["dpi"] = form.dpi
    if form.format == "TIFF" and form.compression not in (None, "raw"):
        options["compression"] = "group4" if form.mode == "1" else "tiff_lzw"
    buffer = io.BytesIO()
    with _written(form):
        image.save(buffer, form.format, **options)
    return buffer.getvalue()


def to_image(translation: np.ndarray, source: ImageFile, form: Form) -> Image.Image:
    """Return a translation as a Pillow image in the mode of a form; colours have 8 bits."""
    if form.bits > 8 and form.is_grey:
        return _deep_grey_image(translation.astype(np.float32), form)
    image = Image.fromarray(_eight(translation))
    # the conversion to grey comes first, so that a grey source has grey translations in every mode
    image = image.convert("L") if form.is_grey or source.pixels.shape[2] == 1 else image
    alpha = None if source.alpha is None else Image.fromarray(source.alpha)
    if alpha is not None and form.mode not in ("LA", "RGBA", "P"):
        image, alpha = Image.composite(image, Image.new(image.mode, image.size, "white"), alpha), None
    result = _in_mode(image, alpha, form)
    if form.profile is not None:
        result.info["icc_profile"] = form.profile
    return result


def _deep_grey_image(values: np.ndarray, form: Form) -> Image.Image:
    """Return pixels (H, W, 3) from 0 to 255 as grey of 16 bits, or of floating-point numbers."""
    grey = values.clip(0, WHITE) @ GREY_WEIGHTS
    if form.mode == "F":
        return Image.fromarray((grey * (form.white / WHITE)).astype(np.float32))
    return Image.fromarray(np.rint(grey * 257).astype(np.uint16))


def _in_mode(image: Image.Image, alpha: Image.Image | None, form: Form) -> Image.Image:
    """Return an sRGB or grey image of 8 bits in the mode and colours of a form, with its transparency."""
    base = {"LA": "L", "1": "L", "CMYK": "CMYK"}.get(form.mode, image.mode)
    image = _from_srgb(image, form, base)
    if form.mode == "1":
        return image.convert("1")
    if form.mode == "P":
        if alpha is None:
            return image.convert("P") if image.mode == "L" else image.quantize(256)
        image = image.convert("RGB")
        image.putalpha(alpha)
        return image.quantize(256, Image.Quantize.FASTOCTREE)
    if alpha is not None:
        image = image.convert(WITHOUT_ALPHA[form.mode])
        image.putalpha(alpha)
    return image.convert(form.mode) if image.mode != form.mode else image


def _from_srgb(image: Image.Image, form: Form, base: str) -> Image.Image:
    """Return an sRGB image in the colours of a form's profile, in mode L, RGB or CMYK."""
    if form.profile is not None and form.profile != colours.srgb():
        _, back = colours.transforms(form.profile, base)
        if back is not None and back is not colours.SAME:
            return colours.apply(back, image.convert("RGB"))
    return image.convert(base) if image.mode != base else image


def _encode_deep(translation: np.ndarray, source: ImageFile, form: Form) -> bytes:
    """Return the bytes of a file of 16 bits, or of grey as floating-point numbers."""
    if form.mode == "F":
        buffer = io.BytesIO()
        with _written(form):
            _deep_grey_image(translation.astype(np.float32), form).save(buffer, "TIFF")
        return buffer.getvalue()
    values = translation.astype(np.float32).clip(0, WHITE)
    if form.profile is not None and not form.is_grey:
        values = np.asarray(_from_srgb(Image.fromarray(_eight(translation)), form, "RGB")).astype(np.float32)
    if form.is_grey:
        values = (values @ GREY_WEIGHTS)[:, :, None]
    samples = np.rint(values * 257).astype(np.uint16)
    if source.alpha is not None and form.mode in ("LA", "RGBA"):
        samples = np.concatenate([samples, source.alpha[:, :, None].astype(np.uint16) * 257], axis=2)
    with _written(form):
        return (deep_files.png if form.format == "PNG" else deep_files.tiff)(samples, form.profile)


def _eight(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.uint8 else np.rint(values.clip(0, WHITE)).astype(np.uint8)


@contextmanager
def _written(form: Form) -> Iterator[None]:
    """Turn exceptions of an encoder into an ImageError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(f"cannot be written as {form.format} with mode {form.mode}: {error}") from error
