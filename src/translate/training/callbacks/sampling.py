"""Write sample grids of fixed held-out images during training."""

from typing import Any, Literal

import pytorch_lightning as pl
import torch

from translate.data.batches import HeldOut
from translate.data.module import DataModule
from translate.distributed.collectives import process_rank
from translate.models.base import TranslationModel
from translate.runs.folder import RunFolder
from translate.training.callbacks.checkpointing import Checkpointing
from translate.training.loggers import FaultTolerantLogger

NUM_IMAGES = 12
FIRST = 8  # the iteration of the first grids of the schedule "doubling"

Every = int | Literal["doubling"]
"""The iterations of sample grids: every so many, or 8, 16, 32, 64 and so on."""


def is_due(every: Every, iteration: int) -> bool:
    """Return whether grids are written after an iteration, beside those at the end of the run.

    >>> [iteration for iteration in range(1, 70) if is_due("doubling", iteration)]
    [8, 16, 32, 64]
    """
    if every == "doubling":
        return iteration >= FIRST and iteration & (iteration - 1) == 0
    return iteration % every == 0


def sample_count(every: Every, length: int) -> int:
    """Return how often a run of ``length`` iterations writes grids.

    >>> sample_count("doubling", 70), sample_count(10, 70)
    (5, 7)
    """
    if every == "doubling":
        return sum(is_due(every, 1 << power) for power in range(length.bit_length())) + (not is_due(every, length))
    return -(-length // every)


class Sampling(pl.Callback):
    """Write the model's sample grids when they are due, at the end and when a signal ends the run.

    They go to samples/ and the loggers. ``checkpointing`` knows of signals, after which the checkpoint comes first. A
    run that is killed between grids and checkpoint writes the same grids again, so at intervals the grids come first.
    """

    def __init__(
        self, folder: RunFolder | None, data: DataModule, every: Every, stop: int, checkpointing: Checkpointing
    ) -> None:
        self.folder, self.data, self.every, self.stop, self.checkpointing = folder, data, every, stop, checkpointing
        self._fixed: HeldOut | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write grids if they are due."""
        assert isinstance(pl_module, TranslationModel)
        if self._is_due(pl_module.iteration):
            self.draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the grids of a run that a signal has ended."""
        assert isinstance(pl_module, TranslationModel)
        if self.checkpointing.interrupted is not None and not self._is_due(pl_module.iteration):
            self.draw(trainer, pl_module)

    def _is_due(self, iteration: int) -> bool:
        return is_due(self.every, iteration) or iteration == self.stop

    def draw(self, trainer: pl.Trainer, model: TranslationModel) -> None:
        """Write grids now, in the first process."""
        if process_rank() != 0 or self.folder is None:
            return
        if self._fixed is None:
            self._fixed = self.data.held_out(NUM_IMAGES).to(model.device)
        with torch.no_grad():
            grids = model.sample_grids(self._fixed)
        for name, grid in grids.items():
            pixels = grid.pixels()
            self.folder.save_image(f"{model.iteration:06d}_{name}", pixels)
            for logger in trainer.loggers:
                if isinstance(logger, FaultTolerantLogger):
                    logger.log_image(f"samples/{name}", pixels, model.iteration)
