"""Convert the target of a translation from names or numbers to the tensor that a model takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.errors import Phrase, UserError

KEY = "target"
"""The argument that every error names."""


def domains(target: Any, count: int, names: Sequence[str]) -> Tensor:
    """Return the target domain of each of ``count`` images, shape (count,), int64.

    ``target`` is the name or number of a domain, or a list or tensor of these with one for each image.
    """
    if isinstance(target, Tensor):
        target = target.tolist()
    targets = [target] * count if isinstance(target, str | int) else list(target)
    if len(targets) != count:
        raise UserError(
            key=KEY, found=Phrase(f"{len(targets)} for {count} images"), expected="one, or one for each image"
        )
    return torch.tensor([_index(each, names) for each in targets], dtype=torch.int64)


def labels(target: Any, count: int, label_sets: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the target labels of each of ``count`` images, shape (count, K), float32, as StarGAN v1 takes them.

    The labels of all sets are side by side; with several sets a mask follows, 1 for the set whose labels are given. For
    classes, ``target`` is a name or number, or a list of these with one for each image. For attributes, it is a name, a
    list of the attributes that are true, or a mapping from names to truth values; attributes without a name there are
    false. A float tensor (K,) or (count, K) is used unchanged.
    """
    num_labels = sum(len(each["names"]) for each in label_sets)
    width = num_labels + (len(label_sets) if len(label_sets) > 1 else 0)
    if isinstance(target, Tensor) and target.is_floating_point():
        if target.shape not in ((width,), (count, width)):
            found = Phrase(f"labels of shape {tuple(target.shape)}")
            raise UserError(key=KEY, found=found, expected=f"({count}, {width})")
        return target.float().expand(count, width)
    if len(label_sets) == 1 and label_sets[0]["kind"] == "classes":
        return torch.eye(num_labels)[domains(target, count, label_sets[0]["names"])]
    row = torch.zeros(width)
    for name, is_true in _truth_values(target).items():
        set_index, label_index = _find(name, label_sets)
        row[label_index] = float(is_true)
        if len(label_sets) > 1:
            row[num_labels + set_index] = 1
    if len(label_sets) > 1 and row[num_labels:].sum() != 1:
        raise UserError(key=KEY, found=Phrase("labels of several data sets"), expected="labels of one data set")
    return row.expand(count, width)


def _index(target: Any, names: Sequence[str]) -> int:
    if isinstance(target, str):
        if target not in names:
            raise UserError("unknown domain", key=KEY, found=target, known=names)
        return list(names).index(target)
    if not isinstance(target, int) or not 0 <= target < len(names):
        expected = f"0 to {len(names) - 1}, or a domain of {', '.join(names)}"
        raise UserError(key=KEY, found=target, expected=expected)
    return target


def _truth_values(target: Any) -> dict[str, bool]:
    if isinstance(target, Mapping):
        return {str(name): bool(is_true) for name, is_true in target.items()}
    if isinstance(target, str):
        return {target: True}
    if isinstance(target, Sequence) and all(isinstance(name, str) for name in target):
        return dict.fromkeys(target, True)
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
