"""From a checked configuration to objects: the only place where names become things."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer

from translate.acceleration.activation_checkpointing import checkpoint_activations
from translate.acceleration.captured_updates import CapturedSteps
from translate.acceleration.compile import compile_networks
from translate.acceleration.compiled_penalties import CompiledInputGradients
from translate.acceleration.cpu_convolutions import use_fast_convolutions
from translate.acceleration.fused_norms import use_fused_norms
from translate.acceleration.offloading import State, enter, offload_domains
from translate.config.datasets import OpenDatasets
from translate.config.schema import RunConfig, TrainerConfig, to_mapping
from translate.data.module import DataModule
from translate.distributed.batch_norm import synchronize
from translate.distributed.ddp import ExplicitDDP
from translate.errors import UserError, errors_inside, first_line
from translate.evaluation.evaluator import Evaluator
from translate.evaluation.pretrained import find_all
from translate.evaluation.processes import Processes, all_processes
from translate.evaluation.specs import metric_specs
from translate.metrics import selection
from translate.metrics.weights import read_tensors
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.networks.layers.pretrained import Pretrained
from translate.registry.registry import DATASETS, LOSSES, MODELS, NETWORKS
from translate.registry.trust import import_subclass
from translate.runs.folder import RunFolder
from translate.runs.mirror import Mirror
from translate.schedules import Schedule, parse
from translate.training import failures
from translate.training.callbacks.checkpointing import Checkpointing
from translate.training.callbacks.evaluating import Evaluating
from translate.training.callbacks.health import Health
from translate.training.callbacks.metric_logging import MetricLogging
from translate.training.callbacks.progress import Progress
from translate.training.callbacks.sampling import Sampling
from translate.training.callbacks.stopping import Stopping
from translate.weights import pretrained

log = logging.getLogger("translate")


def _build_optimizer(parameters: Iterable[nn.Parameter], key: str, path: str, settings: Mapping[str, Any]) -> Optimizer:
    """Return an optimizer of the class at an import path, which is imported only now: evaluation needs none."""
    cls = import_subclass(path, Optimizer, f"{key}._target_")
    try:
        return cls(parameters, **settings)
    except (TypeError, ValueError) as error:  # of settings that only the optimizer knows
        raise UserError(f"{cls.__name__} does not take these settings ({first_line(error)})", key=key) from error


def _named(registry: Any, node: Mapping[str, Any]) -> Any:
    """Return the registered thing that a node names: a class built with the node's arguments, or a function."""
    thing = registry.get(node["name"])
    arguments = {key: value for key, value in node.items() if key != "name"}
    return thing(**arguments) if isinstance(thing, type) else partial(thing, **arguments) if arguments else thing


def build_model(config: RunConfig) -> TranslationModel:
    """Return the model, its networks initialised from the seed."""
    torch.manual_seed(config.seed)
    node = config.model
    networks: dict[str, nn.Module] = {}
    for role, arguments in node.networks.items():
        with errors_inside(f"model.networks.{role}"):
            network = _named(NETWORKS, arguments)
            if isinstance(network, Pretrained):
                pretrained.load(network)
        _share_statistics(role, network, config.trainer)
        networks[role] = network
    optimizers: dict[str, Callable[..., Any]] = {}
    rates: dict[str, Schedule] = {}
    for role, arguments in node.optimizers.items():
        settings = {key: value for key, value in arguments.items() if key != "_target_"}
        if isinstance(settings.get("lr"), Mapping):
            rates[role] = parse(settings["lr"])
            settings["lr"] = rates[role](0)
        key = f"model.optimizers.{role}"
        optimizers[role] = partial(_build_optimizer, key=key, path=arguments["_target_"], settings=settings)
    losses = {slot: _named(LOSSES, arguments) for slot, arguments in node.losses.items()}
    with errors_inside("model"):
        model: TranslationModel = MODELS.get(node.name)(
            networks=networks,
            optimizers=optimizers,
            losses=losses,
            weights=node.weights,
            seed=config.seed,
            **node.arguments,
        )
    model.lr_schedules = rates
    model.num_microbatches = config.trainer.accumulate
    if uses_channels_last(config.trainer):
        model.to(memory_format=torch.channels_last)
    if config.trainer.convolutions == "fast" and not trains_on_gpu(config.trainer):
        use_fast_convolutions(model)
    if config.trainer.fused_norms:
        use_fused_norms(model)
    if config.trainer.activation_checkpointing:
        for role in model.trained:
            checkpoint_activations(model.network(role), key="trainer.activation_checkpointing")
    if config.trainer.offload_domains:
        _offload_domains(model)
    return model


def _offload_domains(model: TranslationModel) -> None:
    def state(role: str) -> State:
        return lambda parameter: model.optimizer(role).state.get(parameter, {}) if role in model.trained else {}

    with errors_inside("trainer"):
        offload_domains({role: model.network(role) for role in model.roles}, dict(model.ema.networks.items()), state)
    model.ema.before_update = enter


def trains_on_gpu(trainer: TrainerConfig) -> bool:
    """Return whether a run uses GPUs, on this machine if it may choose."""
    return trainer.accelerator in ("gpu", "cuda") or (trainer.accelerator == "auto" and torch.cuda.is_available())


def uses_channels_last(trainer: TrainerConfig) -> bool:
    """Return whether the channels of a pixel are adjacent in memory: as configured, else as the device is faster."""
    if trainer.channels_last is not None:
        return trainer.channels_last
    return trains_on_gpu(trainer) or torch.backends.cpu.get_cpu_capability() != "AVX2"


def _excludes_graphs(trainer: TrainerConfig) -> bool:
    """Return whether graphs that nobody asked for would meet a setting that excludes them, or that nobody has tried."""
    return trainer.compile or trainer.activation_checkpointing or trainer.offload_domains


def compile_model(model: TranslationModel, trainer: TrainerConfig) -> None:
    """Compile the networks and penalties of a model that is about to train, if the trainer is configured so.

    Likewise let its iterations be captured, which happens later: the model is on its device when training has begun.
    """
    if trainer.compile:
        networks = [model.network(role) for role in model.roles]
        twice = [model.network(role) for role in model.double_backward_roles if role in model.roles]
        compile_networks(networks, twice)
        if isinstance(penalties := getattr(model, "penalties", None), Penalties):
            penalties.with_input_gradients = CompiledInputGradients()
    if trainer.graphs or (trainer.graphs is None and trains_on_gpu(trainer) and not _excludes_graphs(trainer)):
        model.captured = CapturedSteps(model, is_asked=trainer.graphs is not None)


def _share_statistics(role: str, network: nn.Module, trainer: TrainerConfig) -> None:
    """Let the batch norms of a trained network see the global batch, if it has shards; UserError where they cannot."""
    if isinstance(network, Pretrained) or (trainer.accumulate == 1 and count_processes(trainer) == 1):
        return
    with errors_inside(f"model.networks.{role}"):
        if synchronize(network) and trainer.accumulate > 1 and trainer.activation_checkpointing:
            raise UserError(
                "batch norm over microbatches cannot recompute its statistics",
                fix="set trainer.activation_checkpointing=false or trainer.accumulate=1",
            )


def build_data(config: RunConfig, start: int = 0, datasets: OpenDatasets | None = None) -> DataModule:
    """Return the data from iteration ``start`` to the end of the run. ``datasets`` are open already, or None."""
    data = config.data
    num_processes, num_microbatches = count_processes(config.trainer), config.trainer.accumulate
    if data.batch_size % (num_processes * num_microbatches):
        raise UserError(
            f"the batch does not divide among {num_processes} processes with {num_microbatches} microbatches each",
            key="data.batch_size",
            found=data.batch_size,
            expected=f"a multiple of {num_processes * num_microbatches}",
        )
    if datasets is None:
        make = partial(DATASETS.get(data.name), **data.arguments, domains=data.domains)
        try:
            datasets = OpenDatasets(make(split="train"), make(split="val"))
        except UserError as error:
            raise error.inside("data") from error
    return DataModule(
        train=datasets.train,
        val=datasets.val,
        image_size=data.image_size,
        batch_size=data.batch_size,
        view=MODELS.facts(config.model.name)["batch"],
        latent_size=config.model.arguments.get("latent_size", 0),
        labels=data.labels,
        augment=data.augment,
        load_size=data.load_size,
        crop_until=data.crop_until,
        num_workers=data.num_workers,
        cache=Path(data.cache).expanduser() if data.cache else None,
        max_bad_fraction=data.max_bad_fraction,
        seed=config.seed,
        start=start,
        stop=config.iterations,
        num_threads=config.trainer.threads,
    )


def find_weights_of_metrics(config: RunConfig) -> None:
    """Find or fetch the files that the metrics of a run read, so that none is missing at its end; UserError.

    Files that the user names are read too: nothing else has looked at their content.
    """
    specs = [spec for specs in metric_specs(config.metrics).values() for spec in specs]
    paths = find_all(specs, _cache(config))
    for spec in specs:
        if spec.file is not None and getattr(spec.metric, "weights", None) is not None:
            read_tensors(paths[spec.label])


def build_evaluator(config: RunConfig, data: DataModule, device: torch.device, processes: Processes) -> Evaluator:
    """Return the evaluator of a run's metrics, for all processes."""
    return Evaluator(config.metrics, data, _cache(config), device, processes)


def _cache(config: RunConfig) -> Path | None:
    return Path(config.data.cache).expanduser() if config.data.cache else None


def build_callbacks(
    config: RunConfig, data: DataModule, folder: RunFolder | None, mirror: Mirror | None = None
) -> tuple[list[pl.Callback], Stopping]:
    """Return all callbacks in their order, and the one that ends training after a signal."""
    stopping = Stopping()
    metric_logging = MetricLogging(folder, config.log_every, config.data.batch_size)
    checkpointing = Checkpointing(
        folder,
        metric_logging,
        stopping,
        to_mapping(config),
        data.domains,
        config.checkpoint_every,
        config.keep_checkpoints,
        config.iterations,
        mirror,
    )
    callbacks: list[pl.Callback] = [stopping, metric_logging, Health(metric_logging)]
    if config.sample_every is not None:
        callbacks.append(Sampling(folder, data, config.sample_every, config.iterations, stopping))
    callbacks.append(checkpointing)
    if config.evaluate_every is not None and config.metrics:
        place = folder or RunFolder(Path(config.folder or "."))  # a further process writes nothing there
        wanted = None if config.best is None else selection.find(config.best, config.metrics)
        callbacks.append(
            Evaluating(
                place,
                lambda device: build_evaluator(config, data, device, all_processes()),
                metric_logging,
                checkpointing,
                config.evaluate_every,
                wanted,
            )
        )
    callbacks += [Progress(metric_logging, data.start, config.iterations, config.data.batch_size)]
    return callbacks, stopping


def count_processes(config: TrainerConfig) -> int:
    """Return how many processes train together, one a device."""
    devices = config.devices
    if devices == "auto":
        num_devices = torch.cuda.device_count() if config.accelerator in ("auto", "gpu", "cuda") else 1
    elif devices == -1:
        num_devices = torch.cuda.device_count()
    else:
        num_devices = len(devices) if isinstance(devices, list) else int(devices)
    return max(1, num_devices) * config.num_nodes


def build_strategy(config: TrainerConfig) -> Any:
    """Return Lightning's strategy: plain on one device, ours for "ddp"."""
    if config.strategy == "ddp" or (config.strategy == "auto" and count_processes(config) > 1):
        return ExplicitDDP(config.hang_timeout, failures.reason_of)
    return config.strategy


def started_by_slurm(config: TrainerConfig) -> bool:
    """Return whether SLURM's srun has started this process; UserError if it did not start as many as are wanted."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return False
    wanted = count_processes(config)
    for key, option, variable, found in (
        ("num_nodes", "--nodes", "SLURM_NNODES", config.num_nodes),
        ("devices", "--ntasks-per-node", "SLURM_NTASKS_PER_NODE", wanted // config.num_nodes),
        ("devices", "--ntasks", "SLURM_NTASKS", wanted),
    ):
        started = os.environ.get(variable)
        if started is not None and int(started) != found:
            raise UserError(
                "srun must start one process for each device",
                key=f"trainer.{key}",
                found=found,
                expected=f"{started}, as SLURM's {option}={started} says",
                fix="make both equal; a job named 'interactive' ignores SLURM",
            )
    return True


def build_trainer(config: RunConfig, callbacks: list[pl.Callback], loggers: list[Logger]) -> pl.Trainer:
    """Return Lightning's Trainer, reduced to running our loop: counting, saving and logging are ours."""
    trainer = config.trainer
    slurm = started_by_slurm(trainer)
    built = pl.Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        strategy=build_strategy(trainer),
        # Lightning's way of requeueing writes a checkpoint of its own kind, a pickle
        plugins=[SLURMEnvironment(auto_requeue=False)] if slurm else None,
        precision=trainer.precision,
        deterministic=trainer.deterministic,
        max_epochs=1,
        min_epochs=0,
        callbacks=callbacks,
        logger=loggers,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )
    built._signal_connector = _NoSignalHandlers()  # type: ignore[assignment] # Lightning has no setting for it
    return built


class _NoSignalHandlers:
    """In place of the handlers that Lightning installs for the duration of a loop: `translate.signals` has them.

    Its handler of SIGTERM starts a collective call wherever the other processes are, and its way to end writes no
    checkpoint.
    """

    received_sigterm = False

    def register_signal_handlers(self) -> None:
        """Install nothing."""

    def teardown(self) -> None:
        """Restore nothing."""
