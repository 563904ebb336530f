"""Write sample grids of fixed held-out images during training."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from translate import signals
from translate.data.batches import HeldOut
from translate.data.flaws import KINDS, common_flaw
from translate.data.module import DataModule
from translate.distributed.collectives import process_rank
from translate.inference.grids import Grid
from translate.models.base import TranslationModel
from translate.runs.folder import RunFolder
from translate.training.callbacks.stopping import Stopping
from translate.training.loggers import FaultTolerantLogger

log = logging.getLogger("translate")

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


def _pixels(image: Tensor) -> np.ndarray:
    """Return an image (3, H, W) in [-1, 1] as (H, W, 3) with values from 0 to 255; what is not finite is 0."""
    pixels: np.ndarray = (image.detach().float().cpu().clamp(-1, 1).nan_to_num(-1.0) + 1).mul(127.5).numpy()
    return pixels.transpose(1, 2, 0)


class Sampling(pl.Callback):
    """Write the model's sample grids when they are due, at the end and when a signal ends the run.

    They go to samples/ and the loggers. A run that is killed between grids and checkpoint writes the same grids again,
    so at intervals the grids come first. After a signal the checkpoint comes first, and the grids as far as there is
    time; a resumed run draws those that are missing.
    """

    def __init__(self, folder: RunFolder | None, data: DataModule, every: Every, stop: int, stopping: Stopping) -> None:
        self.folder, self.data, self.every, self.stop, self.stopping = folder, data, every, stop, stopping
        self._fixed: HeldOut | None = None
        self._flaws: set[str] = set()  # kinds that a warning has named
        self._drawn: int | None = None  # the iteration of the newest grids

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the grids for which a signal has left no time."""
        assert isinstance(pl_module, TranslationModel)
        self.catch_up(trainer, pl_module)

    def catch_up(self, trainer: pl.Trainer, model: TranslationModel) -> None:
        """Write the grids of a resumed run's checkpoint if they are due and missing."""
        if self.folder is None or not model.iteration or not self._is_due(model.iteration):
            return
        if not any(self.folder.samples.glob(f"{model.iteration:06d}_*.png")):
            self.draw(trainer, model)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write grids if they are due and no signal asks for a checkpoint first."""
        assert isinstance(pl_module, TranslationModel)
        if self._is_due(pl_module.iteration) and signals.received() is None:
            self.draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the grids of a run that a signal has ended, as far as there is time."""
        assert isinstance(pl_module, TranslationModel)
        if self.stopping.number is not None and self._drawn != pl_module.iteration:
            self.stopping.release()
            self.draw(trainer, pl_module)

    def _is_due(self, iteration: int) -> bool:
        return is_due(self.every, iteration) or iteration == self.stop

    def _warn_of_flaws(self, iteration: int, grids: Mapping[str, Grid]) -> None:
        """Warn, once for each kind of flaw, of translations that are black, of one colour or saturated."""
        assert self._fixed is not None
        real = [_pixels(image) for image in self._fixed.image]
        for name, grid in grids.items():
            images = [_pixels(image) for row in grid.rows for image in row if image is not None]
            kind, share = common_flaw(images, real)
            if kind and kind not in self._flaws:
                self._flaws.add(kind)
                log.warning(
                    "iteration %d: %.0f%% of the images in samples/%06d_%s.png are %s, and the held-out images are not",
                    *(iteration, 100 * share, iteration, name, KINDS[kind]),
                )

    def draw(self, trainer: pl.Trainer, model: TranslationModel) -> None:
        """Write grids now, in the first process."""
        if process_rank() != 0 or self.folder is None:
            return
        if self._fixed is None:
            self._fixed = self.data.held_out(NUM_IMAGES).to(model.device)
        with torch.no_grad():
            grids = model.sample_grids(self._fixed)
        self._drawn = model.iteration
        self._warn_of_flaws(model.iteration, grids)
        for name, pixels in {name: grid.pixels() for name, grid in grids.items()}.items():
            self.folder.save_image(f"{model.iteration:06d}_{name}", pixels)
            for logger in trainer.loggers:
                if isinstance(logger, FaultTolerantLogger):
                    logger.log_image(f"samples/{name}", pixels, model.iteration)
