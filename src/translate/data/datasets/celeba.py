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

from translate.data.datasets.base import (
    ImageFiles,
    Split,
    check_split,
    choose_attributes,
    choose_domains,
    find_root,
    require_images,
)
from translate.data.images import is_image
from translate.errors import Phrase, UserError
from translate.files.reading import is_whole_number, read_bytes, require_file
from translate.registry.registry import DATASETS

STARGAN_V1_ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
"""The attributes that StarGAN v1 trains on."""

_IMAGE_FOLDERS = ("img_align_celeba", "images", "CelebA_nocrop/images", "celeba/images")
_SPLITS = ("stargan_v1", "partition")
_PARTITION = {"train": 0, "val": 1}  # and 2 for test
# Names for (absent, present), if "no_x" and "x" would read badly.
_NAMES = {"Male": ("female", "male"), "Young": ("old", "young"), "No_Beard": ("beard", "no_beard")}


@DATASETS.register("celeba", provides=("domain", "attributes"))
class CelebA(ImageFiles):
    """CelebA: faces with 40 binary attributes; two domains by one of them, or none.

    `root` holds the table and the images. The table is the official list_attr_celeba.txt (a count line, a line of
    names, rows of 1 and -1) or the .csv export of Kaggle. The images are in img_align_celeba/ or images/, or in
    `images`, absolute or below root. Rows without a file are left out, so a subset of the images works too.
    `domain_attribute`: an attribute (Male gives female, male; Smiling gives no_smiling, smiling), or null for no
    domains. `attributes`: the labels for StarGAN v1; null means STARGAN_V1_ATTRIBUTES, if the table has them.
    `split_by`: "stargan_v1" is the split of the official code: the rows are shuffled by Python's generator with seed
    1234 and the first 1,999 are held out, or a tenth of fewer than 20,000 images. "partition" is CelebA's own split in
    list_eval_partition.txt or .csv (0 train, 1 val). `crop`: "square" (centre: 178 x 178 of 178 x 218, as in the
    official code), the side of a centred square in pixels, or "none" (squash).
    UserError for a missing table, image folder or partition, an unknown attribute, a damaged table, and an empty
    domain.
    """

    def __init__(
        self,
        root: str,
        images: str | None = None,
        domain_attribute: str | None = None,
        attributes: Sequence[str] | None = None,
        split_by: str = "stargan_v1",
        crop: str | int = "square",
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """Read the table and list the images; see the class."""
        split = check_split(split)
        if split_by not in _SPLITS:
            raise UserError("unknown split", key="split_by", found=split_by, known=_SPLITS)
        home = find_root(root)
        table = _find(home, ("list_attr_celeba.txt", "list_attr_celeba.csv"))
        if table is None:
            raise UserError(
                f"{home} has no attribute table", key="root", expected="list_attr_celeba.txt or list_attr_celeba.csv"
            )
        names, columns, values = read_table(table)
        if not columns:
            raise UserError(f"{table} has no line of attribute names above its rows")
        if domain_attribute is None and domains:
            raise UserError("there are no domains, since domain_attribute is null", key="domains", found=list(domains))
        folder = _image_folder(home, images)
        files, is_present = _present(names, folder, table)
        rows = np.flatnonzero(is_present)
        self.listed, self.present = len(names), len(rows)
        if split_by == "partition":
            rows = _partition(home, names, rows, split)
        else:
            rows = _stargan_v1_split(len(names), rows, split)
        if domain_attribute is not None:
            column = _column(domain_attribute, columns, table)
            both = domain_names(domain_attribute)
            self.domains = choose_domains(both, domains, f"domain_attribute {domain_attribute}")
            number = np.array([self.domains.index(name) if name in self.domains else -1 for name in both], np.int64)
            domain = number[(values[rows, column] > 0).astype(np.int64)]
            rows, self.domain = rows[domain >= 0], domain[domain >= 0]
            present = f"{self.present:,} of the {self.listed:,} images in {table} are present"
            require_images(self.domain, self.domains, home, split, f"another domain_attribute ({present})")
        self.attribute_names = _choose_attributes(attributes, columns, table)
        picked = np.array([columns.index(name) for name in self.attribute_names], np.int64)
        self.attributes = (values[np.ix_(rows, picked)] > 0).astype(np.uint8)
        chosen = np.zeros(len(files), bool)
        chosen[rows] = True  # rows ascend
        super().__init__(folder, list(itertools.compress(files, chosen.tolist())), crop)

    def summary(self) -> str:
        """Return `Dataset.summary` and the number of the table's images that are present."""
        return f"{super().summary()} (of {self.present:,} present, {self.listed:,} listed)"


def domain_names(attribute: str) -> tuple[str, str]:
    """Return the names of the domains without and with an attribute.

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
    require_file(path)
    status = os.stat(path)
    return _read_table(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read_table(path: str, size: int, mtime: int) -> tuple[list[str], list[str], np.ndarray]:
    text = read_bytes(path).decode("utf-8-sig", errors="surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.replace(",", " ").replace('"', " ").split("\n")
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
        if len(fields) == 1 and is_whole_number(fields[0]) and count is None and not columns:
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


def _column(name: str, columns: Sequence[str], table: str) -> int:
    if name in columns:
        return columns.index(name)
    raise UserError(f"{table} has no attribute", key="domain_attribute", found=str(name), known=columns)


def _choose_attributes(wanted: Sequence[str] | None, columns: Sequence[str], table: str) -> tuple[str, ...]:
    if wanted is None:
        return tuple(name for name in STARGAN_V1_ATTRIBUTES if name in columns)
    return tuple(columns[number] for number in choose_attributes(columns, wanted, table))


def _image_folder(home: str, images: str | None) -> str:
    if images is not None:
        path = os.path.normpath(os.path.join(home, os.path.expanduser(images)))
        if not os.path.isdir(path):
            raise UserError(f"there is no folder {path}", key="images")
        return path
    for name in _IMAGE_FOLDERS:
        path = os.path.join(home, name)
        if os.path.isdir(path):
            nested = os.path.join(path, name)  # in Kaggle's archive: img_align_celeba/img_align_celeba
            return nested if os.path.isdir(nested) else path
    raise UserError(
        f"{home} has no folder img_align_celeba or images", key="root", fix="name the folder in the argument images"
    )


def _present(names: list[str], folder: str, table: str) -> tuple[list[str], np.ndarray]:
    """Return each row's file and whether it exists (N,). The folder is listed, and no file is examined."""
    files = set(os.listdir(folder))
    exists = np.fromiter(map(files.__contains__, names), bool, len(names))
    if not exists.any():  # converted files: the table says .jpg, the folder has .png
        stems = {os.path.splitext(name)[0]: name for name in sorted(files) if is_image(name)}
        names = [stems.get(os.path.splitext(name)[0], name) for name in names]
        exists = np.fromiter(map(files.__contains__, names), bool, len(names))
    if not exists.any():
        raise UserError(
            f"none of the {len(names):,} images in {table} is in {folder}",
            key="root",
            found=Phrase(f"{sum(map(is_image, files)):,} image files"),
            expected=f"names such as {names[0]}",
        )
    return names, exists


def _stargan_v1_split(listed: int, present: np.ndarray, split: Split) -> np.ndarray:
    """Return the present rows of a split as the official code of StarGAN v1 makes it.

    The whole table is shuffled, so a subset of the images holds out the same ones, and more.
    """
    shuffled = _shuffled(listed)
    if len(present) >= 20_000:
        held_out = shuffled[:1999]
    else:
        here = np.zeros(listed, bool)
        here[present] = True
        held_out = shuffled[here[shuffled]][: max(1, len(present) // 10)]
    out = np.zeros(listed, bool)
    out[held_out] = True
    return present[out[present] == (split == "val")]


@functools.lru_cache(maxsize=1)
def _shuffled(listed: int) -> np.ndarray:
    order = list(range(listed))
    random.Random(1234).shuffle(order)
    return np.array(order, np.int64)


def _partition(home: str, names: Sequence[str], present: np.ndarray, split: Split) -> np.ndarray:
    path = _find(home, ("list_eval_partition.txt", "list_eval_partition.csv"))
    if path is None:
        raise UserError(
            f"{home} has no partition table",
            key="split_by",
            expected="list_eval_partition.txt or list_eval_partition.csv",
            fix="add the table, or choose split_by=stargan_v1",
        )
    listed, _, values = read_table(path)
    if values.shape[1] != 1 or not np.isin(values, (0, 1, 2)).all():
        raise UserError(f"{path} is no partition table", expected="one number a row: 0 (train), 1 (val) or 2 (test)")
    if list(names) == listed:
        partition = values[:, 0]
    else:  # images that the table does not list are in no split
        known = dict(zip(listed, values[:, 0].tolist(), strict=True))
        partition = np.array([known.get(name, -1) for name in names], np.int8)
    rows = present[partition[present] == _PARTITION[split]]
    if not rows.size:
        raise UserError(
            f"no {split} image of {path} is present", key="split_by", fix="add images, or choose split_by=stargan_v1"
        )
    return rows
