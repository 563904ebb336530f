"""Write checkpoints at intervals, and on a signal before the run ends."""

import logging
import signal
from collections.abc import Mapping
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from translate.distributed.collectives import any_rank, process_rank
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training.callbacks.metric_logging import MetricLogging

log = logging.getLogger("translate")

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]


class Checkpointing(pl.Callback):
    """Write a checkpoint every ``every`` iterations and at the end, and keep the ``keep`` newest ones.

    On SIGINT, SIGTERM or SIGUSR1 (SLURM's warning of the time limit), finish the iteration, write a checkpoint and end
    the run; ``interrupted`` is then the signal's number. A second signal ends the process at once.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        metric_logging: MetricLogging,
        config: Mapping[str, Any],
        domains: tuple[str, ...],
        every: int,
        keep: int,
        stop: int,
    ) -> None:
        self.folder, self.metric_logging, self.config, self.domains = folder, metric_logging, config, domains
        self.every, self.keep, self.stop = every, keep, stop
        self.interrupted: int | None = None
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers, after Lightning has installed its own."""
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = number
        signal.signal(number, signal.SIG_DFL)
        log.warning("%s: finishing this iteration and writing a checkpoint", signal.Signals(number).name)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if one is due."""
        assert isinstance(pl_module, TranslationModel)
        stopping = any_rank(self.interrupted is not None, pl_module.device)
        now = pl_module.iteration
        if stopping or now % self.every == 0 or now == self.stop:
            self.metric_logging.flush()  # raises if a term is NaN or infinite, so that no such checkpoint is written
            self._write(pl_module)
        if stopping:
            self.interrupted = self.interrupted or signal.SIGTERM
            trainer.should_stop = True

    def _write(self, model: TranslationModel) -> None:
        if self.folder is None or process_rank() != 0:
            return
        state = checkpoints.capture(model, self.domains, self.config)
        checkpoints.write(state, self.folder.checkpoint(model.iteration))
        for old in list(self.folder.checkpoints().values())[: -self.keep]:
            old.unlink()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the signal handlers from before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
