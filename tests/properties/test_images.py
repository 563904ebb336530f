"""Whatever the bytes of a file, it is read as 8-bit RGB or refused with a reason that fits on one line."""

import io
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from properties.budget import examples
from translate.data.datasets.base import ImageFiles
from translate.data.images import CROPS, ImageError, cut_half, list_images, open_rgb, read_image, resize

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged files

ORIENTATION = 0x0112
KINDS = [
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "LA", {}),
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "1", {}),
    ("PNG", "I;16", {}),
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("BMP", "RGB", {}),
    ("BMP", "P", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "CMYK", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "I;16", {}),
    ("TIFF", "I", {}),
    ("TIFF", "F", {}),
    ("TIFF", "1", {"compression": "group4"}),
    ("GIF", "P", {}),
    ("PPM", "RGB", {}),
    ("PPM", "I", {}),
]
if "AVIF" in Image.registered_extensions().values():
    KINDS.append(("AVIF", "RGB", {}))


def encoded(kind: int, width: int, height: int, orientation: int | None = None, seed: int = 0) -> bytes:
    """Return a picture as a file of one of `KINDS`."""
    form, mode, options = KINDS[kind]
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode in ("I", "I;16", "F"):
        grey = noise[..., 0].astype({"I": np.int32, "I;16": np.uint16, "F": np.float32}[mode])
        image = Image.fromarray(grey)
    else:
        image = Image.fromarray(noise)
        image = image if mode == "RGBA" else image.convert("RGB").convert(mode)
    if orientation is not None and form in ("PNG", "JPEG", "WEBP", "TIFF"):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options = {**options, "exif": exif}
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a file that was good: with bytes changed (more often in its head), cut out, doubled, of another file."""
    kinds = st.integers(0, len(KINDS) - 1)
    content = bytearray(encoded(draw(kinds), draw(st.integers(1, 40)), draw(st.integers(1, 40)), draw(orientations)))
    for _ in range(draw(st.integers(0, 4))):
        length = len(content)
        start = draw(st.integers(0, min(length, 120)) | st.integers(0, length))
        stop = draw(st.integers(start, min(length, start + 40)) | st.just(length))
        match draw(st.sampled_from(["change", "change", "number", "cut", "double", "other"])):
            case "change":
                content[start : start + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":  # lengths, sizes and counts in a head
                content[start : start + 4] = draw(st.sampled_from(NUMBERS))
            case "cut":
                del content[start:stop]
            case "double":
                content[start:start] = content[start:stop]
            case "other":
                content[start:stop] = encoded(draw(kinds), 9, 7)[start:stop]
    return bytes(content)


NUMBERS = [bytes(4), b"\xff" * 4, b"\0\0\0\1", b"\1\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\x20\0"]
orientations = st.none() | st.integers(1, 8)
sizes = st.integers(1, 40)
crops = st.sampled_from(CROPS) | st.integers(1, 60)


def read_or_refuse(content: bytes, size: int, crop: str | int) -> np.ndarray | None:
    """Return the picture in a file; None where it is refused, in a line that says something."""
    try:
        found = read_image(io.BytesIO(content), size, crop)
    except ImageError as error:
        assert str(error) == error.reason
        assert error.reason.isprintable(), error.reason
        assert len(error.reason.split()) > 2, error.reason
        return None
    assert found.shape == (size, size, 3)
    assert found.dtype == np.uint8
    return found


@examples(250)
@given(damaged(), sizes, crops)
def test_a_damaged_file_is_a_picture_or_refused(content, size, crop) -> None:
    read_or_refuse(content, size, crop)


@examples(150)
@given(st.binary(max_size=200), st.sampled_from(range(len(KINDS))), st.integers(0, 64), sizes, crops)
def test_any_bytes_are_a_picture_or_refused(content, kind, kept, size, crop) -> None:
    """Alone, and after the head of a good file."""
    read_or_refuse(content, size, crop)
    read_or_refuse(encoded(kind, 8, 8)[:kept] + content, size, crop)


@examples(150)
@given(
    st.integers(0, len(KINDS) - 1),
    sizes,
    sizes,
    st.sampled_from([None, *range(1, 9)]),
    sizes,
    crops,
    st.integers(0, 99),
)
@example(0, 1, 1, None, 40, "none", 0)
def test_a_good_file_of_any_kind_and_size_is_read(kind, width, height, orientation, size, crop, seed) -> None:
    found = read_or_refuse(encoded(kind, width, height, orientation, seed), size, crop)
    assert found is not None


@examples(150)
@given(sizes, sizes, st.integers(1, 8), crops, sizes, st.integers(0, 99))
def test_orientation_first_then_crop_then_resize(width, height, orientation, crop, size, seed) -> None:
    """A PNG that lies on its side is read like the upright one."""
    lying = encoded(0, width, height, orientation, seed)
    upright = open_rgb(io.BytesIO(lying))
    assert upright.size == ((width, height) if orientation < 5 else (height, width))
    assert (read_image(io.BytesIO(lying), size, crop) == resize(upright, size, crop)).all()
    side = min(upright.size)
    if crop == "square" and size == side:  # nothing to resize: the centre itself, to the pixel
        left, top = round((upright.width - side) / 2), round((upright.height - side) / 2)
        assert (np.asarray(upright)[top : top + side, left : left + side] == resize(upright, size)).all()


@examples(60)
@given(st.integers(1, 30), sizes)
def test_halves_are_the_picture(width, height) -> None:
    image = open_rgb(io.BytesIO(encoded(0, width, height)))
    try:
        halves = [np.asarray(cut_half(image, half)) for half in ("left", "right")]
    except ImageError:
        assert width % 2
        return
    assert (np.concatenate(halves, axis=1) == np.asarray(image)).all()


names = st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
@examples(60)
@given(st.lists(names, max_size=4), st.lists(names, min_size=1, max_size=4))
def test_files_of_any_name_are_found_and_described_on_one_line(folders, files) -> None:
    with TemporaryDirectory() as root:
        wanted = []
        for folder in [b"", *folders]:
            place = os.path.join(os.fsencode(root), folder)
            os.makedirs(place, exist_ok=True)
            for name in files:
                path = os.path.join(place, name + b".png")
                if not os.path.lexists(path):
                    Path(os.fsdecode(path)).write_bytes(b"")
                    hidden = folder.startswith(b".") or folder == b"__MACOSX" or name.startswith(b".")
                    wanted += [] if hidden else [os.path.join(folder, name + b".png")]
        found = list_images(root)
        assert sorted(map(os.fsencode, found)) == [os.fsencode(name) for name in found] == sorted(wanted)
        dataset = ImageFiles(root, found, "square")
        for item, name in enumerate(found):
            assert dataset.describe(item).isprintable()
            with pytest.raises(ImageError, match="is empty"):
                dataset.read(item, 8)
            assert os.path.exists(os.path.join(root, name))
        assert len(dataset.fingerprint()) == 64
