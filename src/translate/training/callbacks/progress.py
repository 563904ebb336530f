"""Show the progress of a run: a bar on a terminal or in a notebook, plain lines in a log."""

import logging
import time
from typing import Any

import pytorch_lightning as pl
from tqdm.auto import tqdm

from translate.console import is_interactive
from translate.distributed.collectives import process_rank
from translate.models.base import TranslationModel
from translate.training.callbacks.metric_logging import MetricLogging

log = logging.getLogger("translate")

LINE_EVERY = 10.0  # seconds between lines, without a bar


class Progress(pl.Callback):
    """Show iterations and images per second, the remaining time and the model's `progress_terms`."""

    def __init__(self, metric_logging: MetricLogging, start: int, stop: int, batch_size: int) -> None:
        self.metric_logging, self.start, self.stop, self.batch_size = metric_logging, start, stop, batch_size
        self._bar: Any = None
        self._began = self._last_line = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the bar, on a terminal or in a notebook."""
        self._began = self._last_line = time.monotonic()
        if process_rank() == 0 and is_interactive():
            self._bar = tqdm(total=self.stop, initial=self.start, unit="it", dynamic_ncols=True, smoothing=0.05)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar, or log a line if one is due."""
        assert isinstance(pl_module, TranslationModel)
        if process_rank() != 0:
            return
        done = pl_module.iteration
        now = time.monotonic()
        rate = (done - self.start) / max(now - self._began, 1e-9)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            self._bar.set_postfix_str(f"{rate * self.batch_size:.0f} img/s {self._terms(pl_module)}", refresh=False)
        elif now - self._last_line >= LINE_EVERY or done == self.stop:
            self._last_line = now
            remaining = (self.stop - done) / rate
            log.info(
                "iteration %d of %d, %.2f it/s, %.0f img/s, %s left%s",
                done,
                self.stop,
                rate,
                rate * self.batch_size,
                duration(remaining),
                f"; {terms}" if (terms := self._terms(pl_module)) else "",
            )

    def _terms(self, model: TranslationModel) -> str:
        latest = self.metric_logging.latest
        return " ".join(f"{name.split('/')[-1]} {latest[name]:.3f}" for name in model.progress_terms if name in latest)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration(seconds: float) -> str:
    """Format seconds as 1:02:03, or 2:03 below an hour.

    >>> duration(3723.4), duration(123.0)
    ('1:02:03', '2:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
