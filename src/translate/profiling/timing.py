"""Time the iterations of one configuration, in this process and those that it starts for further devices."""

import resource
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from translate.config.datasets import OpenDatasets
from translate.config.schema import RunConfig, to_mapping
from translate.console import setup_logging
from translate.errors import ConfigError, UserError
from translate.models.base import TranslationModel
from translate.profiling import memory
from translate.profiling.spans import Spans, measured
from translate.runs.environment import environment
from translate.training import build, preflight, process_settings

OBSERVED = 2  # iterations whose parts are timed; timing slows them, so they do not count for the speed
MATRIX = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices whose product measures the machine's own rate."""


@dataclass(frozen=True)
class Length:
    """The numbers of iterations of a benchmark: for the warm-up, and timed."""

    warmup: int
    iterations: int

    @property
    def total(self) -> int:
        """Return the number of all iterations, including those that time parts and count operations."""
        return self.warmup + self.iterations + OBSERVED + 1


class Operations(TorchDispatchMode):
    """Count the multiplications and additions of convolutions and matrix products, backward and double backward too.

    torch's own counter uses module hooks that `torch.autograd.grad`, hence every gradient penalty, refuses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and add its cost."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (cost := flop_registry.get(func._overloadpacket)) is not None:
            self.count += cost(*args, **kwargs, out_val=result)
        return result


class Stopwatch(pl.Callback):
    """Time iterations and the wait for data before each; then time the parts of some, then count operations."""

    def __init__(self, length: Length) -> None:
        self.length = length
        self.device = torch.device("cpu")
        self.spans = Spans(self.settle)
        self.operations = Operations()
        self.seconds: list[float] = []
        self.waits: list[float] = []
        self._stack = ExitStack()
        self._done = 0
        self._began = self._ended = 0.0

    def settle(self) -> None:
        """Wait for the operations that the device has begun."""
        _settle(self.device)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the device."""
        self.device = trainer.strategy.root_device

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock."""
        assert isinstance(pl_module, TranslationModel)
        self._began = time.perf_counter()
        timed = self.length.warmup + self.length.iterations
        if self._done == timed:
            pl_module.captured = None  # a replayed graph has no parts
            self._stack.enter_context(measured(pl_module, self.spans))
        elif self._done == timed + OBSERVED:
            self._stack.close()
            self._stack.enter_context(self.operations)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop the clock."""
        self.settle()
        now = time.perf_counter()
        if self.length.warmup <= self._done < self.length.warmup + self.length.iterations:
            self.seconds.append(now - self._began)
            self.waits.append(self._began - self._ended)
        self._done += 1
        if self._done == self.length.total:
            self._stack.close()
        self._ended = now


@dataclass(frozen=True)
class Speed:
    """The measured cost of an iteration: its median seconds, the peak of memory in bytes, and the device in words."""

    seconds: float
    peak_bytes: int
    device: str


def measure_speed(config: RunConfig, length: Length, datasets: OpenDatasets | None = None) -> Speed:
    """Return the speed of a configuration alone, without the phases and operations; ``datasets`` are open or None."""
    stopwatch = Stopwatch(length)
    timed = replace(config, iterations=length.warmup + length.iterations)
    _, device, peak = _run(timed, stopwatch, datasets)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return Speed(statistics.median(stopwatch.seconds), peak, name)


def _run(
    config: RunConfig, stopwatch: Stopwatch, datasets: OpenDatasets | None = None
) -> tuple[TranslationModel, torch.device, int]:
    """Train with a stopwatch; return the model, its device and the peak of memory in bytes."""
    if config.trainer.num_nodes > 1:
        raise UserError("a benchmark is of one machine", key="trainer.num_nodes", found=config.trainer.num_nodes)
    if problems := [*preflight.bfloat16_is_fast(config.trainer)]:
        raise ConfigError(problems)
    setup_logging()
    process_settings.prepare(config.trainer)
    before = _resident()
    model = build.build_model(config)
    build.compile_model(model, config.trainer)
    data = build.build_data(config, datasets=datasets)
    trainer = build.build_trainer(config, [stopwatch], [])
    device = trainer.strategy.root_device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer.fit(model, datamodule=data)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident() - before
    return model, device, peak


def measure(config: RunConfig, length: Length) -> dict[str, Any]:
    """Return the speed, memory and operations of a configuration's iterations, with the facts to reproduce them.

    Images are those of all processes; times, memory and operations are those of this process.
    """
    stopwatch = Stopwatch(length)
    model, cuda, peak = _run(config, stopwatch)
    seconds = statistics.median(stopwatch.seconds)
    operations = stopwatch.operations.count
    rates = machine_rates(cuda, config.trainer.precision)
    return {
        "seconds_per_iteration": seconds,
        "seconds": stopwatch.seconds,
        "images_per_second": config.data.batch_size / seconds,
        "data_wait": statistics.median(stopwatch.waits),
        "data_wait_share": sum(stopwatch.waits) / (sum(stopwatch.waits) + sum(stopwatch.seconds)),
        "peak_bytes": peak,
        "estimated_bytes": memory.estimate(config).peak.total,
        "operations_per_iteration": operations,
        "operations_per_second": operations / seconds,
        "machine_operations_per_second": rates,
        "share_of_machine": operations / seconds / rates[max(rates, key=lambda name: rates[name])],
        "parts": {
            f"{update}: {part}": value / OBSERVED
            for (update, part), value in sorted(stopwatch.spans.seconds.items(), key=lambda item: -item[1])
        },
        "parameters": {role: sum(p.numel() for p in model.network(role).parameters()) for role in model.roles},
        "device": str(cuda),
        "processes": build.count_processes(config.trainer),
        "length": {"warmup": length.warmup, "iterations": length.iterations},
        "config": to_mapping(config),
        "environment": environment(config.seed),
    }


def machine_rates(device: torch.device, precision: str) -> dict[str, float]:
    """Return the operations a second of a matrix product, in float32 and, for bf16 precision, in bfloat16."""
    dtypes = [torch.float32, *([torch.bfloat16] if precision.startswith("bf16") else [])]
    return {str(dtype).removeprefix("torch."): _rate(device, dtype) for dtype in dtypes}


def _rate(device: torch.device, dtype: torch.dtype) -> float:
    side = MATRIX.get(device.type, 1024)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        count = 4
        _settle(device)
        began = time.perf_counter()
        for _ in range(count):
            a @ b
        _settle(device)
        best = max(best, 2 * side**3 * count / (time.perf_counter() - began))
    return best


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _resident() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
