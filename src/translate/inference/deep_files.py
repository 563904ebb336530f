"""Write images of 16 bits a channel as PNG and TIFF; Pillow writes such files for grey alone."""

import struct
import zlib

import numpy as np

from translate.inference.metadata import texts_of

PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # number of channels -> colour type
UP = 2  # the filter that subtracts the row above
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7  # types of TIFF fields
INCH = 0.0254  # metres
EXIF_START = b"Exif\0\0"  # of a block in a JPEG file, which PNG leaves out

Dpi = tuple[float, float] | None
Entries = dict[int, tuple[int, list[int] | bytes]]
"""Fields of a TIFF directory by tag: their type, and their values or bytes."""


def png(samples: np.ndarray, profile: bytes | None = None, dpi: Dpi = None, exif: bytes | None = None) -> bytes:
    """Return a PNG file of samples (H, W, C) uint16: grey, grey and alpha, RGB, or RGBA.

    ``profile`` is ICC, ``dpi`` the horizontal and vertical resolution, ``exif`` a block as `Image.Exif.tobytes` makes.
    """
    height, width, channels = samples.shape
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOURS[channels], 0, 0, 0)
    chunks = [_chunk(b"IHDR", header)]
    if profile is not None:
        chunks.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    if dpi is not None:
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(each / INCH) for each in dpi), 1)))
    if exif is not None:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(EXIF_START)))
    chunks += [_chunk(b"IDAT", zlib.compress(filtered.data, 6)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(samples: np.ndarray, profile: bytes | None = None, dpi: Dpi = None, exif: bytes | None = None) -> bytes:
    """Return a TIFF file of samples (H, W, C) uint16 in one strip, compressed by deflate without loss.

    The other arguments are those of `png`; of EXIF data the texts are kept.
    """
    height, width, channels = samples.shape
    data = zlib.compress(samples.astype("<u2").tobytes(), 6)
    data += b"\0" * (len(data) % 2)
    has_alpha = channels in (2, 4)
    entries: Entries = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [16] * channels),
        259: (SHORT, [8]),  # deflate
        262: (SHORT, [1 if channels < 3 else 2]),  # black is zero, or RGB
        273: (LONG, [8]),  # the strip follows the header
        277: (SHORT, [channels]),
        278: (LONG, [height]),
        279: (LONG, [len(data)]),
        284: (SHORT, [1]),  # channels side by side
    }
    if has_alpha:
        entries[338] = (SHORT, [2])  # the last channel is alpha, not multiplied into the others
    entries[339] = (SHORT, [1] * channels)  # unsigned integers
    if profile is not None:
        entries[34675] = (UNDEFINED, profile)
    if dpi is not None:
        entries |= {282: (RATIONAL, _rational(dpi[0])), 283: (RATIONAL, _rational(dpi[1])), 296: (SHORT, [2])}
    for tag, text in texts_of(exif).items() if exif is not None else ():
        entries[tag] = (ASCII, text.encode("ascii", "replace") + b"\0")
    start = 8 + len(data)
    return struct.pack("<2sHI", b"II", 42, start) + data + _directory(entries, start)


def _rational(number: float) -> bytes:
    return struct.pack("<II", round(number * 1000), 1000)


def _directory(entries: Entries, start: int) -> bytes:
    """Return the directory of fields that begins at a place of the file, and behind it the values of long fields."""
    fields, values = b"", b""
    place = start + 2 + 12 * len(entries) + 4
    for tag, (kind, content) in sorted(entries.items()):
        packed = (
            content if isinstance(content, bytes) else struct.pack(f"<{len(content)}{'HI'[kind == LONG]}", *content)
        )
        fields += struct.pack("<HHI", tag, kind, len(content) // 8 if kind == RATIONAL else len(content))
        if len(packed) <= 4:
            fields += packed.ljust(4, b"\0")
        else:
            fields += struct.pack("<I", place + len(values))
            values += packed + b"\0" * (len(packed) % 2)  # values begin at even places
    return struct.pack("<H", len(entries)) + fields + struct.pack("<I", 0) + values
