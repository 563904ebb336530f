"""A training run from a checked configuration to its last line."""

import errno
import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning.loggers import Logger

from translate.config.schema import RESULT_NEUTRAL_KEYS, RunConfig, experiment, to_mapping, to_yaml
from translate.console import setup_logging
from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation import results
from translate.evaluation.evaluator import EvaluatedModel
from translate.evaluation.processes import SINGLE_PROCESS
from translate.metrics.protocols import PROTOCOLS
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.folder import LAST, RunFolder
from translate.training import build, cpu_process
from translate.training.callbacks.evaluating import Evaluating
from translate.training.callbacks.metric_logging import NonFiniteError
from translate.training.loggers import build_loggers, closing_loggers, log_scores

log = logging.getLogger("translate")

FAILED = 1
UNWRITABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
}
"""What the operating system says when a disk is full or broken, or when a folder is not for us to write."""

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")  # set by whoever starts several processes


def train(config: RunConfig, folder: Path, resume_from: Path | None, overrides: Sequence[str]) -> int:
    """Train, measure, and return the exit code: 0 done, 1 stopped by numbers, 128 + n by signal n."""
    first = all(int(os.environ.get(name, "0")) == 0 for name in RANKS)
    setup_logging(verbose=first)
    cpu_process.prepare(config.trainer)
    place = RunFolder(folder)
    if not first:
        return _train(config, place, resume_from, [], first=False)
    try:
        with place.claimed():
            if resume_from is None:
                place.begin(to_yaml(config), overrides, config.seed)
            with place.logging(), closing_loggers() as loggers:
                return _train(config, place, resume_from, loggers, first=True)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise UserError(_unwritable(place, error)) from error


def _unwritable(place: RunFolder, error: OSError) -> str:
    """Return what is to be done about a run that cannot write."""
    what = f"{error.filename or place.path}: {error.strerror}"
    if not place.checkpoints():
        return f"{what}; the run has no checkpoint yet: begin it anew where there is room and leave, folder=DIR"
    return f"{what}; {_kept(place)}: make room, and go on by: {_command(place)}"


def _lost_worker(place: RunFolder, error: RuntimeError) -> str:
    """Return what is to be done about a loader process that has died."""
    what = f"a process that loads data has died, most often because memory ran out ({str(error).strip()})"
    if not place.checkpoints():
        return f"{what}; the run has no checkpoint yet: give its command again, with a lower data.num_workers"
    return f"{what}; {_kept(place)}: go on by: {_command(place)}, with a lower data.num_workers if it happens again"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that there is no more memory, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _out_of_memory(place: RunFolder, error: RuntimeError) -> str:
    """Return what is to be done about a run that needs more memory than there is."""
    what = f"out of memory ({str(error).strip().splitlines()[0]})"
    less = (
        "trainer.activation_checkpointing=true, trainer.accumulate=2 or a smaller data.batch_size need less, and "
        "'python -m translate show --memory' with the same settings tells how much"
    )
    if not place.checkpoints():
        return f"{what}; the run has no checkpoint yet: {less}"
    return f"{what}; {_kept(place)}: go on by: {_command(place)}, with less memory: {less}"


def _kept(place: RunFolder) -> str:
    return f"the checkpoint of iteration {place.newest_iteration()} is whole"


def _command(place: RunFolder) -> str:
    return f"python -m translate resume={shlex.quote(str(place.path))}"


def _warn_of_rest(model: TranslationModel, until: int) -> None:
    """Say which networks will not learn any more: most likely a run is made longer whose rates have fallen."""
    if still := [role for role, rate in model.lr_schedules.items() if rate(model.iteration) == rate(until - 1) == 0]:
        log.warning(
            "no longer learning: %s, whose rates are 0 from iteration %d on; set model.optimizers.%s.lr",
            ", ".join(still),
            model.iteration,
            still[0],
        )


def _train(config: RunConfig, place: RunFolder, resume_from: Path | None, loggers: list[Logger], first: bool) -> int:
    model = build.build_model(config)
    if resume_from is not None:
        checkpoint = checkpoints.newest(resume_from)
        _check_fits(config, checkpoint)
        with checkpoints.explain_mismatch("resume"):
            checkpoints.restore(model, checkpoint)
        if first:
            place.rewind(model.iteration)
            place.continue_as(to_yaml(config))
    data = build.build_data(config, start=model.iteration)
    if first:
        if resume_from is not None:
            for change in _changes(place, data):
                log.warning("resume: %s; the run goes on with these and will not equal an uninterrupted one", change)
        place.note_data({"train": data.train, "val": data.val})
        _warn_of_rest(model, config.iterations)
    callbacks, checkpointing = build.build_callbacks(config, data, place if first else None)
    loggers += build_loggers(config, place if first else None)
    trainer = build.build_trainer(config, callbacks, loggers)
    log.info("run folder: %s", place.path)
    log.info(
        "%s, %s, %d px, batches of %d, iterations %d to %d on %s",
        config.model.name,
        _labels_in_words(data),
        config.data.image_size,
        config.data.batch_size,
        model.iteration,
        config.iterations,
        trainer.strategy.root_device,
    )
    trains = model.iteration < config.iterations
    if trains:
        build.compile_model(model, config.trainer)
        try:
            trainer.fit(model, datamodule=data)
        except NonFiniteError as error:
            if first:  # all processes have found it
                log.error("stopped: %s", error)
            return FAILED
        except RuntimeError as error:
            if is_out_of_memory(error):
                log.error("stopped: %s", _out_of_memory(place, error))
            elif str(error).startswith("DataLoader worker"):
                log.error("stopped: %s", _lost_worker(place, error))
            else:
                raise
            return FAILED
    if checkpointing.interrupted is not None:
        log.info("stopped at iteration %d of %d; go on by: %s", model.iteration, config.iterations, _command(place))
        return 128 + checkpointing.interrupted
    if first:
        model.to(trainer.strategy.root_device)  # Lightning brings it back to the CPU when training ends
        if trains:
            if data.train.may_fail:  # a procedural world stays as it is
                _look_again(config, place)
        else:  # killed when it had been trained
            for callback in callbacks:
                if isinstance(callback, Evaluating):
                    callback.catch_up(trainer, model)
        _measure(config, place, model, data, loggers)
        log.info("sample grids: %s", place.samples)
        log.info("done: %s", place.path)
    return 0


def _changes(place: RunFolder, data: DataModule) -> list[str]:
    """Return sentences on the parts of the data that are not as the run folder has noted."""
    found = []
    before = place.noted_data()
    for name, part in (("train", data.train), ("val", data.val)):
        noted = before.get(name)
        if noted is None or noted["fingerprint"] == part.fingerprint():
            continue
        count = f"{noted['images']} then, {len(part)} now" if noted["images"] != len(part) else "as many as then"
        found.append(f"the {name} images are not those that the run began with ({count}; names, sizes or times differ)")
    return found


def _look_again(config: RunConfig, place: RunFolder) -> None:
    """Warn of data that has changed while a run trained on it."""
    try:
        changes = _changes(place, build.build_data(config))
    except UserError as error:  # what was learned is not lost by it
        changes = [str(error)]
    for change in changes:
        log.warning("data: %s; the run may have seen both, and will not be repeated by its command", change)


def _labels_in_words(data: DataModule) -> str:
    """Return what a model tells apart: the labels that its view takes, else the domains."""
    if data.view != "labelled":
        return f"{len(data.domains)} domains ({', '.join(data.domains)})"
    sets = data.label_sets("train")
    return " and ".join(f"{len(labels.names)} {labels.kind} ({', '.join(labels.names)})" for labels in sets)


def _measure(
    config: RunConfig, place: RunFolder, model: TranslationModel, data: DataModule, loggers: Sequence[Logger]
) -> None:
    """Evaluate the model at the end of the run by the configured metrics, in this process alone; log the scores."""
    if not config.metrics:
        return
    evaluator = build.build_evaluator(config, data, model.device, SINGLE_PROCESS)
    evaluated = EvaluatedModel(model, LAST, place.path, untrained=lambda: build.build_model(config))
    for protocol in evaluator.protocols:
        log.info("evaluating, protocol %s: %s", protocol, PROTOCOLS[protocol].about)
        result = evaluator.evaluate(protocol, evaluated)
        assert result is not None  # nothing stops it
        log.info("%s", results.table(result))
        log_scores(loggers, {protocol: result.scores}, model.iteration)


def _check_fits(config: RunConfig, checkpoint: checkpoints.Checkpoint) -> None:
    if list(checkpoint.domains) != list(config.data.domains or []):
        raise UserError(
            f"resume: the checkpoint knows the domains {list(checkpoint.domains)}, the data has "
            f"{config.data.domains}; resume on the data that the run began with"
        )
    if checkpoint.iteration > config.iterations:
        raise UserError(
            f"resume: the checkpoint is of iteration {checkpoint.iteration}, past iterations="
            f"{config.iterations}; ask for more iterations"
        )
    before, now = (
        experiment(tree, RESULT_NEUTRAL_KEYS | {"iterations"}) for tree in (checkpoint.config, to_mapping(config))
    )
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            log.warning(
                "resume: %s was %s and is now %s; the run will not equal an uninterrupted one",
                key,
                before.get(key),
                now.get(key),
            )
