"""Loggers that training can do without."""

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

log = logging.getLogger("translate")


class FaultTolerantLogger(Logger):
    """A logger that may fail: a warning names it then, and from then on it is told nothing. The run goes on."""

    def __init__(self, logger: Logger) -> None:
        """Take the logger that does the work."""
        super().__init__()
        self.logger: Logger | None = logger
        self.kind = type(logger).__name__

    def _ask(self, ask: Callable[[Logger], Any]) -> Any:
        """Return what the logger answers; None from its first failure on."""
        if self.logger is None:
            return None
        try:
            return ask(self.logger)
        except Exception as error:  # whatever a third party's code can raise
            self.logger = None
            said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            log.warning("%s failed and is left out from here on (%s); metrics.jsonl has every term", self.kind, said)
            return None

    @property
    def name(self) -> str | None:
        """Return the logger's own name of what it records."""
        found: str | None = self._ask(lambda logger: logger.name)
        return found

    @property
    def version(self) -> int | str | None:
        """Return the logger's own number of it."""
        found: int | str | None = self._ask(lambda logger: logger.version)
        return found

    @property
    def save_dir(self) -> str | None:
        """Return where it writes."""
        found: str | None = self._ask(lambda logger: logger.save_dir)
        return found

    @property
    def experiment(self) -> Any:
        """Return what the logger writes through, opened at the first call."""
        return self._ask(lambda logger: getattr(logger, "experiment", None))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Tell it terms or figures."""
        self._ask(lambda logger: logger.log_metrics(dict(metrics), step=step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Tell it settings, as Lightning does."""
        self._ask(lambda logger: logger.log_hyperparams(params, *args, **kwargs))

    def log_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Show it a picture (H, W, 3) uint8, if it is of a kind that takes any."""

        def show(logger: Logger) -> None:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, pixels, step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(name, [pixels], step=step)

        self._ask(show)

    def save(self) -> None:
        """Let it write what it holds."""
        self._ask(lambda logger: logger.save())

    def finalize(self, status: str) -> None:
        """Tell it that the run has ended."""
        self._ask(lambda logger: logger.finalize(status))
