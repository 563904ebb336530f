"""Convert the target of a translation from names or numbers to the array that a model takes; torch is not imported."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from translate.errors import Phrase, UserError
from translate.inference.numbers import finite
from translate.registry.registry import MODELS

KEY = "target"
"""The argument that every error names."""

DIRECTIONS = {"atob": 1, "btoa": 0, "a2b": 1, "b2a": 0}
"""The target domain of a direction between two domains, by its name in small letters."""


def domains(target: Any, count: int, names: Sequence[str]) -> np.ndarray:
    """Return the target domain of each of ``count`` images, shape (count,), int64.

    ``target`` is the name or number of a domain, or a list, array or tensor of these with one for each image.
    """
    if hasattr(target, "tolist"):
        target = target.tolist()
    if not isinstance(target, str | int | Iterable):
        raise UserError(key=KEY, found=target, expected=f"a domain of {', '.join(names)}, or one for each image")
    targets = [target] * count if isinstance(target, str | int) else list(target)
    if len(targets) != count:
        raise UserError(
            key=KEY, found=Phrase(f"{len(targets)} for {count} images"), expected="one, or one for each image"
        )
    return np.array([_index(each, names) for each in targets], dtype=np.int64)


def routes(target: Any, source: Any, count: int, names: Sequence[str]) -> np.ndarray:
    """Return the domain and the target domain of each of ``count`` images, shape (count, 2), int64.

    Both are given as in `domains`. Between two domains the source may be None: it is the other one. An array or tensor
    (count, 2) as target, with None as source, is used unchanged.
    """
    if hasattr(target, "tolist") and np.ndim(target) == 2:
        rows = np.asarray(target, dtype=np.int64)
        if source is not None or rows.shape != (count, 2) or rows.min() < 0 or rows.max() >= len(names):
            found = Phrase(f"shape {rows.shape}")
            raise UserError("routes hold the source and the target", key=KEY, found=found, expected=f"({count}, 2)")
        return rows
    targets = domains(target, count, names)
    if source is None and len(names) == 2:
        return np.stack([1 - targets, targets], axis=1)
    if source is None:
        raise UserError("the domain of the images is unknown", key="source", expected=f"one of {', '.join(names)}")
    try:
        return np.stack([domains(source, count, names), targets], axis=1)
    except UserError as error:
        if error.problem.key != KEY:
            raise
        raise UserError.of(replace(error.problem, key="source")) from error


def unnamed_label(model: str) -> float:
    """Return the value of labels that a target does not name: NaN, "as in the image", for a model that edits labels.

    For other models it is 0: such labels are false.
    """
    entry = MODELS.index().get(model)
    return math.nan if entry is not None and entry.facts.get("edits_labels") else 0.0


def labels(target: Any, count: int, label_sets: Sequence[Mapping[str, Any]], unnamed: float = 0.0) -> np.ndarray:
    """Return the target labels of each of ``count`` images, shape (count, K), float32, as StarGAN v1 takes them.

    The labels of all sets are side by side; with several sets a mask follows, 1 for the set whose labels are given. For
    classes, ``target`` is a name or number, or a list of these with one for each image. For attributes, it is a name, a
    list of the attributes that are true, or a mapping from names to truth values or numbers between 0 and 1; attributes
    without a name there are ``unnamed``. A float array or tensor (K,) or (count, K) is used unchanged.
    """
    num_labels = sum(len(each["names"]) for each in label_sets)
    width = num_labels + (len(label_sets) if len(label_sets) > 1 else 0)
    if hasattr(target, "__array__") and np.asarray(target).dtype.kind == "f":
        rows = np.asarray(target, dtype=np.float32)
        if rows.shape not in ((width,), (count, width)):
            found = Phrase(f"labels of shape {tuple(rows.shape)}")
            raise UserError(key=KEY, found=found, expected=f"({count}, {width})")
        return np.broadcast_to(rows, (count, width)).copy()
    if len(label_sets) == 1 and label_sets[0]["kind"] == "classes":
        return np.eye(num_labels, dtype=np.float32)[domains(_only(target), count, label_sets[0]["names"])]
    row = np.zeros(width, np.float32)
    row[:num_labels] = unnamed
    for name, value in _truth_values(target).items():
        set_index, label_index = _find(name, label_sets)
        row[label_index] = value
        if len(label_sets) > 1:
            row[num_labels + set_index] = 1
    if len(label_sets) > 1 and row[num_labels:].sum() != 1:
        raise UserError(key=KEY, found=Phrase("labels of several data sets"), expected="labels of one data set")
    return np.broadcast_to(row, (count, width)).copy()


def domain_of_direction(direction: str, names: Sequence[str]) -> int:
    """Return the target domain of a direction between two domains: AtoB, BtoA, or two names, such as horse2zebra.

    >>> domain_of_direction("AtoB", ("horse", "zebra")), domain_of_direction("zebra2horse", ("horse", "zebra"))
    (1, 0)
    """
    if len(names) != 2:
        raise UserError(
            "it chooses one of two domains", key="direction", found=Phrase(f"{len(names)} domains"), fix="target=DOMAIN"
        )
    first, second = names
    spelled = {f"{a}{way}{b}": to for a, b, to in ((first, second, 1), (second, first, 0)) for way in ("2", "_to_")}
    for name, domain in (*DIRECTIONS.items(), *spelled.items()):
        if direction.lower() == name.lower():
            return domain
    raise UserError("unknown direction", key="direction", found=direction, known=("AtoB", "BtoA", *spelled))


def _only(target: Any) -> Any:
    """Return the class of a mapping such as {"happy": 1}; any other target as it is."""
    if isinstance(target, Mapping):
        names = [str(name) for name, value in target.items() if value]
        if len(names) != 1 or finite(target[names[0]], KEY) != 1:
            raise UserError(key=KEY, found=target, expected="one class with the value 1")
        return names[0]
    return target


def _index(target: Any, names: Sequence[str]) -> int:
    if isinstance(target, str):
        if target not in names:
            raise UserError("unknown domain", key=KEY, found=target, known=names)
        return list(names).index(target)
    if not isinstance(target, int) or isinstance(target, bool) or not 0 <= target < len(names):
        expected = f"0 to {len(names) - 1}, or a domain of {', '.join(names)}"
        raise UserError(key=KEY, found=target, expected=expected)
    return target


def _truth_values(target: Any) -> dict[str, float]:
    if isinstance(target, Mapping):
        values = {str(name): finite(value, f"{KEY}.{name}") for name, value in target.items()}
        for name, value in values.items():
            if not 0 <= value <= 1:
                raise UserError(key=f"{KEY}.{name}", found=value, expected="0 (false) to 1 (true)")
        return values
    if isinstance(target, str):
        return {target: 1.0}
    if isinstance(target, Sequence) and all(isinstance(name, str) for name in target):
        return dict.fromkeys(target, 1.0)
    raise UserError(key=KEY, found=target, expected="the name of a label, a list of names, or a float tensor of labels")


def _find(name: str, label_sets: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the index of the set that has a label, and the label's index among all labels."""
    start = 0
    for set_index, each in enumerate(label_sets):
        if name in each["names"]:
            return set_index, start + each["names"].index(name)
        start += len(each["names"])
    raise UserError(
        "unknown label", key=KEY, found=name, known=[label for each in label_sets for label in each["names"]]
    )
