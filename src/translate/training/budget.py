"""Convert a budget of time to a number of iterations: measure the speed once, before the run begins.

A model that is thrown away trains for some seconds on the data of the run, in all its processes. Sample grids, a
checkpoint and the evaluation are timed too. The number of iterations is then fixed: it is written to config.yaml, and
the run equals one with ``iterations=N`` to the bit. A resumed run keeps the number.
"""

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch

from translate import signals
from translate.acceleration import captured_updates
from translate.config.datasets import OpenDatasets
from translate.config.length import OfLength, seconds_of
from translate.config.schema import RunConfig, to_yaml
from translate.data.module import DataModule
from translate.distributed.collectives import all_gather_object, any_rank
from translate.evaluation.cost import evaluation_seconds
from translate.evaluation.processes import SINGLE_PROCESS
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build
from translate.training.callbacks.progress import duration
from translate.training.callbacks.sampling import NUM_IMAGES, sample_count
from translate.training.callbacks.stopping import Stopping

log = logging.getLogger("translate")

WARM_UP = 2  # iterations that are not timed: the first ones allocate memory and choose algorithms
CAPTURED = captured_updates.WARM_UP + 1  # more of them on a GPU, where iterations may be captured as graphs
FEWEST = 3  # timed iterations
FRACTION, LONGEST = 0.02, 10.0  # of the budget, in seconds: how long iterations are timed
LIMIT = 10**6  # iterations of the trial, which ends long before
EVALUATION_FRACTION = 0.25  # of the budget; more is warned of


@dataclass(frozen=True)
class Costs:
    """The seconds of the parts of a run."""

    iteration: float
    grids: float  # of one iteration
    checkpoint: float
    evaluation: float  # by all metrics

    def beside_training(self, config: RunConfig) -> float:
        """Return the seconds of all that a run with a number of iterations does beside training."""
        length = config.iterations
        grids = 0 if config.sample_every is None else sample_count(config.sample_every, length)
        checkpoints = -(-length // config.checkpoint_every)
        evaluations = 1 + (0 if config.evaluate_every is None else length // config.evaluate_every)
        return grids * self.grids + checkpoints * self.checkpoint + evaluations * self.evaluation


class Stopwatch(pl.Callback):
    """Time iterations after the warm-up, for some seconds; then, or after a signal, stop all in the same iteration."""

    def __init__(self, seconds: float, stopping: Stopping) -> None:
        self.seconds, self.stopping = seconds, stopping
        self.per_iteration = 0.0
        self._began = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time; end the trial if it has lasted long enough."""
        assert isinstance(pl_module, TranslationModel)
        warm_up = WARM_UP
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
            warm_up += CAPTURED
        if self.stopping.is_asked(trainer):
            return
        now, timed = time.monotonic(), pl_module.iteration - warm_up
        if timed <= 0:
            self._began = now
            return
        self.per_iteration = (now - self._began) / timed
        if any_rank(timed >= FEWEST and now - self._began >= self.seconds):
            trainer.should_stop = True


def fix_iterations(
    config: RunConfig,
    run: RunFolder,
    of_length: OfLength,
    datasets: OpenDatasets | None,
    is_first: bool,
    began: float,
) -> RunConfig:
    """Return the configuration with the number of iterations that fits into what is left of its budget.

    ``of_length`` returns the configuration of a number. ``began`` is when the budget began, by `time.monotonic`. Every
    process of the run must call this; rank 0 decides and writes the configuration into the run folder.
    """
    assert config.budget is not None
    seconds = seconds_of(config.budget)
    log.info("budget %s: measuring the speed", config.budget)
    costs = measure(config, run, datasets, is_first, min(LONGEST, FRACTION * seconds))
    number = None
    if costs is not None:
        number = number_of(seconds - (time.monotonic() - began), costs, of_length)
        fixed = replace(of_length(number), folder=config.folder)
        run.continue_as(to_yaml(fixed))
        _announce(fixed, costs, seconds)
    number = next(each for each in all_gather_object(number) if each is not None)
    return replace(of_length(number), folder=config.folder)


def number_of(seconds: float, costs: Costs, of_length: Callable[[int], RunConfig]) -> int:
    """Return the number of iterations of a run that lasts about some seconds, at least 1."""
    number = max(1, int(seconds / costs.iteration))
    for _ in range(3):  # intervals may be shares of the length, and the number of grids depends on it
        number = max(1, int((seconds - costs.beside_training(of_length(number))) / costs.iteration))
    return number


def measure(
    config: RunConfig, run: RunFolder, datasets: OpenDatasets | None, is_first: bool, seconds: float
) -> Costs | None:
    """Return the costs of a run, by a trial of about some seconds; None in a further process.

    Every process of the run must call this. `Interrupted` after a signal to any of them.
    """
    trial = replace(config, iterations=LIMIT)
    model = build.build_model(trial)
    build.compile_model(model, trial.trainer)
    data = build.build_data(trial, datasets=datasets)
    stopping = Stopping("ending the measurement of the speed")
    stopwatch = Stopwatch(seconds, stopping)
    trainer = build.build_trainer(trial, [stopping, stopwatch], [])
    trainer.fit(model, datamodule=data)
    if stopping.number is not None:
        raise signals.Interrupted(stopping.number)
    if not is_first:
        return None
    model.to(trainer.strategy.root_device)  # Lightning moves it to the CPU when training ends
    evaluation = 0.0
    if config.metrics:
        evaluator = build.build_evaluator(config, data, model.device, SINGLE_PROCESS)
        evaluation = evaluation_seconds(evaluator, model)
    with tempfile.TemporaryDirectory(dir=run.path) as folder:
        trial_run = RunFolder(folder)
        grids = _seconds_of_grids(model, data, trial_run)
        began = time.monotonic()
        checkpoints.write(checkpoints.capture(model, (), {}), trial_run.checkpoint(model.iteration))
        return Costs(stopwatch.per_iteration, grids, time.monotonic() - began, evaluation)


def _seconds_of_grids(model: TranslationModel, data: DataModule, run: RunFolder) -> float:
    """Return the seconds in which the sample grids of an iteration are made and written."""
    held_out = data.held_out(NUM_IMAGES).to(model.device)
    began = time.monotonic()
    with torch.no_grad():
        grids = model.sample_grids(held_out)
    for name, grid in grids.items():
        run.save_image(name, grid.pixels())
    return time.monotonic() - began


def _announce(config: RunConfig, costs: Costs, seconds: float) -> None:
    """Log the number of iterations and what it follows from; warn if much of the budget is not for training."""
    log.info(
        "budget %s: %d iterations of %.3g s, and about %s beside training",
        config.budget,
        config.iterations,
        costs.iteration,
        duration(costs.beside_training(config)),
    )
    if costs.evaluation > EVALUATION_FRACTION * seconds:
        log.warning(
            "budget: the evaluation at the end takes about %s of %s; metrics=none leaves it out",
            duration(costs.evaluation),
            config.budget,
        )
