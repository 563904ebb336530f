"""Write images of 16 bits a channel as PNG and TIFF; Pillow writes such files for grey alone."""

import struct
import zlib

import numpy as np

PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # number of channels -> colour type
UP = 2  # the filter that subtracts the row above
SHORT, LONG, UNDEFINED = 3, 4, 7  # types of TIFF fields


def png(samples: np.ndarray, profile: bytes | None = None) -> bytes:
    """Return a PNG file of samples (H, W, C) uint16: grey, grey and alpha, RGB, or RGBA. ``profile`` is ICC."""
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
    chunks += [_chunk(b"IDAT", zlib.compress(filtered.data, 6)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(samples: np.ndarray, profile: bytes | None = None) -> bytes:
    """Return a TIFF file of samples (H, W, C) uint16 in one strip, compressed by deflate without loss."""
    height, width, channels = samples.shape
    data = zlib.compress(samples.astype("<u2").tobytes(), 6)
    data += b"\0" * (len(data) % 2)
    has_alpha = channels in (2, 4)
    entries: dict[int, tuple[int, list[int] | bytes]] = {
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
        entries[34675] = (UNDEFINED, profile + b"\0" * (len(profile) % 2))
    start = 8 + len(data)
    return struct.pack("<2sHI", b"II", 42, start) + data + _directory(entries, start)


def _directory(entries: dict[int, tuple[int, list[int] | bytes]], start: int) -> bytes:
    """Return the directory of fields that begins at a place of the file, and behind it the values of long fields."""
    fields, values = b"", b""
    place = start + 2 + 12 * len(entries) + 4
    for tag, (kind, content) in entries.items():
        packed = (
            content if isinstance(content, bytes) else struct.pack(f"<{len(content)}{'HI'[kind == LONG]}", *content)
        )
        fields += struct.pack("<HHI", tag, kind, len(content))
        if len(packed) <= 4:
            fields += packed.ljust(4, b"\0")
        else:
            fields += struct.pack("<I", place + len(values))
            values += packed
    return struct.pack("<H", len(entries)) + fields + struct.pack("<I", 0) + values
