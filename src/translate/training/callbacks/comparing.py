"""Compare the state of a model that trains again with the checkpoints of the run that it repeats."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from translate.errors import UserError
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.stretch import Comparison


class Comparing(pl.Callback):
    """Compare all tensors at the iterations of recorded checkpoints, in the process of rank 0.

    ``tensors`` are compared bit by bit. ``networks`` are the weights of each network and of its EMA as a whole: with
    the way a that they went in the recorded stretch and the way b in the replay, ``|a - b| / sqrt(|a| |b|)`` is at most
    ``bound``. Ways of equal length have 0 if they are equal, and 1.41 if their directions are unrelated.
    """

    def __init__(self, recorded: Mapping[int, Sequence[Path]], bound: float) -> None:
        self.recorded = recorded
        self.tensors, self.networks = Comparison("tensors"), Comparison("networks", bound)
        self._start: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights from which the stretch begins."""
        assert isinstance(pl_module, TranslationModel)
        if self.recorded:
            self._start = {name: tensor.clone() for name, tensor in _state(pl_module).items() if _is_weight(name)}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compare if the run has a checkpoint here; UserError for a file that is not one."""
        assert isinstance(pl_module, TranslationModel)
        for path in self.recorded.get(pl_module.iteration, ()):
            checkpoint = checkpoints.read(path)
            if checkpoint.iteration != pl_module.iteration:
                raise UserError(
                    "the header names another iteration than the file",
                    key=str(path),
                    found=checkpoint.iteration,
                    expected=str(pl_module.iteration),
                )
            state = _state(pl_module)
            self.tensors.add(checkpoint.iteration, _bits(checkpoint.tensors, state))
            self.networks.add(checkpoint.iteration, _moved(checkpoint.tensors, state, self._start))


def _state(model: TranslationModel) -> dict[str, Tensor]:
    """Return the tensors that a checkpoint of the model has."""
    return checkpoints.capture(model, (), {}).tensors


def _bits(recorded: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> dict[str, float]:
    """Return 0 for each tensor that is equal to the bit, else its greatest difference relative to its greatest value.

    Infinite for a tensor that one side lacks, and for other shapes or types.
    """
    return {name: _difference(recorded.get(name), now.get(name)) for name in dict.fromkeys([*recorded, *now])}


def _difference(before: Tensor | None, after: Tensor | None) -> float:
    if before is None or after is None or before.shape != after.shape or before.dtype != after.dtype:
        return math.inf
    if before.equal(after):
        return 0.0
    scale = before.double().abs().max()
    size = float((after.double() - before.double()).abs().max() / scale)
    return size if math.isfinite(size) else math.inf


def _moved(recorded: Mapping[str, Tensor], now: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> dict[str, float]:
    """Return ``|a - b| / sqrt(|a| |b|)`` of the ways a and b that the weights of each network and EMA went."""
    squares: dict[str, Tensor] = {}
    for name in filter(_is_weight, dict.fromkeys([*recorded, *now])):
        network = ".".join(name.split(".")[:2])
        sums = squares.setdefault(network, torch.zeros(3, dtype=torch.float64))
        if len({tensors[name].shape if name in tensors else None for tensors in (start, recorded, now)}) > 1:
            sums += math.inf
            continue
        a, b = (tensors[name].double() - start[name].double() for tensors in (recorded, now))
        sums += torch.stack([(a - b).square().sum(), a.square().sum(), b.square().sum()])
    return {network: _apart(*sums.sqrt().tolist()) for network, sums in squares.items()}


def _apart(distance: float, first: float, second: float) -> float:
    if distance == 0:
        return 0.0
    size = distance / math.sqrt(first * second) if first and second else math.inf
    return size if math.isfinite(size) else math.inf


def _is_weight(name: str) -> bool:
    return name.partition(".")[0] in (checkpoints.NETWORK, checkpoints.EMA)
