"""Choose the metadata that a translation keeps of its image: description, author, camera, exposure and dates of EXIF.

Left out are data that do not fit a translation (orientation, thumbnail, sizes) and data that a user may not want to
pass on with an image (place, serial numbers, owner, notes of the camera, and all of XMP and IPTC).
"""

from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.ExifTags import Base

TEXTS = (Base.ImageDescription, Base.Make, Base.Model, Base.DateTime, Base.Artist, Base.Copyright)
"""The tags that are kept of the image itself; TIFF has them in its header."""

EXPOSURE = (
    Base.ExposureTime,
    Base.FNumber,
    Base.ExposureProgram,
    Base.ISOSpeedRatings,
    Base.DateTimeOriginal,
    Base.DateTimeDigitized,
    Base.OffsetTime,
    Base.OffsetTimeOriginal,
    Base.OffsetTimeDigitized,
    Base.SubsecTime,
    Base.SubsecTimeOriginal,
    Base.SubsecTimeDigitized,
    Base.ShutterSpeedValue,
    Base.ApertureValue,
    Base.BrightnessValue,
    Base.ExposureBiasValue,
    Base.MaxApertureValue,
    Base.SubjectDistance,
    Base.MeteringMode,
    Base.LightSource,
    Base.Flash,
    Base.FocalLength,
    Base.FocalLengthIn35mmFilm,
    Base.ExposureMode,
    Base.WhiteBalance,
    Base.DigitalZoomRatio,
    Base.SceneCaptureType,
    Base.LensSpecification,
    Base.LensMake,
    Base.LensModel,
)
"""The tags that are kept of the exposure."""

EXIF_IFD, GPS_IFD, THUMBNAIL_IFD, MAKER_NOTE = 0x8769, 0x8825, -1, 0x927C
"""The parts of an EXIF block, by tag; Pillow's name for that of the thumbnail."""

XMP, IPTC = ("xmp", "XML:com.adobe.xmp"), ("photoshop",)
"""The keys under which Pillow has other metadata of a file."""


def kept_exif(image: Image.Image) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the EXIF data of an image that its translation keeps, and names of parts that are left out.

    The bytes are those of `Image.Exif.tobytes`. A damaged EXIF block is left out, as if the image had none.
    """
    try:
        source = image.getexif()
        texts = {tag: source[tag] for tag in TEXTS if tag in source}
        details = source.get_ifd(EXIF_IFD)
        exposure = {tag: details[tag] for tag in EXPOSURE if tag in details}
        is_present = {
            "the place (GPS)": GPS_IFD in source,
            "the notes of the camera": MAKER_NOTE in details,
            "the thumbnail": image.format != "TIFF" and bool(source.get_ifd(THUMBNAIL_IFD)),  # there: the second page
            "XMP": any(key in image.info for key in XMP),
            "IPTC": any(key in image.info for key in IPTC),
        }
    except Exception:  # a damaged block can fail anywhere
        return None, ("damaged EXIF data",)
    return _to_bytes(texts, exposure), tuple(name for name, present in is_present.items() if present)


def texts_of(exif: bytes) -> dict[int, str]:
    """Return the texts of `TEXTS` in EXIF data, by tag, for a TIFF header."""
    block = Image.Exif()
    block.load(exif)
    return {tag: str(block[tag]) for tag in TEXTS if tag in block}


def _to_bytes(texts: Mapping[Base, Any], exposure: Mapping[Base, Any]) -> bytes | None:
    """Return tags as an EXIF block; None without any, and for values that cannot be written."""
    if not texts and not exposure:
        return None
    block = Image.Exif()
    for tag, value in texts.items():
        block[tag] = value
    block.get_ifd(EXIF_IFD).update({int(tag): value for tag, value in exposure.items()})
    try:
        return block.tobytes()
    except Exception:  # a value of a type that its tag does not have
        return None
