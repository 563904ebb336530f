"""Train a run from a checked configuration, and evaluate it at its end."""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # the base of SyncBatchNorm as well

from translate import signals
from translate.config.datasets import OpenDatasets
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
from translate.runs.machine import machine
from translate.runs.mirror import mirrored
from translate.training import budget, build, failures, preflight, process_settings
from translate.training import start as starts
from translate.training.callbacks.evaluating import Evaluating
from translate.training.callbacks.metric_logging import NonFiniteError
from translate.training.callbacks.resuming import Resuming
from translate.training.callbacks.sampling import Sampling
from translate.training.loggers import build_loggers, closing_loggers, log_scores

log = logging.getLogger("translate")

FAILED = 1


def train(
    config: RunConfig,
    folder: Path,
    resume_from: Path | None = None,
    overrides: Sequence[str] = (),
    datasets: OpenDatasets | None = None,
    command: Sequence[str] | None = None,
    of_length: OfLength | None = None,
    observers: Sequence[Callback] = (),
    again: str = "",
) -> int:
    """Train and evaluate; return the exit code: 0 done, 1 failed (a value is not finite), 128 + n after signal n.

    ``datasets`` are open already, or None. ``command`` are the words of the command line as they were typed.
    ``of_length`` returns the configuration of a number of iterations, for one whose budget has yet to decide.
    ``observers`` are further callbacks of this process. ``again`` is what a message about an early end advises; ""
    for the command that resumes.
    """
    began = time.monotonic()
    first = signals.is_first_process()
    setup_logging(verbose=first)
    process_settings.prepare(config.trainer)
    run = RunFolder(folder)
    if first:
        preflight.check(config, run)
    with ExitStack() as stack:
        stack.enter_context(signals.advising(lambda: failures.advice(run, again)))
        if first:
            stack.enter_context(failures.of_disk(run, again))
            stack.enter_context(run.claimed(resumes=resume_from is not None))
            if resume_from is None:
                run.begin(to_yaml(config), overrides, config.seed, command)
            else:
                stack.enter_context(run.resuming(to_yaml(config)))
            stack.enter_context(run.logging())
        of_machine = failures.of_machine(run, of_all=os.environ.get("LOCAL_RANK", "0") == "0", again=again)
        reporting = stack.enter_context(of_machine)
        mirror = stack.enter_context(mirrored(config.folder if first else None, run.path))
        loggers = stack.enter_context(closing_loggers())
        if config.iterations == UNKNOWN_LENGTH:
            assert of_length is not None, config.budget
            config = budget.fix_iterations(config, run, of_length, datasets, first, began)
        model = _model(config, resume_from)
        data = build.build_data(config, start=model.iteration, datasets=datasets)
        if first:
            preflight.check_disk(model, run)
            preflight.check_sources(config, model, data)
            if resume_from is None:
                for problem in advice.of_run(data.train, data.val):
                    log.warning("%s", problem.inside("data"))
                _note_data(run, data)
            else:
                _warn_of_other_data(run, data)
            _warn_of_zero_rates(model, config.iterations)
            _warn_of_statistics(model, config.data.batch_size)
        callbacks, stopping = build.build_callbacks(config, data, run if first else None, mirror)
        note = partial(_note_machine, config, run, model.iteration)
        if first and resume_from is not None:
            write_down = partial(_write_down, config, run, data, model.iteration)
            callbacks.insert(0, Resuming(lambda: (write_down(), note(trainer))))
        callbacks += observers
        loggers += build_loggers(config, run if first else None)
        trainer = build.build_trainer(config, callbacks, loggers)
        if first and resume_from is None:
            note(trainer)
        reporting.is_delivered = lambda: getattr(trainer.strategy, "delivered", False)
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
        if stopping.number is not None:
            way = failures.advice(run, again)
            log.info("stopped at iteration %d of %d; %s", model.iteration, config.iterations, way)
            signals.mark_said()
            return 128 + stopping.number
        signals.check()  # one may have come after the last iteration
        if first:
            model.to(trainer.strategy.root_device)  # Lightning moves it to the CPU when training ends
            if not trains:  # the run was killed after its last iteration
                _write_down(config, run, data, model.iteration)
                _catch_up(callbacks, trainer, model)
            elif data.train.may_fail:  # a procedural world cannot change
                _warn_of_changed_data(config, run)
            _evaluate(config, run, model, data, loggers)
            log.info("sample grids: %s", run.samples)
            log.info("done: %s", run)
        return 0
    return FAILED  # the failure is logged


# --- the beginning ------------------------------------------------------------------------------------------


def _model(config: RunConfig, resume_from: Path | None) -> TranslationModel:
    """Return the model, with the state of the newest checkpoint if resumed, else with the weights it starts from."""
    model = build.build_model(config)
    if resume_from is None and config.start_from is not None:
        starts.start(model, config.start_from)
    if resume_from is not None:
        checkpoint = checkpoints.newest(resume_from)
        _check_fits(config, checkpoint, model.target_domains or tuple(config.data.domains or ()))
        with checkpoints.explain_mismatch("resume"):
            checkpoints.restore(model, checkpoint)
    return model


def _write_down(config: RunConfig, run: RunFolder, data: DataModule, start: int) -> None:
    """Let the run folder tell of a resumed run, which began at the iteration ``start``."""
    run.rewind(start)
    run.continue_as(to_yaml(config))
    _note_data(run, data)


def _note_machine(config: RunConfig, run: RunFolder, start: int, trainer: Trainer) -> None:
    """Record on which kind of machine the run trains from the iteration ``start`` on."""
    run.note_machine(start, machine(trainer.strategy.root_device, build.count_processes(config.trainer)))


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


def _warn_of_other_data(run: RunFolder, data: DataModule) -> None:
    """Warn if the data of a resumed run has changed."""
    for change in run.data_changes({"train": data.train, "val": data.val}):
        log.warning("resume: %s; the run continues and will not equal an uninterrupted one", change)


def _note_data(run: RunFolder, data: DataModule) -> None:
    """Record the data of a run."""
    run.note_data({"train": data.train, "val": data.val})


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


def _warn_of_statistics(model: TranslationModel, batch_size: int) -> None:
    """Warn of batch norms that learn from several images and translate by the statistics of one."""
    if batch_size == 1 or getattr(model, "statistics", None) != "image":
        return
    roles = model.inference.roles if model.inference else ()
    if any(isinstance(part, BatchNorm) for role in roles for part in model.network(role).modules()):
        log.warning(
            "batch norms learn from batches of %d and translate by the statistics of one image, which is less exact; "
            "set model.statistics=running",
            batch_size,
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
    """Make the grids and evaluations that a signal or a kill prevented."""
    for callback in callbacks:
        if isinstance(callback, Sampling | Evaluating):
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
        log.info("%s", results.table(result))
        log_scores(loggers, {protocol: result.scores}, model.iteration)
        result.require_stored()
