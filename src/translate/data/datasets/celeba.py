"""CelebA: one folder of faces and a table of binary attributes."""

from __future__ import annotations

import functools
import itertools
import os
import random
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import ImageFiles, Split, check_split, choose_attributes, choose_domains, find_root
from translate.data.images import is_image
from translate.errors import Phrase, UserError, suggest
from translate.registry.registry import DATASETS

PUBLISHED_ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")

_IMAGE_FOLDERS = ("img_align_celeba", "images", "CelebA_nocrop/images", "celeba/images")
_SPLITS = ("published", "partition")
_PARTITION = {"train": 0, "val": 1}
# Names for (absent, present) where "no_x" and "x" would read badly.
_NAMES = {"Male": ("female", "male"), "Young": ("old", "young"), "No_Beard": ("beard", "no_beard")}


@DATASETS.register("celeba", provides=("domain", "attributes"))
class CelebA(ImageFiles):
    """CelebA: faces with 40 binary attributes; two domains by one of them, or none.

    `root` holds the table, list_attr_celeba.txt as published (a count line, a line of names, rows of 1 and
    -1) or the .csv export of Kaggle, and the images in img_align_celeba/ or images/ (or in `images`, absolute
    or below root). Rows without a file are left out, so a part of the data serves as well.
    `domain_attribute`: an attribute (Male gives female, male; Smiling gives no_smiling, smiling), or null for
    no domains. `attributes`: what the labels of a StarGAN v1 are; null means the published five (those of
    them that the table has). `split_by`: "published" is StarGAN v1's: the table's rows shuffled by Python's
    generator with seed 1234, the first 1,999 held out (with fewer than 20,000 images the first tenth of
    them); "partition" reads list_eval_partition.txt or .csv (0 train, 1 val). `crop`: "square" (centre: the
    published 178 x 178 of 178 x 218), the side of a centred square in pixels, or "none" (squash).
    Raises UserError for a missing table, image folder or partition, an unknown attribute, a damaged table, an
    empty domain.
    """

    def __init__(
        self,
        root: str,
        images: str | None = None,
        domain_attribute: str | None = None,
        attributes: Sequence[str] | None = None,
        split_by: str = "published",
        crop: str | int = "square",
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """Read the table and list the images; see the class."""
        part = check_split(split)
        if split_by not in _SPLITS:
            raise UserError(
                f"data.split_by: expected one of {', '.join(_SPLITS)}, found {split_by!r}"
                f"{suggest(str(split_by), _SPLITS)}"
            )
        home = find_root(root)
        table = _find(home, ("list_attr_celeba.txt", "list_attr_celeba.csv"))
        if table is None:
            raise UserError(f"data.root: {home} holds no attribute table, list_attr_celeba.txt or list_attr_celeba.csv")
        names, columns, values = read_table(table)
        if not columns:
            raise UserError(f"{table} has no line with the names of the attributes above its rows")
        if domain_attribute is None and domains:
            raise UserError("data.domains is given, but data.domain_attribute is null, so that there are no domains")
        folder = _image_folder(home, images)
        files, there = _present(names, folder, table)
        rows = np.flatnonzero(there)
        self.listed, self.present = len(names), len(rows)
        published = split_by == "published"
        rows = _published(len(names), rows, part) if published else _partition(home, names, rows, part)
        if domain_attribute is not None:
            column = _column("data.domain_attribute", domain_attribute, columns, table)
            found = domain_names(domain_attribute)
            self.domains = choose_domains(found, domains, f"domain_attribute {domain_attribute}")
            number = np.array([self.domains.index(name) if name in self.domains else -1 for name in found], np.int64)
            domain = number[(values[rows, column] > 0).astype(np.int64)]
            rows, self.domain = rows[domain >= 0], domain[domain >= 0]
            for name, items in zip(self.domains, np.bincount(self.domain, minlength=len(self.domains)), strict=True):
                if not items:
                    raise UserError(
                        f"data.domain_attribute: domain {name!r} of {domain_attribute} is empty in the "
                        f"{part} part "
                        f"({self.present:,} of the {self.listed:,} images in {table} are present); "
                        "choose another attribute, or add images"
                    )
        self.attribute_names = _choose_attributes(attributes, columns, table)
        picked = np.array([columns.index(name) for name in self.attribute_names], np.int64)
        self.attributes = (values[np.ix_(rows, picked)] > 0).astype(np.uint8)
        chosen = np.zeros(len(files), bool)
        chosen[rows] = True  # rows ascend
        super().__init__(folder, list(itertools.compress(files, chosen.tolist())), crop)

    def summary(self) -> str:
        """As `Dataset.summary`, and how many of the table's images there are."""
        return f"{super().summary()} (of {self.present:,} present, {self.listed:,} listed)"


def domain_names(attribute: str) -> tuple[str, str]:
    """Name the domains without and with an attribute.

    >>> domain_names("Male"), domain_names("Smiling")
    (('female', 'male'), ('no_smiling', 'smiling'))
    """
    lower = attribute.lower()
    return _NAMES.get(attribute, (f"no_{lower}", lower))


def read_table(path: str) -> tuple[list[str], list[str], np.ndarray]:
    """Read a table of numbers from -9 to 9 by file name: names (N), column names (C), values (N, C) int8.

    White space, commas or both separate fields. A count line may precede the line of column names. That line may name
    the first column too, or be absent: then there are no column names. A second reading in the same process is free.
    UserError for a damaged table.
    """
    status = os.stat(path)
    return _read_table(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read_table(path: str, size: int, mtime: int) -> tuple[list[str], list[str], np.ndarray]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = file.read().replace(",", " ").replace('"', " ").split("\n")
    count, columns, start = _head(path, lines)
    rows = [(*line.split(None, 1), "")[:2] for line in lines[start:] if line and not line.isspace()]
    names, fields = [row[0] for row in rows], [row[1] for row in rows]
    try:
        values = np.loadtxt(fields, np.int8, comments=None, ndmin=2)
    except ValueError as error:
        raise _damage(path, lines, start) from error
    characters = sum(map(len, fields)) - sum(sum(map(text.count, " \t\r\v\f")) for text in fields)
    if values.shape != (len(rows), len(fields[0].split())) or characters != values.size + np.count_nonzero(values < 0):
        raise _damage(path, lines, start)  # loadtxt skips empty rows, and reads +1 and 01
    if count is not None and count != len(names):
        rows_found = Phrase(f"{len(names):,} rows")
        raise UserError(f"{path} is damaged", found=rows_found, expected=f"{count:,} as in line 1", fix="get it again")
    if len(set(names)) < len(names):
        raise UserError(f"{path} has several rows for a file", found=Counter(names).most_common(1)[0][0])
    values.flags.writeable = False  # kept for the next reader
    return names, columns, values


def _head(path: str, lines: Sequence[str]) -> tuple[int | None, list[str], int]:
    """Return the number in the count line, the column names, and the index of the first row."""
    count, columns = None, list[str]()
    for number, line in enumerate(lines):
        fields = line.split()
        if len(fields) > 1 and all(field.removeprefix("-").isdigit() for field in fields[1:]):
            columns = columns[1:] if len(columns) == len(fields) else columns
            if columns and len(columns) != len(fields) - 1:
                raise _uneven(path, number, len(fields) - 1, f"{len(columns)} as column names")
            return count, columns, number
        if len(fields) == 1 and fields[0].isdigit() and count is None and not columns:
            count = int(fields[0])
        elif fields and not columns:
            columns = fields
        elif fields:
            raise _uneven(path, number, len(fields) - 1, "a row of numbers")
    raise UserError(f"{path} has no rows")


def _damage(path: str, lines: Sequence[str], start: int) -> UserError:
    """Return the error of the first line that is no row, or has another number of values than the first row."""
    width = len(lines[start].split())
    for number, line in enumerate(lines[start:], start):
        fields = line.split()
        if len(fields) not in (0, width):
            return _uneven(path, number, len(fields) - 1, f"{width - 1} as in line {start + 1}")
        for field in fields[1:]:
            if not re.fullmatch(r"-?\d", field):
                return UserError(f"line {number + 1} of {path} is damaged", found=field, expected="1 or -1")
    return UserError(f"{path} cannot be read as a table of numbers")


def _uneven(path: str, number: int, values: int, expected: str) -> UserError:
    return UserError(f"line {number + 1} of {path} is damaged", found=Phrase(f"{values} values"), expected=expected)


def _find(home: str, names: Sequence[str]) -> str | None:
    paths = (os.path.join(home, name) for name in names)
    return next((path for path in paths if os.path.isfile(path)), None)


def _column(where: str, name: str, columns: Sequence[str], table: str) -> int:
    if name in columns:
        return columns.index(name)
    near = suggest(str(name), columns) or f"; there are {', '.join(columns)}"
    raise UserError(f"{where}: {table} has no attribute {str(name)!r}{near}")


def _choose_attributes(wanted: Sequence[str] | None, columns: Sequence[str], table: str) -> tuple[str, ...]:
    if wanted is None:
        return tuple(name for name in PUBLISHED_ATTRIBUTES if name in columns)
    return tuple(columns[number] for number in choose_attributes(columns, wanted, table))


def _image_folder(home: str, images: str | None) -> str:
    if images is not None:
        path = os.path.normpath(os.path.join(home, os.path.expanduser(images)))
        if not os.path.isdir(path):
            raise UserError(f"data.images: there is no folder {path}")
        return path
    for name in _IMAGE_FOLDERS:
        path = os.path.join(home, name)
        if os.path.isdir(path):
            nested = os.path.join(path, name)  # Kaggle's archive has img_align_celeba/img_align_celeba
            return nested if os.path.isdir(nested) else path
    raise UserError(f"data.root: {home} has no folder img_align_celeba or images; name it with data.images")


def _present(names: list[str], folder: str, table: str) -> tuple[list[str], np.ndarray]:
    """Return each row's file and whether it is there (N,). Lists the folder, and examines no file."""
    found = set(os.listdir(folder))
    there = np.fromiter(map(found.__contains__, names), bool, len(names))
    if not there.any():  # converted files: the table says .jpg, the folder has .png
        stems = {os.path.splitext(name)[0]: name for name in sorted(found) if is_image(name)}
        names = [stems.get(os.path.splitext(name)[0], name) for name in names]
        there = np.fromiter(map(found.__contains__, names), bool, len(names))
    if not there.any():
        raise UserError(
            f"data.root: none of the {len(names):,} images that {table} lists is in {folder} "
            f"({sum(map(is_image, found)):,} image files); expected names such as {names[0]}"
        )
    return names, there


def _published(listed: int, present: np.ndarray, part: Split) -> np.ndarray:
    """Split as StarGAN v1 does; the whole table is shuffled, a partial copy holds out the same and more."""
    shuffled = _shuffled(listed)
    if len(present) >= 20_000:
        held_out = shuffled[:1999]
    else:
        here = np.zeros(listed, bool)
        here[present] = True
        held_out = shuffled[here[shuffled]][: max(1, len(present) // 10)]
    out = np.zeros(listed, bool)
    out[held_out] = True
    return present[out[present] == (part == "val")]


@functools.lru_cache(maxsize=1)
def _shuffled(listed: int) -> np.ndarray:
    order = list(range(listed))
    random.Random(1234).shuffle(order)
    return np.array(order, np.int64)


def _partition(home: str, names: Sequence[str], present: np.ndarray, part: Split) -> np.ndarray:
    path = _find(home, ("list_eval_partition.txt", "list_eval_partition.csv"))
    if path is None:
        raise UserError(
            f"data.split_by: {home} holds no list_eval_partition.txt or list_eval_partition.csv; "
            "add it, or take split_by=published"
        )
    listed, _, values = read_table(path)
    if values.shape[1] != 1 or not np.isin(values, (0, 1, 2)).all():
        raise UserError(f"{path}: expected one number a row, 0 (train), 1 (val) or 2 (test)")
    if list(names) == listed:
        parts = values[:, 0]
    else:  # images that the file does not list are in no part
        known = dict(zip(listed, values[:, 0].tolist(), strict=True))
        parts = np.array([known.get(name, -1) for name in names], np.int8)
    rows = present[parts[present] == _PARTITION[part]]
    if not rows.size:
        raise UserError(
            f"data.split_by: {path} gives the {part} part no image that is present; take split_by=published"
        )
    return rows
