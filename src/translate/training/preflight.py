"""What a run needs beside its configuration, looked at before it begins: devices, a port, weights of metrics, disk."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator

import torch
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import nn

from translate.acceleration.processor import computes_bfloat16
from translate.config.schema import RunConfig, TrainerConfig
from translate.data.module import DataModule
from translate.errors import ConfigError, Phrase, Problem, UserError
from translate.evaluation.classifier_scores import require_sources
from translate.evaluation.specs import metric_specs
from translate.files.reading import is_whole_number
from translate.files.writing import check_writable
from translate.models.base import TranslationModel
from translate.runs.checkpoints import stored_roles
from translate.runs.folder import RunFolder
from translate.training.build import count_processes, find_weights_of_metrics, trains_on_gpu

GPUS = ("gpu", "cuda")
MOMENTS = 2  # tensors of an optimizer beside each parameter: those of Adam
AT_LEAST = 2  # checkpoints that the disk must hold: the new one is written before an old one goes


def check(config: RunConfig, run: RunFolder) -> None:
    """Raise UserError, with all problems, for what a run needs and does not find; the run folder is left as it is."""
    check_writable(run.path, "folder")
    if problems := [*_devices(config.trainer), *bfloat16_is_fast(config.trainer), *_port(config.trainer)]:
        raise ConfigError(problems)
    find_weights_of_metrics(config)


def _devices(trainer: TrainerConfig) -> Iterator[Problem]:
    """Yield a problem for an accelerator that this machine does not have, or for more devices than it has."""
    available = {
        **dict.fromkeys(GPUS, torch.cuda.is_available()),
        "mps": torch.backends.mps.is_available(),
        "tpu": False,  # torch_xla is no part of the package
    }
    if not available.get(trainer.accelerator, True):
        statement = "torch finds no such device on this machine"
        found = trainer.accelerator
        yield Problem(statement, key="trainer.accelerator", found=found, fix="set trainer=cpu, or trainer=auto")
    elif trainer.accelerator in GPUS or (trainer.accelerator == "auto" and torch.cuda.is_available()):
        count, devices = torch.cuda.device_count(), trainer.devices
        chosen = devices if isinstance(devices, list) else [devices - 1] if isinstance(devices, int) else []
        if any(number >= count for number in chosen):
            expected = f"devices of the {count} that torch finds on this machine"
            yield Problem(key="trainer.devices", found=devices, expected=expected)


def bfloat16_is_fast(trainer: TrainerConfig) -> Iterator[Problem]:
    """Yield a problem for bfloat16 on a CPU that has no instructions for it, unless the user wants it emulated."""
    on_cpu = trainer.accelerator in ("auto", "cpu") and not trains_on_gpu(trainer)
    if trainer.precision == "bf16-mixed" and on_cpu and not trainer.emulate_bf16 and not computes_bfloat16():
        yield Problem(
            "this processor has no instructions for bfloat16, and emulation takes some 30 times as long as float32",
            key="trainer.precision",
            found=trainer.precision,
            expected="32-true on this machine",
            fix="set trainer.precision=32-true; or trainer.emulate_bf16=true, to emulate it all the same",
        )


def _port(trainer: TrainerConfig) -> Iterator[Problem]:
    """Yield a problem if this process is to open the port MASTER_PORT and another program has it."""
    port = os.environ.get("MASTER_PORT")
    if port is None or count_processes(trainer) == 1 or TorchElasticEnvironment.detect():  # torchrun opens it itself
        return
    if not is_whole_number(port) or not 0 < int(port) < 1 << 16:
        yield Problem(key="MASTER_PORT", found=port, expected="a port, 1 to 65535")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            reason = "another program uses this port" if error.errno == errno.EADDRINUSE else str(error.strerror)
            fix = "set the environment variable to a free port, or unset it to have one chosen"
            yield Problem(reason, key="MASTER_PORT", found=Phrase(port), fix=fix)


def check_sources(config: RunConfig, model: TranslationModel, data: DataModule) -> None:
    """Raise UserError for a metric with too few sources for the model and its data."""
    for spec in (spec for specs in metric_specs(config.metrics).values() for spec in specs):
        if spec.reads_classifier:
            require_sources(spec.metric, spec.key, model.style_inputs, data)


def checkpoint_bytes(model: TranslationModel) -> int:
    """Return about how many bytes a checkpoint of a model has, with two moments of each trained parameter."""

    def size(network: nn.Module) -> int:
        return sum(t.numel() * t.element_size() for t in network.state_dict().values())

    stored = sum(size(model.network(role)) for role in stored_roles(model))
    trained = sum(p.numel() * p.element_size() for role in model.trained for p in model.network(role).parameters())
    return stored + MOMENTS * trained + size(model.ema)


def check_disk(model: TranslationModel, run: RunFolder) -> None:
    """Raise UserError if the disk of a run folder has no room for two checkpoints, counting those that are there."""
    size = checkpoint_bytes(model)
    missing = max(1, AT_LEAST - len(run.checkpoints()))
    free = shutil.disk_usage(run.path).free
    if free < missing * size:
        raise UserError(
            "the disk has too little room for checkpoints",
            key=str(run),
            found=Phrase(f"{_in_words(free)} free"),
            expected=f"{_in_words(missing * size)}, {missing} x {_in_words(size)}",
            fix="free space, or choose a folder on another disk by folder=DIR",
        )


def _in_words(number: float) -> str:
    return f"{number / 2**30:.1f} GB" if number >= 2**30 else f"{number / 2**20:.1f} MB"
