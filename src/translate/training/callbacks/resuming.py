"""Write down that a run goes on, after its first new iteration."""

from collections.abc import Callable

import pytorch_lightning as pl


class Resuming(pl.Callback):
    """Calls ``write_down`` once, after the first iteration and before the other callbacks.

    A resume that is refused, or that fails before, leaves the run folder as it was, so that another one can follow.
    """

    def __init__(self, write_down: Callable[[], object]) -> None:
        self._write_down: Callable[[], object] | None = write_down

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Write once."""
        if self._write_down is not None:
            self._write_down()
            self._write_down = None
