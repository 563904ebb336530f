"""Loggers beside metrics.jsonl: built from the configuration, fed with terms, scores, images and hyperparameters.

Any logger of Lightning will do. A run does not need its loggers: one that fails is left out, with a warning.
"""

import inspect
import logging
import math
import secrets
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger

from translate.config.schema import RunConfig, to_mapping
from translate.errors import UserError
from translate.files.writing import atomic_write
from translate.metrics.protocols import Scores
from translate.registry.trust import import_subclass
from translate.runs.folder import RunFolder

log = logging.getLogger("translate")

ImageWriter = Callable[[str, np.ndarray, int], object]
"""A function of the name, pixels (H, W, 3) uint8 and iteration of an image."""

MAX_NAME = 128  # characters of the name of a W&B run


def first_line(error: Exception) -> str:
    """Return the first line of the text of a third-party error, or the name of its class."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def image_writer(logger: Logger) -> ImageWriter | None:
    """Return a function that writes images to a logger, None for a logger without images.

    The first interface that the logger has is used: ``log_image`` of the logger (W&B), ``add_image`` of its experiment
    (TensorBoard), ``log_image`` of its experiment, with the logger's ``run_id`` (MLflow) or without (Comet).
    """
    experiment = getattr(logger, "experiment", None)
    if (own := getattr(logger, "log_image", None)) is not None:
        return lambda name, pixels, iteration: own(name, [pixels], step=iteration)
    if (add := getattr(experiment, "add_image", None)) is not None:
        return lambda name, pixels, iteration: add(name, pixels, iteration, dataformats="HWC")
    if (log_image := getattr(experiment, "log_image", None)) is None:
        return None
    if (run_id := getattr(logger, "run_id", None)) is not None:
        return lambda name, pixels, iteration: log_image(run_id, pixels, key=name, step=iteration)
    return lambda name, pixels, iteration: log_image(pixels, name=name, step=iteration)


class FaultTolerantLogger(Logger):
    """A logger that may fail: the first failure is a warning, and later calls do nothing. The run goes on.

    ``finalize`` of Lightning, at the end of the training loop, only saves, since scores are logged afterwards. `close`
    finalizes the logger.
    """

    def __init__(self, logger: Logger) -> None:
        """Take the logger that does the work."""
        super().__init__()
        self.logger: Logger | None = logger
        self.kind = type(logger).__name__
        self._status = "success"
        self._write_image: ImageWriter | None = None
        self._knows_images = False

    def _call(self, function: Callable[[Logger], Any]) -> Any:
        """Return the result of a function of the logger; None from the first failure on."""
        if self.logger is None:
            return None
        try:
            return function(self.logger)
        except Exception as error:  # third-party code can raise anything
            self.logger = None
            reason = first_line(error)
            log.warning("%s failed and is left out from here on (%s); metrics.jsonl has every term", self.kind, reason)
            return None

    @property
    def name(self) -> str | None:
        """Return the logger's name of the experiment."""
        name: str | None = self._call(lambda logger: logger.name)
        return name

    @property
    def version(self) -> int | str | None:
        """Return the logger's version of the experiment."""
        version: int | str | None = self._call(lambda logger: logger.version)
        return version

    @property
    def save_dir(self) -> str | None:
        """Return the folder to which the logger writes."""
        folder: str | None = self._call(lambda logger: logger.save_dir)
        return folder

    @property
    def experiment(self) -> Any:
        """Return the object through which the logger writes, opened at the first call."""
        return self._call(lambda logger: getattr(logger, "experiment", None))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log terms or scores."""
        self._call(lambda logger: logger.log_metrics(dict(metrics), step=step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log hyperparameters."""
        self._call(lambda logger: logger.log_hyperparams(params, *args, **kwargs))

    def log_image(self, name: str, pixels: np.ndarray, iteration: int) -> None:
        """Log an image (H, W, 3) uint8; a logger without images says so once."""

        def write(logger: Logger) -> None:
            if not self._knows_images:
                self._write_image, self._knows_images = image_writer(logger), True
                if self._write_image is None:
                    log.info("%s takes no images; they are in the run folder's samples/", self.kind)
            if self._write_image is not None:
                self._write_image(name, pixels, iteration)

        self._call(write)

    def save(self) -> None:
        """Let the logger write what it holds in memory."""
        self._call(lambda logger: logger.save())

    def finalize(self, status: str) -> None:
        """Save and keep the status for `close`."""
        self._status = status
        self.save()

    def close(self) -> None:
        """Finalize the logger: the run has ended."""
        self._call(lambda logger: logger.finalize(self._status))
        self.logger = None


def log_scores(loggers: Sequence[Logger], scores: Mapping[str, Scores], iteration: int) -> None:
    """Log finite scores (protocol -> score -> value) as ``scores/<protocol>/<score>``."""
    values = {
        f"scores/{protocol}/{name}": value
        for protocol, each in scores.items()
        for name, value in each.items()
        if math.isfinite(value)
    }
    for logger in loggers if values else ():
        logger.log_metrics(values, step=iteration)


@contextmanager
def closing_loggers() -> Iterator[list[Logger]]:
    """Yield an empty list for loggers, all of which are closed at the end."""
    loggers: list[Logger] = []
    try:
        yield loggers
    finally:
        for logger in loggers:
            if isinstance(logger, FaultTolerantLogger):
                logger.close()


# --- building -----------------------------------------------------------------------------------------------


def build_loggers(config: RunConfig, folder: RunFolder | None) -> list[Logger]:
    """Return the configured loggers with the configuration as hyperparameters; only the first process has any."""
    if folder is None:
        return []
    loggers: list[Logger] = []
    for label, node in config.logger.items():
        logger = FaultTolerantLogger(_build(f"logger.{label}", node, config, folder))
        logger.log_hyperparams(to_mapping(config))
        loggers.append(logger)
    return loggers


def _build(key: str, node: Mapping[str, Any], config: RunConfig, folder: RunFolder) -> Logger:
    """Return the logger of a configuration node; UserError, below ``key``, for a class that is no logger."""
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    try:
        target = import_subclass(node["_target_"], Logger, f"{key}._target_")  # type: ignore[type-abstract]
        if target.__name__ == "WandbLogger":
            return _wandb(target, _wandb_arguments({"save_dir": str(folder), **arguments}, config, folder))
        if "save_dir" in inspect.signature(target).parameters:
            arguments = {"save_dir": str(folder), **arguments}
        return target(**arguments)
    except ModuleNotFoundError as error:
        raise UserError(str(error), key=key, fix="pip install 'translate-gan[loggers]'") from error


def _wandb(target: Callable[..., Logger], arguments: Mapping[str, Any]) -> Logger:
    """Return a W&B logger; it records offline where the server cannot be reached or refuses."""
    logger = target(**arguments)
    if arguments["offline"]:
        return logger
    import wandb

    try:
        logger.experiment  # type: ignore[attr-defined]  # noqa: B018 - the first access starts the W&B run
    except wandb.errors.Error as error:
        wandb.teardown()  # else the id of the run would be in use
        reason = first_line(error)
        log.warning("wandb: cannot record online (%s), recording offline; 'wandb sync' sends it later", reason)
        return target(**{**arguments, "offline": True})
    return logger


def _wandb_arguments(arguments: Mapping[str, Any], config: RunConfig, folder: RunFolder) -> dict[str, Any]:
    """Return the arguments of a W&B logger.

    A resumed run is the same run at W&B. Without an account it records offline. Runs are grouped by experiment, runs of
    a sweep by sweep, and named by their overrides.
    """
    kept = folder.path / "wandb_id.txt"
    if not kept.exists():
        atomic_write(kept, secrets.token_hex(4))
    offline = arguments.get("offline")
    if offline is None:
        import wandb

        offline = not wandb.api.api_key
        if offline:
            log.info("wandb: no account on this machine, recording offline; 'wandb sync' sends it later")
    return {
        **wandb_labels(config, folder),
        "resume": "allow",
        **arguments,
        "id": kept.read_text(encoding="utf-8"),
        "offline": offline,
    }


def wandb_labels(config: RunConfig, folder: RunFolder) -> dict[str, Any]:
    """Return the name, group, job type and tags of a run at W&B."""
    experiment, sweep = str(config.name or config.model.name), folder.sweep
    overrides = [word for word in folder.overrides() if word.partition("=")[0].lstrip("+") not in ("folder", "resume")]
    name = " ".join(overrides)[:MAX_NAME] if sweep is not None else ""
    return {
        "name": name or folder.path.resolve().name,
        "group": experiment if sweep is None else "/".join(sweep.resolve().parts[-2:])[-MAX_NAME:],
        "job_type": "train" if sweep is None else "sweep",
        "tags": list(dict.fromkeys([config.model.name, config.data.name, experiment])),
    }
