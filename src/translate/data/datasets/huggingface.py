"""Images with labels from the library `datasets` of Hugging Face: from the Hub, or from files on this machine."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from translate.data.datasets.base import (
    Dataset,
    Split,
    check_crop,
    check_split,
    check_val_fraction,
    choose_domains,
    held_out_names,
    require_images,
)
from translate.data.images import ImageError, decoded, resize
from translate.errors import Phrase, UserError
from translate.registry.registry import DATASETS
from translate.sizes import ImageSize, SizeLike

_HELD_OUT = ("validation", "val", "test")  # in this order


@DATASETS.register("huggingface", provides=("domain",), fetches=True)
class HuggingFace(Dataset):
    """Images with labels from Hugging Face `datasets` (pip install 'translate-gan[huggingface]').

    `path`: a name on the Hub (user/name), or on this machine a folder of class folders or of parquet files, or a
    parquet file. A data set of the Hub is downloaded at its first use: when a configuration without other mistakes is
    checked. The library keeps it (HF_HOME); HF_DATASETS_OFFLINE=1 forbids requests to the Hub. `subset` and `revision`
    are the library's configuration name and version.
    `image_column` holds images, bytes or paths. `label_column` holds the domain: a ClassLabel, a text or a whole
    number; rows without a label are left out. The domains are the names of the labels, in their order; `domains`
    chooses and orders some.
    `train_split` and `val_split` are names of splits. `val_split` null means validation, val or test, the first that
    exists; without any, `val_fraction` of each domain's rows is held out, by the hash of their numbers. `crop` as for
    class folders.
    UserError if the library is not installed, for a data set that cannot be loaded, an unknown split or column, and a
    domain without images in a split.
    """

    def __init__(
        self,
        path: str,
        image_column: str = "image",
        label_column: str = "label",
        train_split: str = "train",
        val_split: str | None = None,
        val_fraction: float = 0.05,
        subset: str | None = None,
        revision: str | None = None,
        crop: str | int = "none",
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """Load the table of rows, see the class; no image is decoded."""
        split = check_split(split)
        self.crop = check_crop(crop)
        splits = _load(path, subset, revision)
        _check_name("train_split", train_split, "split", splits, path)
        held_out = _held_out_split(splits, train_split, val_split, path)
        name = held_out if held_out and split == "val" else train_split
        table = splits[name]
        _check_name("image_column", image_column, "column", table.column_names, path)
        _check_name("label_column", label_column, "column", table.column_names, path)
        self.domains = choose_domains(_label_names(splits[train_split], label_column), domains, path)
        number = {name: index for index, name in enumerate(self.domains)}
        labels = _labels(table, label_column)
        domain = np.array([-1 if label is None else number.get(label, -1) for label in labels], np.int64)
        if held_out is None:
            check_val_fraction(val_fraction)
            self._rows = _rows_of_split(domain, self.domains, split, val_fraction, path)
        else:
            self._rows = np.flatnonzero(domain >= 0)
        self.domain = domain[self._rows]
        require_images(self.domain, self.domains, path, split, "other splits")
        self._images = _undecoded(table, image_column)
        self._column, self._place = image_column, f"{path} {name}"

    def __len__(self) -> int:
        """Return N."""
        return len(self._rows)

    def read(self, index: int, size: SizeLike) -> np.ndarray:
        """Decode the image of a row, see translate.data.images."""
        return self.read_sizes([index], [size])[0][0]

    def read_sizes(self, indices: Sequence[int] | np.ndarray, sizes: Sequence[SizeLike]) -> list[np.ndarray]:
        """Decode images once for all sizes."""
        results = [np.empty((len(indices), *ImageSize.of(size), 3), np.uint8) for size in sizes]
        for row, index in enumerate(indices):
            with decoded(self._source(int(index))) as image:
                for images, size in zip(results, sizes, strict=True):
                    images[row] = resize(image, size, self.crop)
        return results

    def _source(self, index: int) -> str | io.BytesIO:
        stored = self._stored(index)
        if stored is None:
            raise ImageError("has no image")
        return str(stored["path"]) if stored["bytes"] is None else io.BytesIO(stored["bytes"])

    def _stored(self, index: int) -> Mapping[str, Any] | None:
        """Return the bytes of an image and their path; the bytes are None if only the path is stored."""
        stored: Mapping[str, Any] | None = self._images[int(self._rows[index])][self._column]
        return stored

    def describe(self, index: int) -> str:
        """Return the name of the data set, the split, the row, and the image's file if it has one."""
        stored = self._stored(index)
        file = f" ({stored['path']})" if stored is not None and stored["path"] else ""
        return f"{self._place} row {self._rows[index]}{file}"

    def fingerprint(self) -> str:
        """Digest the library's own fingerprint of the data, the rows and the crop."""
        digest = hashlib.sha256(f"huggingface 1 {self.crop} {self._column} {self._images._fingerprint} ".encode())
        digest.update(self._rows.astype("<i8").tobytes())
        return digest.hexdigest()


def _library() -> Any:
    """Import `datasets`, which takes a second and is not always installed."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise UserError(
            f"the data set huggingface needs the library 'datasets', but {error.name!r} is not installed",
            fix="pip install 'translate-gan[huggingface]'",
        ) from error
    return datasets


def _load(path: str, subset: str | None, revision: str | None) -> Mapping[str, Any]:
    """Return the splits by name."""
    local = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(local):
        if path.startswith((".", "~", os.sep)):
            raise UserError(f"there is no {local}", key="path")
        return _load_from_hub(path, subset, revision)
    if os.path.isfile(local):
        if not local.endswith(".parquet"):
            raise UserError(key="path", found=Phrase(f"the file {local}"), expected="a parquet file or a folder")
        return _splits_of(path, "parquet", data_files=local)
    return _splits_of(path, local, name=subset)


@functools.lru_cache(maxsize=1)  # both splits of a data set are made one after the other
def _load_from_hub(path: str, subset: str | None, revision: str | None) -> Mapping[str, Any]:
    return _splits_of(path, path, name=subset, revision=revision)


def _splits_of(path: str, *builder: str, **options: Any) -> Mapping[str, Any]:
    library = _library()
    try:
        splits: Mapping[str, Any] = library.load_dataset(*builder, **options)
    except Exception as error:  # the library raises many types, from OSError to its own
        first = next(iter(str(error).strip().splitlines()), "")
        text = f"{path} cannot be loaded by 'datasets' ({type(error).__name__}: {first})"
        raise UserError(text, key="path") from error
    return splits


def _held_out_split(splits: Mapping[str, Any], train: str, wanted: str | None, path: str) -> str | None:
    """Return the name of the validation split, or None without such a split."""
    if wanted is None:
        return next((name for name in _HELD_OUT if name in splits and name != train), None)
    _check_name("val_split", wanted, "split", splits, path)
    if wanted == train:
        raise UserError(
            "the split is also that for training",
            key="val_split",
            found=wanted,
            fix="name another split, or null to hold out val_fraction of the images",
        )
    return wanted


def _check_name(key: str, name: str, kind: str, known: Sequence[str] | Mapping[str, Any], path: str) -> None:
    if name not in known:
        raise UserError(f"{path} has no {kind}", key=key, found=name, known=known)


def _labels(table: Any, column: str) -> list[str | None]:
    """Return the label of every row, None for a row without one."""
    names = getattr(table.features[column], "names", None)
    values = table.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    if names is not None:  # in the library, -1 means no label
        return [None if value is None or value < 0 else names[value] for value in values]
    kinds = {type(value) for value in values if value is not None}
    if not kinds <= {str, int, bool}:
        raise UserError(
            f"the column {column!r} holds no labels",
            key="label_column",
            found=Phrase(", ".join(sorted(kind.__name__ for kind in kinds))),
            expected="a ClassLabel, texts or whole numbers",
        )
    return [None if value is None else str(value) for value in values]


def _label_names(table: Any, column: str) -> list[str]:
    """Return the names of a ClassLabel, or the values that occur, numbers in their order."""
    names = getattr(table.features[column], "names", None)
    if names is not None:
        return list(names)
    labels = {label for label in _labels(table, column) if label is not None}
    return sorted(labels, key=lambda label: (float(label), "") if label.isdecimal() else (np.inf, label))


def _rows_of_split(domain: np.ndarray, names: Sequence[str], split: Split, fraction: float, path: str) -> np.ndarray:
    """Return the rows of a split, a fraction of every domain held out, where the library has one split only."""
    chosen = np.zeros(len(domain), bool)
    for label, name in enumerate(names):
        rows = np.flatnonzero(domain == label)
        if len(rows) == 1:
            raise UserError(
                f"{path} has a single image of {name!r}, too few for train and val",
                key="domains",
                fix="leave the domain out, or give val_split",
            )
        if len(rows):
            held_out = np.array(held_out_names([str(row) for row in rows], name, fraction))
            chosen[rows] = held_out == (split == "val")
    return np.flatnonzero(chosen)


def _undecoded(table: Any, column: str) -> Any:
    """Return the column of images as bytes or paths, so that every image is decoded by our own rules."""
    try:
        return table.select_columns([column]).cast_column(column, _library().Image(decode=False))
    except Exception as error:  # what the library raises depends on the column's type
        found = Phrase(str(table.features[column]))
        raise UserError(f"the column {column!r} holds no images", key="image_column", found=found) from error
