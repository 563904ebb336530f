"""Walk the folder of a data set: every file in it, also those that training leaves out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from translate.data.images import is_folder, is_hidden, is_image
from translate.errors import UserError
from translate.files.reading import opened

ARCHIVES = frozenset({"zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar"})
TABLES = frozenset({"txt", "csv", "json", "jsonl", "md", "yaml", "yml", "parquet", "xml", "html", "npy", "npz", "mat"})

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_BOXES = {b"avif": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC"}


@dataclass
class Scan:
    """The files below a folder, relative to it, with "/"."""

    root: str
    images: list[str] = field(default_factory=list)  # files that training reads by their suffix, in byte order
    skipped: dict[str, list[str]] = field(default_factory=dict)  # suffix -> files of other kinds
    hidden: list[str] = field(default_factory=list)  # image files that are hidden, or in a hidden folder
    empty: list[str] = field(default_factory=list)  # folders without any file or folder
    loops: dict[str, str] = field(default_factory=dict)  # links -> the folders that hold them, to which they lead
    unreadable: list[str] = field(default_factory=list)  # folders without permission to list them

    def folders(self) -> Counter[str]:
        """Return the number of images directly in each folder; "" is the root."""
        return Counter(name.rpartition("/")[0] for name in self.images)

    def top(self) -> Counter[str]:
        """Return the number of images below each folder of the root."""
        return Counter(name.partition("/")[0] for name in self.images if "/" in name)

    def loose(self, folder: str = "") -> list[str]:
        """Return the images directly in a folder."""
        start = f"{folder}/" if folder else ""
        return [name for name in self.images if name.startswith(start) and "/" not in name[len(start) :]]

    def below(self, folder: str) -> Counter[str]:
        """Return the number of images below each folder of a folder."""
        start = f"{folder}/"
        inside = (name[len(start) :] for name in self.images if name.startswith(start))
        return Counter(name.partition("/")[0] for name in inside if "/" in name)


def scan(root: str) -> Scan:
    """Return all files below a folder. Links to folders are followed, each folder once; no file is opened."""
    result = Scan(root)
    seen: set[tuple[int, int]] = set()

    def visit(path: str, prefix: str, hidden: bool) -> None:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            target = os.path.realpath(path)
            if os.path.islink(path) and os.path.commonpath([target, os.path.realpath(os.path.dirname(path))]) == target:
                result.loops[prefix.removesuffix("/")] = target
            return
        if status.st_ino:
            seen.add((status.st_dev, status.st_ino))
        try:
            entries = sorted(os.scandir(path), key=lambda entry: os.fsencode(entry.name))
        except PermissionError:
            result.unreadable.append(prefix or ".")
            return
        if not entries:
            result.empty.append(prefix.removesuffix("/"))
        for entry in entries:
            name = prefix + entry.name
            if is_folder(entry):
                visit(entry.path, f"{name}/", hidden or is_hidden(entry.name))
            elif hidden or is_hidden(entry.name):
                if is_image(entry.name):
                    result.hidden.append(name)
            elif is_image(entry.name):
                result.images.append(name)
            else:
                result.skipped.setdefault(_suffix(entry.name), []).append(name)

    visit(root, "", False)
    result.images.sort(key=os.fsencode)
    return result


def _suffix(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() if stem else ""


def images_by_content(found: Scan, at_most: int = 200) -> Iterator[tuple[str, str]]:
    """Yield (file, format) for skipped files whose first bytes are those of an image; a few of each suffix are read."""
    for suffix, names in found.skipped.items():
        if suffix in ARCHIVES or suffix in TABLES:
            continue
        for name in names[:at_most]:
            if kind := format_of(os.path.join(found.root, name)):
                yield name, kind


def format_of(path: str) -> str | None:
    """Return the format that the first bytes of a file show, None for another file."""
    try:
        with opened(path) as file:
            head = file.read(16)
    except UserError:
        return None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _BOXES.get(head[8:12])
    return next((name for start, name in _SIGNATURES if head.startswith(start)), None)
