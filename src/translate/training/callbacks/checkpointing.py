"""Write checkpoints at intervals, and after a signal before the run ends."""

import logging
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from translate.distributed.collectives import process_rank
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.background import BackgroundWriter
from translate.runs.folder import RunFolder
from translate.runs.mirror import Mirror
from translate.training.callbacks.metric_logging import MetricLogging
from translate.training.callbacks.stopping import Stopping

log = logging.getLogger("translate")


class Checkpointing(pl.Callback):
    """Write a checkpoint every ``every`` iterations, at the end, and when ``stopping`` ends the run.

    A thread writes them while training continues; ``writer`` knows when it has finished. The ``keep`` newest ones are
    kept.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        metric_logging: MetricLogging,
        stopping: Stopping,
        config: Mapping[str, Any],
        domains: tuple[str, ...],
        every: int,
        keep: int,
        stop: int,
        mirror: Mirror | None = None,
    ) -> None:
        self.folder, self.metric_logging, self.stopping = folder, metric_logging, stopping
        self.config, self.domains = config, domains
        self.every, self.keep, self.stop = every, keep, stop
        self.mirror = mirror
        self.writer = BackgroundWriter()
        self._newest: int | None = None  # the iteration of the newest checkpoint

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if one is due; raise the error of the write before."""
        assert isinstance(pl_module, TranslationModel)
        self.writer.check()
        now = pl_module.iteration
        if self.stopping.is_asked(trainer):
            self.write_last(pl_module)
        elif now % self.every == 0 or now == self.stop:
            self.write(pl_module)

    def write_last(self, model: TranslationModel) -> None:
        """Write a checkpoint of this iteration, after which a signal ends the run, and wait for it."""
        self.write(model)
        self.writer.wait()
        if self.mirror is not None:
            self.mirror.hurried = True

    def write(self, model: TranslationModel) -> None:
        """Write a checkpoint of this iteration unless there is one. Every process must call this."""
        self.metric_logging.flush()  # raises if a term is NaN or infinite, so that no such checkpoint is written
        if self.folder is None or process_rank() != 0 or self._newest == model.iteration:
            return
        self._newest = model.iteration
        state = checkpoints.state_of(model, self.domains, self.config)
        self.writer.write(state, self.folder.checkpoint(model.iteration), self._written)

    def _written(self) -> None:
        """Delete the checkpoints that are too old to be kept, and let the others be copied."""
        assert self.folder is not None
        for old in list(self.folder.checkpoints().values())[: -self.keep]:
            old.unlink()
        if self.mirror is not None:
            self.mirror.request()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait until the last checkpoint is on the disk; a signal may then end the run at once."""
        self.writer.wait()
        self.stopping.release()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Wait for the checkpoint that is being written, so that the message about the error can name it."""
        self.writer.finish()
