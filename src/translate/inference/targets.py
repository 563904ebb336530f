"""What an image is to become, in a caller's words, made into the numbers that a model takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.errors import UserError, among


def domains(target: Any, count: int, names: Sequence[str]) -> Tensor:
    """Return the target domain of each of ``count`` images (count,) int64.

    ``target`` is the name or number of a domain, or a list or tensor of such, one an image.
    """
    if isinstance(target, Tensor):
        target = target.tolist()
    wanted = [target] * count if isinstance(target, str | int) else list(target)
    if len(wanted) != count:
        raise UserError(f"target: found {len(wanted)} for {count} images, expected one, or one for each image")
    return torch.tensor([_number(each, names, "domain") for each in wanted], dtype=torch.int64)


def labels(target: Any, count: int, label_sets: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the target labels of each of ``count`` images (count, K) float32, as StarGAN v1 takes them.

    The labels of all sets stand side by side; where there are several sets, a mask behind them tells which one holds.
    For classes, ``target`` is a name or number, or a list of such, one an image. For attributes it is a name, a list of
    the names that hold, or a mapping from names to whether they hold; what is not named does not hold. A float tensor
    (K,) or (count, K) is taken as it is.
    """
    num_labels = sum(len(each["names"]) for each in label_sets)
    width = num_labels + (len(label_sets) if len(label_sets) > 1 else 0)
    if isinstance(target, Tensor) and target.is_floating_point():
        if target.shape not in ((width,), (count, width)):
            raise UserError(f"target: found labels of shape {tuple(target.shape)}, expected ({count}, {width})")
        return target.float().expand(count, width)
    if len(label_sets) == 1 and label_sets[0]["kind"] == "classes":
        return torch.eye(num_labels)[domains(target, count, label_sets[0]["names"])]
    row = torch.zeros(width)
    for name, holds in _named(target).items():
        number, place = _place(name, label_sets)
        row[place] = float(holds)
        if len(label_sets) > 1:
            row[num_labels + number] = 1
    if len(label_sets) > 1 and row[num_labels:].sum() != 1:
        raise UserError("target: found labels of several data sets, expected those of one")
    return row.expand(count, width)


def _number(given: Any, names: Sequence[str], word: str) -> int:
    if isinstance(given, str):
        if given not in names:
            raise UserError(f"target: there is no {word} {given!r}{among(given, names)}")
        return list(names).index(given)
    if not isinstance(given, int) or not 0 <= given < len(names):
        last = len(names) - 1
        raise UserError(f"target: found {given!r}, expected 0 to {last} or a {word} of {', '.join(names)}")
    return given


def _named(target: Any) -> dict[str, bool]:
    if isinstance(target, Mapping):
        return {str(name): bool(holds) for name, holds in target.items()}
    if isinstance(target, str):
        return {target: True}
    if isinstance(target, Sequence) and all(isinstance(name, str) for name in target):
        return dict.fromkeys(target, True)
    raise UserError(f"target: found {target!r}, expected a label's name, a list of names, or a float tensor of labels")


def _place(name: str, label_sets: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the number of the set that has a label, and the label's place among all labels."""
    start = 0
    for number, each in enumerate(label_sets):
        if name in each["names"]:
            return number, start + each["names"].index(name)
        start += len(each["names"])
    known = [label for each in label_sets for label in each["names"]]
    raise UserError(f"target: there is no label {name!r}{among(name, known)}")
