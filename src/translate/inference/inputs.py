"""Find the image files that a user names: one file, a folder, or a pattern."""

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from translate.data.images import SUFFIXES, is_image, list_images
from translate.errors import UserError

READABLE = SUFFIXES | {"apng", "avif", "gif", "jfif", "jpe", "pbm", "pgm", "pnm", "ppm"}
"""The suffixes of image files to translate, and of references."""

UNREADABLE = frozenset(
    {"arw", "cr2", "cr3", "dng", "eps", "exr", "heic", "heif", "hif", "jp2", "jxl", "nef", "orf", "psd", "raf", "rw2"}
    | {"svg", "tga"}
)
"""The suffixes of images that cannot be read: a translation of their folder names them, and does not pass over them."""


@dataclass(frozen=True)
class Source:
    """An image file to translate, and its name: the path below the folder that was named, with "/"."""

    path: Path
    name: str


def sources_of(places: Sequence[str | os.PathLike[str]], output: Path) -> list[Source]:
    """Return the image files of files, folders and patterns; those below the folder ``output`` are left out.

    They include files with the suffix of an image that cannot be read, so that none is passed over in silence.
    The name of a file is its path below the folder that a place names: for a pattern the folder before the first part
    with a wildcard. UserError for a place without images.
    """
    sources: dict[Path, Source] = {}
    inside = output.absolute()
    for place in places:
        base = _base_of(place)
        for path in image_paths(place, suffixes=READABLE | UNREADABLE):
            if base.absolute().is_relative_to(inside) or not path.absolute().is_relative_to(inside):
                name = path.name if path == base else path.relative_to(base).as_posix()
                sources.setdefault(path.absolute(), Source(path, name))
    return list(sources.values())


def _base_of(place: str | os.PathLike[str]) -> Path:
    """Return the folder, or the file, to which names are relative."""
    path = Path(os.path.expanduser(os.fspath(place)))
    if path.exists():
        return path
    fixed = []
    for part in path.parts:
        if has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def image_paths(place: str | os.PathLike[str], key: str = "input", suffixes: Set[str] = READABLE) -> list[Path]:
    """Return the image files of a file, a folder with its subfolders, or a pattern such as ``photos/*.jpg``, sorted.

    Hidden files and folders are left out. A file that is named itself may have any suffix. UserError, with ``key``,
    if no file fits.
    """
    text = os.path.expanduser(os.fspath(place))
    path = Path(text)
    if path.is_file():
        return [path]
    if path.is_dir():
        names = list_images(path, suffixes)
        if not names:
            expected = f"files with a suffix of {', '.join(sorted(READABLE))}"
            raise UserError(f"the folder {path} has no images", key=key, expected=expected)
        return [path / name for name in names]
    if not has_magic(text):
        raise UserError("there is no such file or folder", key=key, found=text)
    matches = [Path(match) for match in sorted(glob(text, recursive=True))]
    found = [match for match in matches if match.is_file() and is_image(match.name, suffixes)]
    if not found:
        raise UserError("no image matches the pattern", key=key, found=text)
    return found


def domain_of(path: Path, domains: Sequence[str]) -> str | None:
    """Return the domain that a folder above a file names, the nearest one; None without one.

    >>> domain_of(Path("photos/cat/001.png"), ("cat", "dog")), domain_of(Path("a.png"), ("cat", "dog"))
    ('cat', None)
    """
    return next((place.name for place in path.absolute().parents if place.name in domains), None)
