"""Log the terms of every iteration; stop the run when one is NaN or infinite."""

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from translate.distributed.collectives import all_reduce_mean, process_rank
from translate.models.base import TranslationModel
from translate.runs.folder import RunFolder

NOT_FINITE = "became NaN or infinite"
"""Part of the message of `NonFiniteError`; a report on a run looks for it in the log."""


class NonFiniteError(RuntimeError):
    """A term of an iteration is NaN or infinite."""


class MetricLogging(pl.Callback):
    """Write the means of all terms every ``every`` iterations, to metrics.jsonl and the loggers.

    Terms stay on the device until then: one transfer per record, and no synchronization within a step. Every value is
    checked, so the error names the iteration of the first non-finite value. `Checkpointing` calls ``flush`` before it
    writes.
    """

    def __init__(self, folder: RunFolder | None, every: int, batch_size: int) -> None:
        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.latest: dict[str, float] = {}
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._window: list[dict[str, float]] = []
        self._since = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start to measure the speed."""
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the terms; write a record if one is due."""
        assert isinstance(pl_module, TranslationModel)
        self._pending.append((pl_module.iteration, pl_module.terms))
        if pl_module.iteration % self.every == 0:
            self.flush()
            self._record(trainer, pl_module.iteration)

    def flush(self) -> None:
        """Fetch the pending terms; raise NonFiniteError if one is not finite."""
        if not self._pending:
            return
        names = [(iteration, name) for iteration, terms in self._pending for name in terms]
        values = torch.stack([value for _, terms in self._pending for value in terms.values()])
        all_reduce_mean([values])  # all processes get the same numbers, so they stop together
        fetched: dict[int, dict[str, float]] = {}
        for (iteration, name), value in zip(names, values.tolist(), strict=True):
            fetched.setdefault(iteration, {})[name] = value
        for iteration, terms in fetched.items():
            if wrong := [name for name, value in terms.items() if not math.isfinite(value)]:
                self._pending.clear()
                raise NonFiniteError(
                    f"iteration {iteration}: {', '.join(wrong[:4])} {NOT_FINITE}; the last checkpoint was "
                    "written before. Fix: lower the learning rates, or set model.gradient_clip=1"
                )
        self._window += [fetched.get(iteration, {}) for iteration, _ in self._pending]
        self._pending.clear()

    def exclude_time(self, seconds: float) -> None:
        """Exclude seconds without training, such as those of an evaluation, from the speed."""
        self._since += seconds

    def _record(self, trainer: pl.Trainer, iteration: int) -> None:
        seconds = (time.monotonic() - self._since) / len(self._window)
        self._since = time.monotonic()
        by_name: dict[str, list[float]] = {}  # some iterations lack a term (a critic is updated more often)
        for row in self._window:
            for name, value in row.items():
                by_name.setdefault(name, []).append(value)
        self.latest = {name: sum(values) / len(values) for name, values in by_name.items()}
        self._window.clear()
        speed = {"iterations_per_second": 1 / seconds, "images_per_second": self.batch_size / seconds}
        if self.folder is not None and process_rank() == 0:
            self.folder.append({"iteration": iteration, **self.latest, **speed})
        for logger in trainer.loggers:
            logger.log_metrics({**self.latest, **speed}, step=iteration)
