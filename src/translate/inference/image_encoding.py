"""Write translations in the form of their sources; torch is not imported."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from translate.data.images import ImageError
from translate.inference import colours, deep_files
from translate.inference.image_files import WHITE, ImageFile
from translate.inference.image_forms import Form

WITHOUT_ALPHA = {"LA": "L", "RGBA": "RGB"}
QUALITY = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "exact": True},
    "AVIF": {"quality": 90},
}
WITH_EXIF = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")
"""The formats that store EXIF data."""

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, ITU-R BT.601, as in Pillow


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
    if form.exif is not None and form.format in WITH_EXIF:
        options["exif"] = form.exif
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
    alpha = None if source.alpha is None else Image.fromarray(_eight_of_alpha(source.alpha))
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
    if form.profile is not None and _has_own_colours(form, base):
        return colours.apply(colours.transforms(form.profile, base)[1], image.convert("RGB"))
    return image.convert(base) if image.mode != base else image


def _has_own_colours(form: Form, base: str) -> bool:
    """Return whether a form's profile has colours other than sRGB, to which a transform leads."""
    if form.profile is None or form.profile == colours.srgb():
        return False
    back = colours.transforms(form.profile, base)[1]
    return back is not None and back is not colours.SAME


def _encode_deep(translation: np.ndarray, source: ImageFile, form: Form) -> bytes:
    """Return the bytes of a file of 16 bits, or of grey as floating-point numbers."""
    if form.mode == "F":
        buffer = io.BytesIO()
        with _written(form):
            _deep_grey_image(translation.astype(np.float32), form).save(buffer, "TIFF")
        return buffer.getvalue()
    values = translation.astype(np.float32).clip(0, WHITE)
    if source.pixels.shape[2] == 1:
        values = (values @ GREY_WEIGHTS)[:, :, None]
        values = values if form.is_grey else values.repeat(3, axis=2)
    elif form.is_grey:
        values = (values @ GREY_WEIGHTS)[:, :, None]
    elif _has_own_colours(form, "RGB"):
        values = np.asarray(_from_srgb(Image.fromarray(_eight(translation)), form, "RGB")).astype(np.float32)
    samples = np.rint(values * 257).astype(np.uint16)
    if source.alpha is not None and form.mode in ("LA", "RGBA"):
        samples = np.concatenate([samples, _deep_alpha(source.alpha)[:, :, None]], axis=2)
    with _written(form):
        write = deep_files.png if form.format == "PNG" else deep_files.tiff
        return write(samples, form.profile, form.dpi, form.exif)


def _deep_alpha(alpha: np.ndarray) -> np.ndarray:
    return alpha if alpha.dtype == np.uint16 else alpha.astype(np.uint16) * 257


def _eight_of_alpha(alpha: np.ndarray) -> np.ndarray:
    return alpha if alpha.dtype == np.uint8 else ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _eight(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.uint8 else np.rint(values.clip(0, WHITE)).astype(np.uint8)


@contextmanager
def _written(form: Form) -> Iterator[None]:
    """Turn exceptions of an encoder into an ImageError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(f"cannot be written as {form.format} with mode {form.mode}: {error}") from error
