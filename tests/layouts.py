"""Small data sets on disk: a function for each layout."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")


def colour(number: int) -> tuple[int, int, int]:
    """Return a colour of this number alone."""
    return number % 256, number // 256, 7


def picture(path: Path, number: int = 0, size: tuple[int, int] = (8, 8)) -> None:
    """Write a picture (width, height) of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour(number)).save(path)


def folders(root: Path, counts: Mapping[str, int], size: tuple[int, int] = (8, 8)) -> None:
    """Write folders of so many pictures, each of a colour of its own."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(root / name / f"{index:03d}.png", 100 * number + index, size)


def side_by_side(root: Path, counts: Mapping[str, int], size: tuple[int, int] = (8, 8)) -> None:
    """Write folders of files of two pictures: the k-th is of colour k on the left, 100 + k on the right."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            both = Image.new("RGB", (2 * size[0], size[1]), colour(index))
            both.paste(colour(100 + index), (size[0], 0, 2 * size[0], size[1]))
            both.save(root / name / f"{index:03d}.png")


def rafd(
    root: Path, persons: int = 4, angles: tuple[int, ...] = (0, 45, 90, 135, 180), size: tuple[int, int] = (8, 8)
) -> None:
    """Write files by the names of RaFD, each expression of each person at each angle, looking ahead."""
    number = 0
    for person in range(1, persons + 1):
        kind = ("Caucasian_female", "Moroccan_male", "Kid_female")[person % 3]
        for angle in angles:
            for expression in EXPRESSIONS:
                picture(root / f"Rafd{angle:03d}_{person:02d}_{kind}_{expression}_frontal.jpg", number, size)
                number += 1


def market1501(root: Path, each: int = 2, cameras: int = 6, size: tuple[int, int] = (8, 16)) -> None:
    """Write persons before every camera in both parts, and junk that does not count."""
    for part, first in (("bounding_box_train", 2), ("bounding_box_test", 1)):
        for camera in range(1, cameras + 1):
            for index in range(each):
                person = f"{first + 2 * index:04d}"
                picture(root / part / f"{person}_c{camera}s1_{index:06d}_01.jpg", 10 * camera + index, size)
        for person in ("-1", "0000"):
            picture(root / part / f"{person}_c1s1_000000_01.jpg", 0, size)


ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Smiling", "Young")


def celeba(root: Path, rows: int = 60, size: tuple[int, int] = (18, 22), names: Sequence[str] = ATTRIBUTES) -> None:
    """Write a table of attributes that alternate, and its images."""
    values = np.random.default_rng(0).integers(0, 2, (rows, len(names))) * 2 - 1
    lines = [str(rows), " ".join(names)]
    for row in range(rows):
        name = f"{row + 1:06d}.jpg"
        lines.append(f"{name} {' '.join(map(str, values[row]))}")
        picture(root / "img_align_celeba" / name, row, size)
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
