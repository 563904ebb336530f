"""Measure a model while it trains, and keep the checkpoint that is best by a figure."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from translate.evaluation import results
from translate.evaluation.evaluator import Evaluator, Subject
from translate.files import atomic_write
from translate.metrics.selection import Best
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training.callbacks.checkpointing import Checkpointing
from translate.training.callbacks.metric_logging import MetricLogging

log = logging.getLogger("translate")

Figures = dict[str, float]


class Evaluating(pl.Callback):
    """Measure every ``every`` iterations, all processes together, and keep the ``best`` checkpoint.

    Figures go to metrics/<protocol>_<iteration>.json, metrics.jsonl and the loggers, as ``<protocol>/<figure>``. An
    evaluation in which a signal arrives is left, so that the checkpoint is written in time; it is not made up for.
    """

    def __init__(
        self,
        folder: RunFolder,
        evaluator: Callable[[torch.device], Evaluator],
        metric_logging: MetricLogging,
        checkpointing: Checkpointing,
        every: int,
        best: Best | None,
    ) -> None:
        """Take what makes the evaluator, once the model is on its device."""
        self.folder, self._make = folder, evaluator
        self.metric_logging, self.checkpointing = metric_logging, checkpointing
        self.every, self.best = every, best
        self._evaluator: Evaluator | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the weights now and not in the middle of the run; measure what a killed run has left unmeasured."""
        assert isinstance(pl_module, TranslationModel)
        self.catch_up(trainer, pl_module)

    def catch_up(self, trainer: pl.Trainer, model: TranslationModel) -> None:
        """Measure a model that a run has just gone on from, if the run was killed before all was on record."""
        self._evaluator = self._make(model.device)
        if model.iteration and model.iteration % self.every == 0:
            name = self.folder.checkpoint(model.iteration).stem
            places = [results.path_of(self.folder.path, protocol, name) for protocol in self._evaluator.protocols]
            done = all(place.is_file() for place in places) and self._recorded(model.iteration)
            if not self._evaluator.group.of_first(done):
                self._measure(trainer, model)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure when it is time."""
        assert isinstance(pl_module, TranslationModel)
        if pl_module.iteration % self.every == 0:
            self.metric_logging.flush()  # a model with a number that is none is not worth measuring
            self._measure(trainer, pl_module)

    def _measure(self, trainer: pl.Trainer, model: TranslationModel) -> None:
        began = time.monotonic()
        evaluator = self._evaluator
        assert evaluator is not None
        name = self.folder.checkpoint(model.iteration).stem
        subject = Subject(model, name, self.folder.path)
        found: dict[str, Figures] = {}
        for protocol in evaluator.protocols:
            result = evaluator.measure(protocol, subject, stop=lambda: self.checkpointing.interrupted is not None)
            if result is None:
                log.warning("iteration %d is not measured: the run is stopping", model.iteration)
                return
            found[protocol] = result.figures
            if evaluator.group.first:
                log.info("%s", results.table(result))
        if evaluator.group.first:
            self._keep_best(model, found)
            if not self._recorded(model.iteration):  # the last thing that is done: its absence tells of a kill
                self._record(trainer, model.iteration, found)
        self.metric_logging.exclude_time(time.monotonic() - began)

    def _recorded(self, iteration: int) -> bool:
        """Tell whether metrics.jsonl has the figures of an iteration."""
        assert self._evaluator is not None
        starts = tuple(f"{protocol}/" for protocol in self._evaluator.protocols)
        return any(name.startswith(starts) for line in self.folder.recorded(iteration) for name in line)

    def _record(self, trainer: pl.Trainer, iteration: int, found: Mapping[str, Figures]) -> None:
        """Tell metrics.jsonl and the loggers."""
        values = {f"{protocol}/{name}": value for protocol, figures in found.items() for name, value in figures.items()}
        finite = {name: value for name, value in values.items() if value == value}
        self.folder.append({"iteration": iteration, **finite})
        for logger in trainer.loggers:
            logger.log_metrics(finite, step=iteration)

    def _keep_best(self, model: TranslationModel, found: Mapping[str, Figures]) -> None:
        """Write the checkpoint, and the figure beside it, if the figure is better than all before."""
        if self.best is None:
            return
        value = self.best.value(found.get(self.best.protocol, {}))
        if value is None:
            log.warning("best: protocol %s gives no %s for this model", self.best.protocol, self.best.figure)
            return
        note = self.folder.path / results.FOLDER / "best.json"
        before = results.read(note)
        old = before["value"] if before and before.get("figure") == self.best.figure else None
        if not self.best.beats(value, old):
            return
        state = checkpoints.capture(model, self.checkpointing.domains, self.checkpointing.config)
        checkpoints.write(state, self.folder.best_checkpoint)
        told = {"protocol": self.best.protocol, "figure": self.best.figure, "better": self.best.better}
        atomic_write(note, json.dumps({**told, "value": value, "iteration": model.iteration}, indent=2) + "\n")
        log.info("iteration %d is the best so far: %s %.5g", model.iteration, self.best.figure, value)
