"""Record the terms of every iteration and stop at numbers that are none."""

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from translate.distributed.collectives import all_reduce_mean, process_rank
from translate.models.base import TranslationModel
from translate.runs.folder import RunFolder


class NonFiniteError(RuntimeError):
    """A loss or gradient that is not a number any more."""


class MetricLogging(pl.Callback):
    """Write the means of all terms every ``every`` iterations, to metrics.jsonl and the loggers.

    Terms stay on the device until then: one transfer a record, no wait in a step. All of them are looked at, so a
    non-finite value names the iteration in which it first appeared; ``flush`` is called before a checkpoint is written.
    """

    def __init__(self, folder: RunFolder | None, every: int, batch_size: int) -> None:
        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.latest: dict[str, float] = {}
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._window: list[dict[str, float]] = []
        self._since = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the terms; record them when it is time."""
        assert isinstance(pl_module, TranslationModel)
        self._pending.append((pl_module.iteration, pl_module.terms))
        if pl_module.iteration % self.every == 0:
            self.flush()
            self._record(trainer, pl_module.iteration)

    def flush(self) -> None:
        """Fetch what is pending and raise NonFiniteError if any of it is not finite."""
        if not self._pending:
            return
        names = [(iteration, name) for iteration, terms in self._pending for name in terms]
        values = torch.stack([value for _, terms in self._pending for value in terms.values()])
        all_reduce_mean([values])  # all processes see, and stop at, the same numbers
        found: dict[int, dict[str, float]] = {}
        for (iteration, name), value in zip(names, values.tolist(), strict=True):
            found.setdefault(iteration, {})[name] = value
        for iteration, terms in found.items():
            if wrong := [name for name, value in terms.items() if not math.isfinite(value)]:
                self._pending.clear()
                raise NonFiniteError(
                    f"iteration {iteration}: {', '.join(wrong[:4])} became infinite or not a number; the last "
                    "checkpoint is from before. Lower the learning rates, or set model.gradient_clip=1"
                )
        self._window += [found.get(iteration, {}) for iteration, _ in self._pending]
        self._pending.clear()

    def exclude_time(self, seconds: float) -> None:
        """Leave time in which nothing was trained out of the speed."""
        self._since += seconds

    def _record(self, trainer: pl.Trainer, iteration: int) -> None:
        seconds = (time.monotonic() - self._since) / len(self._window)
        self._since = time.monotonic()
        seen: dict[str, list[float]] = {}  # a term may be of some iterations only (a critic moves more often)
        for row in self._window:
            for name, value in row.items():
                seen.setdefault(name, []).append(value)
        self.latest = {name: sum(values) / len(values) for name, values in seen.items()}
        self._window.clear()
        speed = {"iterations_per_second": 1 / seconds, "images_per_second": self.batch_size / seconds}
        if self.folder is not None and process_rank() == 0:
            self.folder.append({"iteration": iteration, **self.latest, **speed})
        for logger in trainer.loggers:
            logger.log_metrics({**self.latest, **speed}, step=iteration)
