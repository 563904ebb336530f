"""The form of an image file: format, colour mode, depth, profile and metadata, and which of them a format can store."""

from dataclasses import dataclass, replace

from translate.data.images import ImageError
from translate.errors import UserError

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


@dataclass(frozen=True)
class Form:
    """How a file stores an image: format and mode of Pillow, bits of a channel, profile, and the largest grey level.

    ``exif`` is a block as `translate.inference.metadata.kept_exif` returns it.
    """

    format: str
    mode: str
    bits: int = 8
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    compression: str | None = None  # of TIFF
    white: int = 255  # of mode F
    exif: bytes | None = None

    @property
    def is_grey(self) -> bool:
        """Return whether the image has no colours."""
        return self.mode in ("1", "L", "LA", "F")


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
    if form.format == "TIFF" and form.mode == "LA" and form.bits > 8:
        notes.append("TIFF stores grey with transparency and 16 bits as RGBA")  # few programs read the other form
        form = replace(form, mode="RGBA", profile=None)
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
