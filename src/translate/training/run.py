"""Train a run from a checked configuration, and evaluate it at its end."""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger

from translate.config.compose import OpenDatasets
from translate.config.length import UNKNOWN_LENGTH, OfLength
from translate.config.schema import RESULT_NEUTRAL_KEYS, RunConfig, experiment_key, to_mapping, to_yaml
from translate.console import setup_logging
from translate.data import advice
from translate.data.module import DataModule
from translate.data.views.base import takes_labels
from translate.errors import Phrase, UserError
from translate.evaluation import results
from translate.evaluation.evaluator import EvaluatedModel
from translate.evaluation.processes import SINGLE_PROCESS
from translate.metrics.protocols import PROTOCOLS
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.folder import LAST, RunFolder
from translate.training import budget, build, cpu_process, failures
from translate.training import start as starts
from translate.training.callbacks.evaluating import Evaluating
from translate.training.callbacks.metric_logging import NonFiniteError
from translate.training.loggers import build_loggers, closing_loggers, log_scores

log = logging.getLogger("translate")

FAILED = 1

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")  # set by the starter of several processes


def train(
    config: RunConfig,
    folder: Path,
    resume_from: Path | None = None,
    overrides: Sequence[str] = (),
    datasets: OpenDatasets | None = None,
    command: Sequence[str] | None = None,
    of_length: OfLength | None = None,
) -> int:
    """Train and evaluate; return the exit code: 0 done, 1 failed (a value is not finite), 128 + n after signal n.

    ``datasets`` are open already, or None. ``command`` are the words of the command line as they were typed.
    ``of_length`` returns the configuration of a number of iterations, for one whose budget has yet to decide.
    """
    began = time.monotonic()
    first = all(int(os.environ.get(name, "0")) == 0 for name in RANKS)
    setup_logging(verbose=first)
    cpu_process.prepare(config.trainer)
    run = RunFolder(folder)
    with ExitStack() as stack:
        if first:
            stack.enter_context(failures.of_disk(run))
            stack.enter_context(run.claimed())
            if resume_from is None:
                run.begin(to_yaml(config), overrides, config.seed, command)
            stack.enter_context(run.logging())
        loggers = stack.enter_context(closing_loggers())
        if config.iterations == UNKNOWN_LENGTH:
            assert of_length is not None, config.budget
            try:
                config = budget.fix_iterations(config, run, of_length, datasets, first, began)
            except budget.TrialInterrupted as interrupt:
                log.info("stopped while the speed was measured; give the command again")
                return 128 + interrupt.number
            except RuntimeError as error:
                return _failed(error, run)
        model = _model(config, run, resume_from, first)
        data = build.build_data(config, start=model.iteration, datasets=datasets)
        if first:
            if resume_from is None:
                for problem in advice.warnings(data.train):
                    log.warning("%s", problem.inside("data"))
            _note_data(run, data, resumed=resume_from is not None)
            _warn_of_zero_rates(model, config.iterations)
        callbacks, checkpointing = build.build_callbacks(config, data, run if first else None)
        loggers += build_loggers(config, run if first else None)
        trainer = build.build_trainer(config, callbacks, loggers)
        _announce(config, run, model, data, trainer)
        trains = model.iteration < config.iterations
        if trains:
            build.compile_model(model, config.trainer)
            try:
                trainer.fit(model, datamodule=data)
            except NonFiniteError as error:
                if first:  # all processes raise it
                    log.error("stopped: %s", error)
                return FAILED
            except RuntimeError as error:
                return _failed(error, run)
        if checkpointing.interrupted is not None:
            reached, command_line = model.iteration, failures.resume_command(run)
            log.info("stopped at iteration %d of %d; continue by: %s", reached, config.iterations, command_line)
            return 128 + checkpointing.interrupted
        if first:
            model.to(trainer.strategy.root_device)  # Lightning moves it to the CPU when training ends
            if not trains:  # the run was killed after its last iteration
                _catch_up(callbacks, trainer, model)
            elif data.train.may_fail:  # a procedural world cannot change
                _warn_of_changed_data(config, run)
            _evaluate(config, run, model, data, loggers)
            log.info("sample grids: %s", run.samples)
            log.info("done: %s", run)
    return 0


def _failed(error: RuntimeError, run: RunFolder) -> int:
    """Log why a run without memory or with a dead loader process has stopped; raise any other error."""
    problem = failures.of_memory_or_worker(error, run)
    if problem is None:
        raise error
    log.error("stopped: %s", problem)
    return FAILED


# --- the beginning ------------------------------------------------------------------------------------------


def _model(config: RunConfig, run: RunFolder, resume_from: Path | None, first: bool) -> TranslationModel:
    """Return the model, with the state of the newest checkpoint if resumed, else with the weights it starts from."""
    model = build.build_model(config)
    if resume_from is None and config.start_from is not None:
        starts.start(model, config.start_from)
    if resume_from is not None:
        checkpoint = checkpoints.newest(resume_from)
        _check_fits(config, checkpoint, model.target_domains or tuple(config.data.domains or ()))
        with checkpoints.explain_mismatch("resume"):
            checkpoints.restore(model, checkpoint)
        if first:
            run.rewind(model.iteration)
            run.continue_as(to_yaml(config))
    return model


def _check_fits(config: RunConfig, checkpoint: checkpoints.Checkpoint, domains: tuple[str, ...]) -> None:
    """Raise UserError if a checkpoint is of other domains or past the end; warn of keys that change the result."""
    if checkpoint.domains != domains:
        raise UserError(
            "the data has other domains than the checkpoint",
            key="resume",
            found=list(domains),
            expected=", ".join(checkpoint.domains),
            fix="resume on the data that the run began with",
        )
    if checkpoint.iteration > config.iterations:
        raise UserError(
            "the checkpoint is past the end of the run",
            key="resume",
            found=Phrase(f"iteration {checkpoint.iteration}"),
            expected=f"at most iterations={config.iterations}",
            fix="set more iterations",
        )
    neutral = RESULT_NEUTRAL_KEYS | {"iterations"}
    before, now = (experiment_key(tree, neutral) for tree in (checkpoint.config, to_mapping(config)))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            message = "resume: %s was %s and is now %s; the run will not equal an uninterrupted one"
            log.warning(message, key, before.get(key), now.get(key))


def _note_data(run: RunFolder, data: DataModule, resumed: bool) -> None:
    """Record the data of a run; warn if that of a resumed run has changed."""
    splits = {"train": data.train, "val": data.val}
    for change in run.data_changes(splits) if resumed else ():
        log.warning("resume: %s; the run continues and will not equal an uninterrupted one", change)
    run.note_data(splits)


def _warn_of_zero_rates(model: TranslationModel, stop: int) -> None:
    """Warn of networks that will not learn any more: most likely a finished schedule in a prolonged run."""
    schedules = model.lr_schedules.items()
    if frozen := [role for role, rate in schedules if rate(model.iteration) == rate(stop - 1) == 0]:
        log.warning(
            "no longer learning: %s, whose learning rates are 0 from iteration %d on; set model.optimizers.%s.lr",
            ", ".join(frozen),
            model.iteration,
            frozen[0],
        )


def _announce(config: RunConfig, run: RunFolder, model: TranslationModel, data: DataModule, trainer: Trainer) -> None:
    """Log what is trained, on what data, how long and where."""
    log.info("run folder: %s", run)
    log.info(
        "%s, %s, %s px, batches of %d, iterations %d to %d on %s",
        config.model.name,
        _labels_in_words(data),
        data.image_size,
        config.data.batch_size,
        model.iteration,
        config.iterations,
        trainer.strategy.root_device,
    )


def _labels_in_words(data: DataModule) -> str:
    """Return the labels that the view uses, else the domains."""
    if not takes_labels(data.view):
        return f"{len(data.domains)} domains ({', '.join(data.domains)})" if data.domains else "images without domains"
    sets = data.label_sets("train")
    return " and ".join(f"{len(labels.names)} {labels.kind} ({', '.join(labels.names)})" for labels in sets)


# --- the end ------------------------------------------------------------------------------------------------


def _catch_up(callbacks: Sequence[Callback], trainer: Trainer, model: TranslationModel) -> None:
    """Make the evaluations that a kill prevented."""
    for callback in callbacks:
        if isinstance(callback, Evaluating):
            callback.catch_up(trainer, model)


def _warn_of_changed_data(config: RunConfig, run: RunFolder) -> None:
    """Open the data again; warn if it has changed while the run trained on it."""
    try:
        data = build.build_data(config)
        changes = run.data_changes({"train": data.train, "val": data.val})
    except UserError as error:  # the trained model is not lost because of it
        changes = [str(error)]
    for change in changes:
        log.warning("data: %s; the run may have used both, and its command will not repeat it", change)


def _evaluate(
    config: RunConfig, run: RunFolder, model: TranslationModel, data: DataModule, loggers: Sequence[Logger]
) -> None:
    """Evaluate the model by the configured metrics, in this process alone; log the scores."""
    if not config.metrics:
        return
    evaluator = build.build_evaluator(config, data, model.device, SINGLE_PROCESS)
    evaluated = EvaluatedModel(model, LAST, run.path, untrained=lambda: build.build_model(config))
    for protocol in evaluator.protocols:
        log.info("evaluating, protocol %s: %s", protocol, PROTOCOLS[protocol].about)
        result = evaluator.evaluate(protocol, evaluated)
        assert result is not None  # nothing stops it
        log.info("%s", results.table(result))
        log_scores(loggers, {protocol: result.scores}, model.iteration)
