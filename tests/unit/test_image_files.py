"""Files keep their form: mode, depth, transparency, profile, orientation. The identity gives the image itself."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from translate.data.images import ImageError
from translate.inference import colours, deep_colours, deep_files, image_encoding, image_files, image_forms, tiling
from translate.inference.image_files import ImageFile

HEIGHT, WIDTH = 20, 30


def ramp(channels: int = 3) -> np.ndarray:
    """Return pixels (H, W, C) uint8 that change smoothly, each channel another way."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = (8 * x + 10, 12 * y + 5, 250 - 8 * x, 255 - 12 * y)
    return np.stack(planes[:channels], axis=2).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def identity(file: ImageFile) -> np.ndarray:
    """Return the translation (H, W, 3) that a network makes which changes nothing."""
    return tiling.to_pixels(tiling.to_input(file.pixels), deep=file.form.bits > 8)


def again(content: bytes, suffix: str | None = None) -> tuple[Image.Image, ImageFile, bytes]:
    """Return the image of the file that the identity makes of a file, and the file as it was read."""
    file = image_files.read(content)
    form = file.form if suffix is None else image_forms.as_format(file.form, suffix)
    form, _ = image_forms.fitted(form)
    result = image_encoding.encode(identity(file), file, form)
    image = Image.open(io.BytesIO(result))
    image.load()
    return image, file, result


RGB, GREY = Image.fromarray(ramp()), Image.fromarray(ramp(1)[:, :, 0])
RGBA = Image.fromarray(ramp(4))
LA = Image.merge("LA", (GREY, Image.fromarray(ramp(4)[:, :, 3])))

EXACT: dict[str, tuple[Image.Image, str]] = {
    "RGB png": (RGB, "PNG"),
    "RGB tiff": (RGB, "TIFF"),
    "RGB bmp": (RGB, "BMP"),
    "L png": (GREY, "PNG"),
    "L tiff": (GREY, "TIFF"),
    "1 png": (GREY.convert("1", dither=Image.Dither.NONE), "PNG"),
    "1 tiff": (GREY.convert("1", dither=Image.Dither.NONE), "TIFF"),
    "grey palette png": (GREY.convert("P"), "PNG"),
}


@pytest.mark.parametrize("name", EXACT)
def test_modes_come_back_exactly(name: str) -> None:
    image, format = EXACT[name]
    result, file, _ = again(saved(image, format))
    assert (result.format, result.mode, result.size) == (format, image.mode, image.size)
    assert np.array_equal(np.asarray(result.convert("RGB")), np.asarray(image.convert("RGB")))
    assert file.size == (HEIGHT, WIDTH)


@pytest.mark.parametrize(("image", "format"), [(RGBA, "PNG"), (RGBA, "TIFF"), (LA, "PNG"), (LA, "TIFF")])
def test_transparency_is_kept_apart(image: Image.Image, format: str) -> None:
    """Networks see the image on white; the colours of opaque pixels and all opacities come back."""
    result, file, _ = again(saved(image, format))
    assert result.mode == image.mode
    assert np.array_equal(np.asarray(result.getchannel("A")), np.asarray(image.getchannel("A")))
    opaque = np.asarray(image.getchannel("A")) == 255
    assert opaque.any()
    assert np.array_equal(np.asarray(result.convert("RGB"))[opaque], np.asarray(image.convert("RGB"))[opaque])
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    seen = np.broadcast_to(file.pixels, (HEIGHT, WIDTH, 3))
    assert np.abs(seen.astype(int) - np.asarray(white)).max() <= 1


def test_a_palette_stays_a_palette() -> None:
    image = RGB.quantize(64)
    result, file, _ = again(saved(image, "PNG"))
    assert result.mode == "P"
    difference = np.abs(np.asarray(result.convert("RGB")).astype(int) - np.asarray(image.convert("RGB")))
    assert difference.mean() < 2
    assert any("palette" in note for note in file.notes)
    clear = RGB.quantize(16)
    result, _, _ = again(saved(clear, "PNG", transparency=3))
    before, after = (
        np.asarray(each.convert("RGBA"))[:, :, 3]
        for each in (Image.open(io.BytesIO(saved(clear, "PNG", transparency=3))), result)
    )
    assert result.mode == "P"
    assert np.array_equal(before, after)
    assert (before == 0).any()


@pytest.mark.parametrize(("image", "tolerance"), [(RGB, 8), (GREY, 3), (RGB.convert("CMYK"), 8)])
def test_jpeg_is_close(image: Image.Image, tolerance: int) -> None:
    result, _, _ = again(saved(image, "JPEG", quality=98, subsampling=0))
    assert (result.format, result.mode) == ("JPEG", image.mode)
    difference = np.abs(np.asarray(result.convert("RGB")).astype(int) - np.asarray(image.convert("RGB")))
    assert difference.max() <= tolerance


# --- depth --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_of_16_bits_comes_back(format: str) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
    result, file, _ = again(saved(Image.fromarray(levels), format))
    assert result.mode in ("I;16", "I")
    assert np.abs(np.asarray(result).astype(int) - levels).max() <= 1  # of 65,535: rounding of float32
    assert file.pixels.dtype == np.float32


def test_floating_point_grey_comes_back() -> None:
    levels = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    result, _, _ = again(saved(Image.fromarray(levels), "TIFF"))
    assert result.mode == "F"
    assert np.abs(np.asarray(result) - levels).max() < 1e-5


def deep(channels: int) -> np.ndarray:
    """Return samples (H, W, C) uint16 with any high and low bytes; alpha is opaque in the first rows."""
    values = np.random.default_rng(channels).integers(0, 65536, (HEIGHT, WIDTH, channels)).astype(np.uint16)
    if channels in (2, 4):
        values[: HEIGHT // 2, :, -1] = 65535
    return values


@pytest.mark.parametrize(
    ("write", "channels"), [(deep_files.png, 2), *((w, c) for w in (deep_files.png, deep_files.tiff) for c in (3, 4))]
)
def test_colours_of_16_bits_come_back(write: Any, channels: int) -> None:
    """Opaque samples and all opacities, but for the rounding of float32."""
    samples = deep(channels)
    _, file, result = again(write(samples))
    assert (file.form.bits, file.pixels.dtype, file.notes) == (16, np.float32, ())
    assert file.form.mode == {2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    back = deep_colours.samples(result)
    assert back is not None
    assert back.shape == samples.shape
    opaque = samples[:, :, -1] == 65535 if channels in (2, 4) else np.ones((HEIGHT, WIDTH), bool)
    assert np.abs(back[opaque].astype(int) - samples[opaque]).max() <= 1
    if channels in (2, 4):
        assert np.array_equal(back[:, :, -1], samples[:, :, -1])
        clear = samples[:, :, -1] < 1000  # on white
        assert clear.any()
        assert file.pixels[clear].min() > 250
    if write is deep_files.png:
        assert np.array_equal(png_samples(result), back)


def test_grey_and_alpha_of_16_bits_as_tiff() -> None:
    samples = deep(2)
    image, _, result = again(deep_files.png(samples), "tiff")
    back = deep_colours.samples(result)
    assert (image.mode, image.format) == ("RGBA", "TIFF")
    assert back is not None
    opaque = samples[:, :, 1] == 65535
    assert np.abs(back[opaque].astype(int) - samples[opaque][:, [0, 0, 0, 1]]).max() <= 1


@pytest.mark.parametrize("order", [">", "<"])
def test_tiff_files_of_other_programs(order: str) -> None:
    """Uncompressed samples of either byte order."""
    samples = deep(3)
    data = samples.astype(f"{order}u2").tobytes()
    fields = [(256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 3, 0), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 0)]
    fields += [(277, 3, 1, 3), (278, 4, 1, HEIGHT), (279, 4, 1, len(data))]
    place = 8 + 2 + 12 * len(fields) + 4
    values = {258: place, 273: place + 6}
    content = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(fields))
    for tag, kind, count, value in fields:
        number = "HH" if kind == 3 and count == 1 else "I"
        content += struct.pack(f"{order}HHI{number}", tag, kind, count, values.get(tag, value), *[0] * (number == "HH"))
    content += struct.pack(f"{order}I3H", 0, 16, 16, 16) + data
    read = deep_colours.samples(content)
    assert read is not None
    assert np.array_equal(read, samples)


def test_a_transparent_colour_of_16_bits() -> None:
    samples = deep(3)
    samples[:3] = (1, 2, 3)
    samples[4] = (1, 2, 259)  # of the same low bytes
    content = deep_files.png(samples)
    key = struct.pack(">HHH", 1, 2, 3)
    chunk = struct.pack(">I4s", 6, b"tRNS") + key + struct.pack(">I", zlib.crc32(b"tRNS" + key))
    _, file, result = again(content[:33] + chunk + content[33:])
    assert file.form.mode == "RGBA"
    opacity = png_samples(result)[:, :, 3]
    assert (opacity[:3] == 0).all()
    assert (opacity[3:] == 65535).all()
    assert (file.pixels[:3] == 255).all()


def test_16_bits_keep_their_profile_resolution_and_exif() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a hill"
    content = deep_files.png(deep(3), colours.srgb(), (300.0, 150.0), exif.tobytes())
    for suffix in ("png", "tiff"):
        image, file, result = again(content, suffix)
        assert file.size == (WIDTH, HEIGHT)
        assert file.notes == ("the orientation of EXIF is applied",)
        assert image.info["icc_profile"] == colours.srgb()
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.1)
        assert dict(image.getexif())[0x010E] == "a hill"
        back = deep_colours.samples(result)
        assert back is not None
        assert np.abs(back.astype(int) - np.rot90(deep(3), -1)).max() <= 1


def png_samples(content: bytes) -> np.ndarray:
    """Return the samples of a PNG file of 16 bits whose rows have the filter Up."""
    place, data, header = 8, b"", b""
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        chunk = content[place + 8 : place + 8 + length]
        assert zlib.crc32(kind + chunk) == struct.unpack(">I", content[place + 8 + length : place + 12 + length])[0]
        header, data = (chunk if kind == b"IHDR" else header), data + (chunk if kind == b"IDAT" else b"")
        place += 12 + length
    width, height, bits, colour = struct.unpack(">IIBB", header[:10])
    assert bits == 16
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 2).all()
    plain = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8)
    return plain.view(">u2").reshape(height, width, {0: 1, 4: 2, 2: 3, 6: 4}[colour]).astype(np.uint16)


# --- profile and orientation --------------------------------------------------------------------------------


def exchanged_primaries() -> bytes:
    """Return the profile of sRGB with the primaries of red and green exchanged."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(content[i : i + 4]): i for i in range(132, 132 + 12 * struct.unpack(">I", content[128:132])[0], 12)}
    red, green = (slice(tags[name] + 4, tags[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    content[red], content[green] = content[green], content[red]
    return bytes(content)


def test_a_profile_is_applied_and_comes_back() -> None:
    profile = exchanged_primaries()
    result, file, _ = again(saved(RGB, "PNG", icc_profile=profile))
    assert result.info["icc_profile"] == profile
    assert any("colour profile is applied" in note for note in file.notes)
    exchanged = ramp()[:, :, [1, 0, 2]]  # what the network sees: red is green in this profile
    assert np.abs(file.pixels.astype(int) - exchanged).max() <= 3
    assert np.abs(np.asarray(result).astype(int) - ramp()).max() <= 3


def test_srgb_and_damaged_profiles() -> None:
    result, file, _ = again(saved(RGB, "PNG", icc_profile=colours.srgb()))
    assert file.notes == ()
    assert result.info["icc_profile"] == colours.srgb()
    assert np.array_equal(np.asarray(result), ramp())
    result, file, _ = again(saved(RGB, "PNG", icc_profile=b"no profile at all"))
    assert file.notes == ("the colour profile cannot be read and is left out",)
    assert "icc_profile" not in result.info


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    result, file, _ = again(saved(RGB, "PNG", exif=exif))
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(saved(RGB, "PNG", exif=exif))))
    assert np.array_equal(np.asarray(result), np.asarray(upright))
    assert result.getexif().get(0x0112, 1) == 1
    assert bool(file.notes) == (orientation > 1)


# --- metadata -----------------------------------------------------------------------------------------------


def photograph() -> Image.Exif:
    """Return the EXIF data of a phone, with a place, a serial number and notes of the camera."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Artist], exif[Base.Software] = "Camera Inc.", "Ada", "firmware 1"
    exif[Base.Orientation], exif[Base.ImageWidth] = 6, 4000
    details = exif.get_ifd(0x8769)
    details[Base.DateTimeOriginal], details[Base.FNumber], details[Base.ISOSpeedRatings] = (
        "2026:01:31 12:00:00",
        2.8,
        100,
    )
    details[Base.BodySerialNumber], details[Base.MakerNote], details[Base.ExifImageWidth] = "12345", b"secret", 4000
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    return exif


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_camera_and_date_are_kept_and_the_place_is_not(format: str) -> None:
    image, file, content = again(saved(RGB, format, exif=photograph().tobytes()))
    exif = image.getexif()
    assert (exif[Base.Make], exif[Base.Artist]) == ("Camera Inc.", "Ada")
    details = exif.get_ifd(0x8769)
    assert details[Base.DateTimeOriginal] == "2026:01:31 12:00:00"
    assert float(details[Base.FNumber]) == pytest.approx(2.8)
    assert not exif.get_ifd(0x8825)
    assert not {Base.BodySerialNumber, Base.MakerNote, Base.ExifImageWidth} & details.keys()
    assert exif.get(Base.Orientation, 1) == 1
    assert b"secret" not in content
    assert b"12345" not in content
    assert any("left out of the metadata: the place (GPS), the notes of the camera" in note for note in file.notes)


def test_formats_without_exif_lose_it() -> None:
    image, _, _ = again(saved(RGB, "PNG", exif=photograph().tobytes()), "tiff")
    assert image.getexif()[Base.Make] == "Camera Inc."
    bmp = image_forms.fitted(image_files.read(saved(RGB, "BMP")).form)[0]
    assert bmp.exif is None


def test_damaged_exif_is_left_out() -> None:
    content = saved(RGB, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xffgarbage")
    image, _, _ = again(content)
    assert not image.getexif()


def test_a_file_of_a_phone_with_two_images_is_a_jpeg_file() -> None:
    content = saved(RGB, "MPO", save_all=True, append_images=[GREY.convert("RGB")])
    assert Image.open(io.BytesIO(content)).format == "MPO"
    image, file, _ = again(content)
    assert (image.format, image.mode, file.notes) == ("JPEG", "RGB", ())
    assert np.abs(np.asarray(image).astype(int) - ramp()).mean() < 3


def test_a_transparent_level_of_grey_with_16_bits() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
    levels[:3] = 777
    content = saved(Image.fromarray(levels), "PNG")
    chunk = b"tRNS" + struct.pack(">H", 777)
    content = content[:33] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    _, file, result = again(content)
    assert file.form.mode == "LA"
    samples = png_samples(result)
    assert (samples[:3, :, 1] == 0).all()
    assert (samples[3:, :, 1] == 65535).mean() > 0.99
    assert (file.pixels[:3] == 255).all()


# --- other formats, and files that cannot be read ------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "suffix", "mode", "format"),
    [
        (RGBA, "jpg", "RGB", "JPEG"),
        (GREY, "webp", "RGB", "WEBP"),
        (RGB.convert("CMYK"), "png", "RGB", "PNG"),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), "jpg", "L", "JPEG"),
        (GREY.convert("1"), "jpg", "L", "JPEG"),
        (RGB.quantize(8), "tiff", "P", "TIFF"),
    ],
)
def test_another_format(image: Image.Image, suffix: str, mode: str, format: str) -> None:
    result, _, _ = again(saved(image, "TIFF"), suffix)
    assert (result.mode, result.format) == (mode, format)


def test_files_that_cannot_be_read() -> None:
    whole = saved(RGB, "PNG")
    for content, reason in (
        (b"", "is empty"),
        (b"hello", "is not an image in a known format"),
        (whole[: len(whole) // 2], "cannot be read: image file is truncated"),
        (saved(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"), "values that are not finite"),
    ):
        with pytest.raises(ImageError, match=reason):
            image_files.read(content)


def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="decompression bomb"):
        image_files.read(saved(RGB, "PNG"))
