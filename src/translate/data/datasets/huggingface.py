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
    check_share,
    check_split,
    choose_domains,
    held_out_names,
)
from translate.data.images import ImageError, read_image
from translate.errors import UserError, suggest
from translate.registry.registry import DATASETS

_HELD_OUT = ("validation", "val", "test")  # in this order


@DATASETS.register("huggingface", provides=("domain",), fetches=True)
class HuggingFace(Dataset):
    """Images with labels from Hugging Face `datasets` (pip install 'translate-gan[huggingface]').

    `path`: a name on the Hub (user/name), or on this machine a folder of class folders or of parquet files, or
    a parquet file. What is named on the Hub is downloaded at its first use, which is when a configuration that
    is good otherwise is checked; the library keeps it (HF_HOME), and HF_DATASETS_OFFLINE=1 forbids to ask the
    Hub. `subset` and `revision` are the library's configuration name and version.
    `image_column` holds the pictures (images, bytes or paths), `label_column` what becomes the domain: a
    ClassLabel, a text or a whole number; rows without a label are left out. The domains are the names of the
    labels, in their order, and `domains` chooses and orders some.
    `train_split` and `val_split` are names of splits; with `val_split` null it is validation, val or test, the
    first that there is, and without any, `val_fraction` of each domain's rows is held out, chosen by the hash of
    their numbers. `crop` as for class folders.
    Raises UserError if the library is not installed, for what cannot be loaded, an unknown split or column, a
    domain without images in a part.
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
        """Load the table of rows, see the class; no picture is decoded."""
        part = check_split(split)
        self.crop = check_crop(crop)
        splits = _load(path, subset, revision)
        _check_word("data.train_split", train_split, "split", splits, path)
        held_out = _held_out_split(splits, train_split, val_split, path)
        name = held_out if held_out and part == "val" else train_split
        table = splits[name]
        _check_word("data.image_column", image_column, "column", table.column_names, path)
        _check_word("data.label_column", label_column, "column", table.column_names, path)
        words = _labels(table, label_column)
        found = _names(splits[train_split], label_column)
        self.domains = choose_domains(found, domains, path)
        number = {word: place for place, word in enumerate(self.domains)}
        domain = np.array([-1 if word is None else number.get(word, -1) for word in words], np.int64)
        if held_out is None:
            check_share(val_fraction)
            self._rows = _rows_of_part(domain, self.domains, part, val_fraction, path)
        else:
            self._rows = np.flatnonzero(domain >= 0)
        self.domain = domain[self._rows]
        for word, count in zip(self.domains, np.bincount(self.domain, minlength=len(self.domains)), strict=True):
            if not count:
                rest = ",".join(other for other in self.domains if other != word)
                raise UserError(
                    f"data.domains: {path} has no image of {word!r} in the {part} part; leave it out by "
                    f"data.domains=[{rest}], or choose other splits"
                )
        self._images = _undecoded(table, image_column)
        self._column, self._place = image_column, f"{path} {name}"

    def __len__(self) -> int:
        """Return N."""
        return len(self._rows)

    def read(self, index: int, size: int) -> np.ndarray:
        """Decode the picture of a row, see translate.data.images.read_image."""
        stored = self._stored(index)
        if stored is None:
            raise ImageError("has no picture")
        return read_image(stored["path"] if stored["bytes"] is None else io.BytesIO(stored["bytes"]), size, self.crop)

    def _stored(self, index: int) -> Mapping[str, Any] | None:
        """Return the bytes of a picture and where they came from; the bytes are None where only the path is kept."""
        stored: Mapping[str, Any] | None = self._images[int(self._rows[index])][self._column]
        return stored

    def describe(self, index: int) -> str:
        """Return what the data set is called, the split and the row, and the picture's file if it has one."""
        stored = self._stored(index)
        file = f" ({stored['path']})" if stored is not None and stored["path"] else ""
        return f"{self._place} row {self._rows[index]}{file}"

    def fingerprint(self) -> str:
        """Digest the library's own fingerprint of the data, and which rows are taken and how."""
        digest = hashlib.sha256(f"huggingface 1 {self.crop} {self._column} {self._images._fingerprint} ".encode())
        digest.update(self._rows.astype("<i8").tobytes())
        return digest.hexdigest()


def _library() -> Any:
    """Import `datasets`, which takes a second and is not always installed."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise UserError(
            f"data=huggingface needs the library 'datasets', and {error.name!r} is not installed; "
            "install it by pip install 'translate-gan[huggingface]'"
        ) from error
    return datasets


def _load(path: str, subset: str | None, revision: str | None) -> Mapping[str, Any]:
    """Return the splits by name."""
    local = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(local):
        if path.startswith((".", "~", os.sep)):
            raise UserError(f"data.path: there is nothing at {local}")
        return _load_from_hub(path, subset, revision)
    if os.path.isfile(local):
        if not local.endswith(".parquet"):
            raise UserError(f"data.path: found the file {local}, expected a parquet file or a folder")
        return _splits_of(path, "parquet", data_files=local)
    return _splits_of(path, local, name=subset)


@functools.lru_cache(maxsize=1)  # both parts of a data set are made one after the other
def _load_from_hub(path: str, subset: str | None, revision: str | None) -> Mapping[str, Any]:
    return _splits_of(path, path, name=subset, revision=revision)


def _splits_of(path: str, *builder: str, **options: Any) -> Mapping[str, Any]:
    library = _library()
    try:
        splits: Mapping[str, Any] = library.load_dataset(*builder, **options)
    except Exception as error:  # the library raises anything from OSError to its own; all say what is wrong
        first = next(iter(str(error).strip().splitlines()), "")
        raise UserError(f"data.path: {path} cannot be loaded by 'datasets': {type(error).__name__}: {first}") from error
    return splits


def _held_out_split(splits: Mapping[str, Any], train: str, wanted: str | None, path: str) -> str | None:
    """Return the split of the validation part, or None where there is none."""
    if wanted is None:
        return next((name for name in _HELD_OUT if name in splits and name != train), None)
    _check_word("data.val_split", wanted, "split", splits, path)
    if wanted == train:
        raise UserError(f"data.val_split: found {wanted!r}, which is the training split too; null holds a share out")
    return wanted


def _check_word(where: str, word: str, kind: str, known: Sequence[str] | Mapping[str, Any], path: str) -> None:
    if word not in known:
        near = suggest(word, known) or f"; there are {', '.join(known)}"
        raise UserError(f"{where}: {path} has no {kind} {word!r}{near}")


def _labels(table: Any, column: str) -> list[str | None]:
    """Return the label of every row, None where it has none."""
    names = getattr(table.features[column], "names", None)
    values = table.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    if names is not None:  # the library's sign for no label is -1
        return [None if value is None or value < 0 else names[value] for value in values]
    kinds = {type(value) for value in values if value is not None}
    if not kinds <= {str, int, bool}:
        raise UserError(
            f"data.label_column: {column!r} holds {', '.join(sorted(kind.__name__ for kind in kinds))}, expected "
            "a ClassLabel, texts or whole numbers"
        )
    return [None if value is None else str(value) for value in values]


def _names(table: Any, column: str) -> list[str]:
    """Return the names of the labels: those of a ClassLabel, else what occurs, numbers in their order."""
    names = getattr(table.features[column], "names", None)
    if names is not None:
        return list(names)
    found = {word for word in _labels(table, column) if word is not None}
    return sorted(found, key=lambda word: (float(word), "") if word.isdecimal() else (np.inf, word))


def _rows_of_part(domain: np.ndarray, names: Sequence[str], part: Split, share: float, path: str) -> np.ndarray:
    """Return the rows of a part where both parts lie in one split, a share of every domain held out."""
    mine = np.zeros(len(domain), bool)
    for label, name in enumerate(names):
        rows = np.flatnonzero(domain == label)
        if len(rows) == 1:
            raise UserError(
                f"data.domains: {path} has a single image of {name!r}, too few for train and val; leave it out, or "
                "name a data.val_split"
            )
        if len(rows):
            held_out = np.array(held_out_names([str(row) for row in rows], name, share))
            mine[rows] = held_out == (part == "val")
    return np.flatnonzero(mine)


def _undecoded(table: Any, column: str) -> Any:
    """Return the column of pictures as bytes or paths, so that every picture is decoded by our own rules."""
    try:
        return table.select_columns([column]).cast_column(column, _library().Image(decode=False))
    except Exception as error:  # what the library raises depends on the column's type
        raise UserError(f"data.image_column: {column!r} holds no images but {table.features[column]}") from error
