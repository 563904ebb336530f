"""Write sample grids of fixed held-out images during training."""

from typing import Any

import pytorch_lightning as pl
import torch

from translate.data.batches import HeldOut
from translate.data.module import DataModule
from translate.distributed.collectives import process_rank
from translate.models.base import TranslationModel
from translate.runs.folder import RunFolder
from translate.training.loggers import FaultTolerantLogger

NUM_IMAGES = 12


class Sampling(pl.Callback):
    """Write the model's sample grids every ``every`` iterations and at the end, to samples/ and the loggers."""

    def __init__(self, folder: RunFolder | None, data: DataModule, every: int, stop: int) -> None:
        self.folder, self.data, self.every, self.stop = folder, data, every, stop
        self._fixed: HeldOut | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write grids if they are due."""
        assert isinstance(pl_module, TranslationModel)
        if pl_module.iteration % self.every == 0 or pl_module.iteration == self.stop:
            self.draw(trainer, pl_module)

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
