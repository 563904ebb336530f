"""Evaluate a model while it trains, and keep the checkpoint that has the best score."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from translate import signals
from translate.evaluation import results
from translate.evaluation.evaluator import EvaluatedModel, Evaluator
from translate.metrics.protocols import Scores
from translate.metrics.selection import Best
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs import scores as scores_files
from translate.runs.folder import RunFolder
from translate.training.callbacks.checkpointing import Checkpointing
from translate.training.callbacks.metric_logging import MetricLogging
from translate.training.loggers import log_scores

log = logging.getLogger("translate")


class Evaluating(pl.Callback):
    """Evaluate every ``every`` iterations in all processes together, and keep the ``best`` checkpoint.

    Scores go to metrics/<protocol>_<iteration>.json, to metrics.jsonl as ``<protocol>/<score>`` and to the loggers as
    ``scores/<protocol>/<score>``. A signal ends an evaluation with a checkpoint; a resumed run makes it up.
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
        """Take the function that builds the evaluator, called when the model is on its device."""
        self.folder, self._make = folder, evaluator
        self.metric_logging, self.checkpointing = metric_logging, checkpointing
        self.every, self.best = every, best
        self._evaluator: Evaluator | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the weights before the first iteration; evaluate the checkpoint that a killed run did not evaluate."""
        assert isinstance(pl_module, TranslationModel)
        self.catch_up(trainer, pl_module)

    def catch_up(self, trainer: pl.Trainer, model: TranslationModel) -> None:
        """Evaluate the model of a resumed run if the run was killed before all scores were recorded."""
        self._evaluator = self._make(model.device)
        if model.iteration and model.iteration % self.every == 0:
            name = self.folder.checkpoint(model.iteration).stem
            paths = [scores_files.path_of(self.folder.path, protocol, name) for protocol in self._evaluator.protocols]
            done = all(path.is_file() for path in paths) and self._recorded(model.iteration)
            if not self._evaluator.processes.from_first(done):
                self._evaluate(trainer, model)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate every ``every`` iterations."""
        assert isinstance(pl_module, TranslationModel)
        if pl_module.iteration % self.every:
            return
        if self.checkpointing.stopping.number is None:
            self.metric_logging.flush()  # raises for a term that is not finite
            try:
                self._evaluate(trainer, pl_module)
                return
            except signals.Interrupted as interrupt:
                self.checkpointing.write_last(pl_module)
                self.checkpointing.stopping.end(trainer, interrupt.number)
        log.info("iteration %d is not evaluated: the run is stopping", pl_module.iteration)

    def _evaluate(self, trainer: pl.Trainer, model: TranslationModel) -> None:
        started = time.monotonic()
        self.checkpointing.writer.wait()
        evaluator = self._evaluator
        assert evaluator is not None
        name = self.folder.checkpoint(model.iteration).stem
        evaluated = EvaluatedModel(model, name, self.folder.path)
        scores: dict[str, Scores] = {}
        by_task: dict[str, Scores] = {}
        for protocol in evaluator.protocols:
            result = evaluator.evaluate(protocol, evaluated)
            scores[protocol], by_task[protocol] = result.scores, result.by_task()
            if evaluator.processes.is_first:
                log.info("%s", results.table(result))
            result.require_stored()
        if evaluator.processes.is_first:
            self._keep_best(model, {protocol: by_task[protocol] | scores[protocol] for protocol in scores})
            if not self._recorded(model.iteration):  # recorded last: a missing record shows that a run was killed
                self._record(trainer, model.iteration, scores)
        self.metric_logging.exclude_time(time.monotonic() - started)

    def _recorded(self, iteration: int) -> bool:
        """Return whether metrics.jsonl has the scores of an iteration."""
        assert self._evaluator is not None
        starts = tuple(f"{protocol}/" for protocol in self._evaluator.protocols)
        return any(name.startswith(starts) for line in self.folder.recorded(iteration) for name in line)

    def _record(self, trainer: pl.Trainer, iteration: int, scores: Mapping[str, Scores]) -> None:
        """Write the scores to metrics.jsonl and the loggers."""
        values = {f"{protocol}/{name}": value for protocol, each in scores.items() for name, value in each.items()}
        self.folder.append({"iteration": iteration, **{k: value for k, value in values.items() if value == value}})
        log_scores(trainer.loggers, scores, iteration)

    def _keep_best(self, model: TranslationModel, scores: Mapping[str, Scores]) -> None:
        """Write the checkpoint and a note on its score, if the score is better than all before."""
        if self.best is None:
            return
        value = self.best.value(scores.get(self.best.protocol, {}))
        if value is None:
            log.warning("best: protocol %s gives no %s for this model", self.best.protocol, self.best.score)
            return
        note = scores_files.best_file(self.folder.path)
        before = scores_files.read_best(note)
        old = before["value"] if before and before["score"] == self.best.score else None
        if not self.best.improves(value, old):
            return
        state = checkpoints.capture(model, self.checkpointing.domains, self.checkpointing.config)
        checkpoints.write(state, self.folder.best_checkpoint)
        about = {"protocol": self.best.protocol, "score": self.best.score, "better": self.best.better}
        scores_files.write_json(note, {**about, "value": value, "iteration": model.iteration})
        log.info("iteration %d is the best so far: %s %.5g", model.iteration, self.best.score, value)
