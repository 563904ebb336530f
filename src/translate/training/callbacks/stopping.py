"""End training between two iterations when a signal has come to any process."""

import signal
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl

from translate import signals
from translate.distributed.collectives import any_rank

ANNOUNCEMENT = "finishing this iteration and writing a checkpoint"


class Stopping(pl.Callback):
    """Let every iteration be finished, and end training after the one in which a signal has come.

    ``number`` is then that of the signal. Before the first iteration a signal ends the run at once, since nothing is
    lost.
    """

    def __init__(self, announcement: str = ANNOUNCEMENT) -> None:
        self.announcement = announcement
        self.number: int | None = None
        self._iterations: ExitStack | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let no signal cut an iteration, from the first one on."""
        if self._iterations is None:
            self._iterations = ExitStack()
            self._iterations.enter_context(signals.deferred(announcement=self.announcement))

    def is_asked(self, trainer: pl.Trainer) -> bool:
        """Return whether a signal has come to any process; training then ends. Every process must call this."""
        if any_rank(signals.received() is not None):
            self.end(trainer, signals.received())
        return self.number is not None

    def end(self, trainer: pl.Trainer, number: int | None) -> None:
        """Let training end after this iteration, because of a signal here or, with None, in another process."""
        self.number = self.number or number or signal.SIGTERM
        signals.receive(self.number)
        signals.acknowledge()
        trainer.should_stop = True

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let a signal end the run at once again."""
        self.release()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let a signal end the run at once again."""
        self.release()

    def release(self) -> None:
        """Let a signal end the run at once again: the last checkpoint is on the disk."""
        if self._iterations is not None:
            self._iterations.close()
