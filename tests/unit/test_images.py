"""Any file becomes 8-bit RGB properly, or an ImageError with a reason."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torchvision.transforms.functional import center_crop

from translate.data.images import ImageError, cut_half, is_image, list_images, read_image, resize

ORIENTATION = 0x0112
INVERSE = {  # how a camera that is held so stores an upright scene
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def scene(width=40, height=24, seed=0):
    """A smooth picture without any symmetry, (height, width, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    phase = np.random.default_rng(seed).uniform(0, 1, 3)
    waves = [0.5 + 0.2 * x + 0.28 * np.sin(2 + 3 * x + (4 + c) * y * y + phase[c]) for c in range(3)]
    return np.rint(255 * np.clip(np.stack(waves, 2), 0, 1)).astype(np.uint8)


def tiff(pixels: bytes, width: int, height: int, bits: int, photometric=1, sample_format=1) -> bytes:
    """An uncompressed grey TIFF, for the kinds that Pillow does not write."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(pixels)), (339, 3, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    pixels += b"\0" * (len(pixels) % 2)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_list_images_takes_every_kind_in_any_letter_case_and_nothing_hidden(tmp_path):
    wanted = ["B.PNG", "a.jpg", "c.JpEg", "d.webp", "e.bmp", "f.TIFF", "sub/g.tif", "sub/deep/h.Jpg", "é.png"]
    for name in [
        *wanted,
        ".hidden.png",
        ".git/x.png",
        "sub/.y.jpg",
        "__MACOSX/z.png",
        "notes.txt",
        "png",
        "k.gif",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    found = list_images(tmp_path)
    assert found == sorted(wanted, key=os.fsencode)
    assert found.index("B.PNG") < found.index("a.jpg")  # bytes, not the alphabet of a locale


def test_list_images_survives_a_loop_of_links_and_lists_a_dangling_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"")
    (tmp_path / "real" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert list_images(tmp_path) == ["gone.png", "real/a.png"]
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "gone.png", 8)


def test_is_image_wants_a_name_before_the_dot():
    assert is_image("a.b.TIF") and not is_image(".png") and not is_image("png") and not is_image("a.png.txt")


# What a mode can hold of an RGB picture, as the RGB array that must come back.
def _grey(rgb):
    return np.repeat(np.asarray(Image.fromarray(rgb).convert("L"))[..., None], 3, 2)


def _on_white(rgb, alpha):
    alpha = alpha[..., None] / 255
    return rgb * alpha + 255 * (1 - alpha)


def _alpha(height, width):
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def _matrix():
    rgb = scene()
    height, width = rgb.shape[:2]
    alpha = _alpha(height, width)
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb).convert("L")
    palette = image.quantize(200, dither=Image.Dither.NONE)
    sixteen = np.asarray(grey).astype(np.uint16) * 257
    la = Image.merge("LA", (grey, Image.fromarray(alpha)))
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    cmyk = image.convert("CMYK")
    flat = palette.convert("RGB")
    return {
        "RGB png": (image, "png", {}, rgb, 0),
        "RGB bmp": (image, "bmp", {}, rgb, 0),
        "RGB tiff": (image, "tiff", {"compression": "tiff_lzw"}, rgb, 0),
        "RGB webp": (image, "webp", {"lossless": True}, rgb, 0),
        "RGB jpeg": (image, "jpg", {"quality": 98, "subsampling": 0}, rgb, 6),
        # Pillow 12 cannot read an uncompressed one
        "YCbCr tiff": (image.convert("YCbCr"), "tiff", {"compression": "tiff_lzw"}, rgb, 4),
        "L png": (grey, "png", {}, _grey(rgb), 0),
        "L jpeg": (grey, "jpg", {"quality": 98}, _grey(rgb), 6),
        "1 png": (grey.point(lambda v: 255 * (v > 128), "1"), "png", {}, 255.0 * (_grey(rgb) > 128), 0),
        "P png": (palette, "png", {}, np.asarray(flat), 0),
        "P bmp": (palette, "bmp", {}, np.asarray(flat), 0),
        "LA png": (la, "png", {}, _on_white(_grey(rgb), alpha), 1),
        "RGBA png": (rgba, "png", {}, _on_white(rgb, alpha), 1),
        "RGBA tiff": (rgba, "tiff", {}, _on_white(rgb, alpha), 1),
        "RGBA webp": (rgba, "webp", {"lossless": True, "exact": True}, _on_white(rgb, alpha), 1),
        "CMYK tiff": (cmyk, "tiff", {}, rgb, 2),
        "CMYK jpeg": (cmyk, "jpg", {"quality": 98, "subsampling": 0}, rgb, 8),
        "I;16 png": (Image.fromarray(sixteen), "png", {}, _grey(rgb), 0),
        "I;16 tiff": (Image.fromarray(sixteen), "tiff", {}, _grey(rgb), 0),
        "I tiff": (Image.fromarray(sixteen.astype(np.int32)), "tiff", {}, _grey(rgb), 0),
        "F tiff": (Image.fromarray(sixteen.astype(np.float32) / 65535), "tiff", {}, _grey(rgb), 0),
    }


@pytest.mark.parametrize("kind", _matrix())
def test_every_mode_becomes_rgb(kind, tmp_path):
    image, suffix, options, expected, tolerance = _matrix()[kind]
    path = tmp_path / f"x.{suffix}"
    image.save(path, **options)
    with Image.open(path) as again:  # the file is what the case says it is
        assert again.mode.split(";")[0] == kind.split()[0].split(";")[0] or again.mode == "RGB"
    expected = expected[:, 8:32]  # the centre square
    found = read_image(path, 24)
    assert found.shape == (24, 24, 3) and found.dtype == np.uint8 and found.flags.writeable
    assert np.abs(found.astype(float) - expected).max() <= tolerance


def test_palette_with_transparency_shows_white(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([200, 10, 10, 10, 200, 10])
    image.paste(1, (4, 0, 8, 8))
    image.save(tmp_path / "x.png", transparency=1)
    found = read_image(tmp_path / "x.png", 8)
    assert (found[:, :4] == [200, 10, 10]).all() and (found[:, 4:] == 255).all()


def test_a_transparent_grey_of_16_bits_shows_white(tmp_path):
    rows = b"".join(b"\0" + struct.pack(">8H", *[1000] * 4, *[40000] * 4) for _ in range(8))

    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 0, 0, 0, 0))
    key = png_chunk(b"tRNS", struct.pack(">H", 1000))
    body = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + key + body)
    found = read_image(path, 8)
    assert (found[:, :4] == 255).all() and (found[:, 4:] == round(40000 / 257)).all()


@pytest.mark.parametrize(
    ("kind", "bits", "sample_format", "photometric", "white"),
    [
        ("<u2", 16, 1, 1, 65535),
        ("<u2", 16, 1, 0, 65535),
        ("<u4", 32, 1, 1, 2**32 - 1),
        ("<f4", 32, 3, 1, 1.0),
    ],
)
def test_grey_of_more_than_8_bits_is_scaled_and_never_clipped(kind, bits, sample_format, photometric, white, tmp_path):
    eight = np.arange(256).reshape(16, 16)
    values = (eight * (white / 255)).astype(kind)
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(values.tobytes(), 16, 16, bits, photometric, sample_format))
    found = read_image(path, 16)
    expected = eight if photometric else 255 - eight
    assert (found == np.repeat(expected[..., None], 3, 2)).all()


def test_12_bit_tiff_is_scaled_from_4095(tmp_path):
    packed = bytes.fromhex("fff7ff" * 8)  # 4095 and 2047, two in three bytes
    (tmp_path / "x.tif").write_bytes(tiff(packed, 2, 8, 12))
    found = read_image(tmp_path / "x.tif", 2, "none")
    assert found[0, :, 0].tolist() == [255, 127]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e9])
def test_float_without_a_known_range_is_refused(value, tmp_path):
    values = np.full((8, 8), 0.5, np.float32)
    values[3, 3] = value
    Image.fromarray(values).save(tmp_path / "x.tiff")
    with pytest.raises(ImageError, match=r"not finite|not known"):
        read_image(tmp_path / "x.tiff", 8)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, suffix, tmp_path):
    upright = Image.fromarray(scene())
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    INVERSE[orientation](upright).save(tmp_path / f"x.{suffix}", exif=exif, **options)
    upright.save(tmp_path / "plain.png")
    for crop in ("none", "square"):
        found = read_image(tmp_path / f"x.{suffix}", 24, crop).astype(int)
        assert np.abs(found - read_image(tmp_path / "plain.png", 24, crop)).max() <= (6 if suffix == "jpg" else 0)


def test_a_16_bit_tiff_is_turned_too(tmp_path):
    values = np.asarray(Image.fromarray(scene()).convert("L")).astype(np.uint16) * 257
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    Image.fromarray(values[::-1, ::-1].copy()).save(tmp_path / "turned.tiff", exif=exif)
    Image.fromarray(values).save(tmp_path / "plain.tiff")
    assert (read_image(tmp_path / "turned.tiff", 24) == read_image(tmp_path / "plain.tiff", 24)).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_spoil_a_sound_picture(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert read_image(tmp_path / "x.jpg", 16).shape == (16, 16, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused_with_a_reason(suffix, share, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)  # does not compress
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    read_image(path, 16)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError) as caught:
        read_image(path, 16)
    assert caught.value.reason == str(caught.value) and len(caught.value.reason) > 10


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "not an image in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image in a known format"),
        (None, "no such file"),
    ],
)
def test_what_is_no_picture_is_refused(content, reason, tmp_path):
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        read_image(path, 16)
    with pytest.raises(ImageError):
        read_image(tmp_path, 16)


def test_content_counts_not_the_suffix(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert (read_image(tmp_path / "x.jpg", 24) == scene()[:, 8:32]).all()


def test_a_decompression_bomb_is_refused_in_words(tmp_path):
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    with pytest.raises(ImageError, match="larger than 179 megapixels"):
        read_image(tmp_path / "x.png", 16)


def test_a_png_with_a_text_bomb_is_refused(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("x", "a" * (4 << 20), zip=True)
    Image.fromarray(scene()).save(tmp_path / "x.png", pnginfo=info)
    with pytest.raises(ImageError):
        read_image(tmp_path / "x.png", 16)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "bmp"])
def test_a_file_with_flipped_bytes_is_read_or_refused_and_nothing_else(suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(scene(60, 50)).save(path)
    sound = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        broken = sound.copy()
        # Mostly the head of the file, where the structure is.
        places = draw.integers(0, len(sound) if seed % 3 == 0 else min(100, len(sound)), 3)
        broken[places] = draw.integers(0, 256, 3)
        path.write_bytes(broken.tobytes())
        try:
            assert read_image(path, 16).shape == (16, 16, 3)
        except ImageError as error:
            assert error.reason
            refused += 1
    assert refused > 5


def test_the_published_celeba_crop_is_the_centre_square(tmp_path):
    image = Image.fromarray(scene(178, 218))
    image.save(tmp_path / "x.png")
    published = image.crop((0, 20, 178, 198)).resize((128, 128), Image.Resampling.BILINEAR)
    assert (read_image(tmp_path / "x.png", 128, "square") == np.asarray(published)).all()
    squashed = image.resize((128, 128), Image.Resampling.BILINEAR)
    assert (read_image(tmp_path / "x.png", 128, "none") == np.asarray(squashed)).all()


@pytest.mark.parametrize(("width", "left"), [(21, 0), (23, 2), (25, 2), (27, 4)])
def test_odd_margins_round_to_even(width, left, tmp_path):
    picture = scene(width, 20)
    Image.fromarray(picture).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png", 20) == picture[:, left : left + 20]).all()


@pytest.mark.parametrize(("crop", "box"), [(8, (6, 11, 14, 19)), (20, (0, 5, 20, 25)), (256, (0, 5, 20, 25))])
def test_a_number_crops_so_many_pixels_of_what_there_is(crop, box, tmp_path):
    image = Image.fromarray(scene(20, 30))
    image.save(tmp_path / "x.png")
    side = box[2] - box[0]
    assert (read_image(tmp_path / "x.png", side, crop) == np.asarray(image.crop(box))).all()


def test_the_published_centre_crop_is_met():
    for width, height, crop in ((178, 218, 178), (257, 301, 256), (300, 259, 256), (681, 1024, 256)):
        picture = torch.from_numpy(scene(width, height)).permute(2, 0, 1)
        published = center_crop(picture, [crop, crop]).permute(1, 2, 0).numpy()
        assert (resize(Image.fromarray(scene(width, height)), crop, crop) == published).all()


def test_halves_of_a_file_are_cut_in_the_middle():
    picture = scene(20, 7)
    image = Image.fromarray(picture)
    assert (np.asarray(cut_half(image, "left")) == picture[:, :10]).all()
    assert (np.asarray(cut_half(image, "right")) == picture[:, 10:]).all()


@pytest.mark.parametrize("width", [1, 3, 511])
def test_an_odd_width_has_no_halves(width):
    with pytest.raises(ImageError, match=f"is {width} pixels wide, so it is not two images of equal width"):
        cut_half(Image.new("RGB", (width, 8)), "left")


def test_an_open_file_is_read_as_a_path_is(tmp_path):
    Image.fromarray(scene(20, 20)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    assert (read_image(io.BytesIO(content), 16) == read_image(tmp_path / "x.png", 16)).all()
    for broken, reason in ((b"", "is empty"), (b"no picture", "not an image"), (content[:-30], "cannot be")):
        with pytest.raises(ImageError, match=reason):
            read_image(io.BytesIO(broken), 16)


def test_resize_is_antialiased(tmp_path):
    board = np.indices((256, 256)).sum(0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "x.png")
    found = read_image(tmp_path / "x.png", 32)
    assert np.abs(found.astype(int) - 127).max() <= 2  # picking single pixels would give 0 or 255


def test_small_pictures_grow(tmp_path):
    Image.new("RGB", (1, 1), (10, 20, 30)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png", 32) == [10, 20, 30]).all()
