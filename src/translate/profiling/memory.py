"""Estimate the memory of a configuration without allocating it.

The real model trains on fake tensors (torch's FakeTensorMode), which have shapes and sizes but no numbers. Every
operation updates a count of the bytes alive. So every registered model can be estimated, by its real training steps.
"""

import warnings
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.precision import DoublePrecision, Precision
from torch import Tensor, library, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from translate.acceleration.offloading import CAPACITY, per_domain
from translate.config.schema import RunConfig
from translate.data.batches import RawImages
from translate.data.cache import StoredImages
from translate.data.module import Shard
from translate.data.transforms import AUGMENTATIONS, NUM_UNIFORMS, stored_sizes
from translate.errors import UserError, errors_inside
from translate.models.base import TranslationModel
from translate.models.image_pool import ImagePool
from translate.networks.layers.device import assume_device
from translate.sizes import ImageSize
from translate.training import build

PARAMETERS, GRADIENTS, OPTIMIZERS, EMA = "parameters", "gradients", "optimizer states", "EMA"
POOLS, BATCH, ACTIVATIONS = "image pools", "batch", "activations"
KINDS = (PARAMETERS, GRADIENTS, OPTIMIZERS, EMA, POOLS, BATCH, ACTIVATIONS)
ELSEWHERE = "elsewhere"
"""The kind of tensors that wait outside the device and have no bytes there."""

OUTSIDE = "outside updates"
GPU_BLOCK = 512  # bytes; torch's allocator rounds sizes up to a multiple of it
GPU_FRACTION, GPU_FIXED = 0.10, 2**30
"""What a GPU needs beside tensors: a fraction lost between blocks, and CUDA itself with cuDNN's workspaces."""

MAX_ITERATIONS = 100  # within which every trained network must have been updated


@dataclass(frozen=True)
class Peak:
    """The moment of an iteration at which most bytes are alive."""

    during: str  # the roles that this update trains
    kinds: Counter[str]  # bytes alive, by kind

    @property
    def total(self) -> int:
        """Return all bytes alive."""
        return self.kinds.total()


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory that each process of a run needs."""

    peak: Peak
    parameters: dict[str, int]  # role -> number of parameters
    on_gpu: bool
    num_processes: int
    batch_size: int  # of a process

    @property
    def needed(self) -> int:
        """Return the bytes that the device needs: on a GPU more than those of the tensors."""
        return round(self.peak.total * (1 + GPU_FRACTION)) + GPU_FIXED if self.on_gpu else self.peak.total


class MemoryTracker(TorchDispatchMode):
    """Count the bytes of all tensors, from the operation that creates them until they are freed.

    A storage counts once, whatever the number of tensors that share it, as a multiple of ``block`` bytes.
    """

    def __init__(self, block: int = 1) -> None:
        super().__init__()
        self.block = block
        self.during = OUTSIDE
        self.alive: Counter[str] = Counter()
        self.peak = Peak(OUTSIDE, Counter())
        self._total = 0
        self._known: dict[int, tuple[Any, int, str]] = {}  # id of a storage -> weak reference to it, bytes, kind

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count its results."""
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            if id(storage := tensor.untyped_storage()) not in self._known:
                self._add(storage, ACTIVATIONS)
        return result

    def label(self, tensors: Iterable[Tensor | None], kind: str) -> None:
        """Count tensors as a kind, including tensors created before."""
        for tensor in tensors:
            if tensor is not None:
                self._drop(id(storage := tensor.untyped_storage()))
                self._add(storage, kind)

    def reset_peak(self) -> None:
        """Record the peak from now on."""
        self.peak = Peak(self.during, self.alive.copy())

    def _add(self, storage: torch.UntypedStorage, kind: str) -> None:
        key, num_bytes = id(storage), -(-storage.nbytes() // self.block) * self.block
        num_bytes = 0 if kind == ELSEWHERE else num_bytes
        self._known[key] = (weakref.ref(storage, lambda _: self._drop(key)), num_bytes, kind)
        self.alive[kind] += num_bytes
        self._total += num_bytes
        if self._total > self.peak.total:
            self.peak = Peak(self.during, self.alive.copy())

    def _drop(self, key: int) -> None:
        if key in self._known:
            _, num_bytes, kind = self._known.pop(key)
            self.alive[kind] -= num_bytes
            self._total -= num_bytes


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for element in value:
            yield from _tensors(element)


# --- a run on fake tensors ----------------------------------------------------------------------------------


def estimate(config: RunConfig) -> MemoryEstimate:
    """Return the memory that a checked configuration needs on its accelerator, which this machine need not have."""
    on_gpu = _on_gpu(config)
    num_processes = build.count_processes(config.trainer)
    with on_fake_tensors(config) as (model, batch):
        waiting = _waiting(model) if config.trainer.offload_domains else []
        peak = measure_peak(
            model,
            batch,
            config.trainer.precision,
            num_processes,
            GPU_BLOCK if on_gpu else 1,
            waiting if on_gpu else [],
        )
    parameters = {role: sum(p.numel() for p in model.network(role).parameters()) for role in model.roles}
    return MemoryEstimate(peak, parameters, on_gpu, num_processes, config.data.batch_size // num_processes)


@contextmanager
def on_fake_tensors(config: RunConfig) -> Iterator[tuple[TranslationModel, Any]]:
    """Give the model of a checked configuration and a batch of its first process, both of fake tensors."""
    on_gpu = _on_gpu(config)
    images, layout = _images(config, build.count_processes(config.trainer)), _layout(config)
    precision = config.trainer.precision
    whole = replace(config, trainer=replace(config.trainer, offload_domains=False))
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*copying from a non-meta parameter")  # files of frozen networks
        model = build.build_model(whole)  # not compiled: the memory of compiled code is not known in advance
    _plugin(precision).convert_module(model)
    with ExitStack() as stack:
        stack.enter_context(PartlyFakeTensorMode(allow_non_fake_inputs=True))
        _give_memory(model)
        batch = _plugin(precision).convert_input(_allocated(images, ImageSize.of(config.data.image_size), layout))
        if on_gpu:
            stack.enter_context(assume_device("cuda"))
            if precision == "bf16-mixed":
                stack.enter_context(_casts_of_a_gpu())
        yield model, batch


def _waiting(model: TranslationModel) -> list[nn.Module]:
    """Return the networks that `trainer.offload_domains` keeps in CPU memory, and their EMA.

    Which domains an iteration has does not matter, since the networks of a role have equal sizes.
    """
    with errors_inside("trainer"):
        roles = per_domain({role: model.network(role) for role in model.roles})
    averages = [model.ema.networks[role] for role in roles if role in model.ema.networks]
    return [network for networks in (*roles.values(), *averages) for network in list(networks.children())[CAPACITY:]]


class PartlyFakeTensorMode(FakeTensorMode):
    """Fake all tensors except results of real tensors alone: a step may read numbers that it has drawn."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation on numbers if all of its inputs are real, else on shapes."""
        inputs = list(_tensors((args, tuple((kwargs or {}).values()))))
        if inputs and not any(isinstance(tensor, FakeTensor) for tensor in inputs):
            return func(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs)


def _on_gpu(config: RunConfig) -> bool:
    if config.trainer.accelerator == "tpu":
        raise UserError(key="trainer.accelerator", found="tpu", expected="cpu or gpu, whose memory can be estimated")
    return build.trains_on_gpu(config.trainer)


class _BlankImages(StoredImages):
    """The images of a data set, none of which is read: one pixel each."""

    def take(self, rows: np.ndarray, number: int = 0) -> np.ndarray:
        """Return (n, 1, 1, 3) uint8 for any rows."""
        return np.zeros((len(rows), 1, 1, 3), np.uint8)


def _images(config: RunConfig, num_processes: int) -> Any:
    """Return the first batch of the first process; its pixels are blank."""
    data = build.build_data(config)
    return data.iterations(Shard(0, num_processes), _BlankImages(data.train, [ImageSize(1, 1)], [], None))[0]


def _layout(config: RunConfig) -> torch.memory_format:
    """Return the memory format of augmented images."""
    data = config.data
    stored = stored_sizes(data.augment, data.image_size, data.load_size)[0]
    raw = RawImages(torch.zeros(1, *stored, 3, dtype=torch.uint8), torch.zeros(1, NUM_UNIFORMS))
    image = AUGMENTATIONS[data.augment](raw, data.image_size)
    return torch.contiguous_format if image.is_contiguous() else torch.channels_last


def _allocated(value: Any, size: ImageSize, layout: torch.memory_format) -> Any:
    """Return a batch as a model gets it, its tensors created on the current (fake) device."""
    if isinstance(value, RawImages):
        return torch.empty(len(value.pixels), 3, *size, memory_format=layout)
    if isinstance(value, Tensor):
        return torch.empty(value.shape, dtype=value.dtype)
    if isinstance(value, int):
        return value
    values = [_allocated(element, size, layout) for element in value]
    return type(value)(*values) if hasattr(value, "_fields") else tuple(values)


def _give_memory(model: nn.Module) -> None:
    """Replace parameters and buffers by new ones on the current (fake) device; shared ones stay shared."""
    created: dict[Tensor, Tensor] = {}
    for module in model.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for tensors in tables:
            for name, tensor in tensors.items():
                if tensor is not None and tensor not in created:
                    created[tensor] = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
                    if isinstance(tensor, nn.Parameter):
                        created[tensor] = nn.Parameter(created[tensor], tensor.requires_grad)
                if tensor is not None:
                    tensors[name] = created[tensor]


def _plugin(precision: str) -> Precision:
    return DoublePrecision() if precision == "64-true" else Precision()


@contextmanager
def _casts_of_a_gpu() -> Iterator[None]:
    """Let autocast keep normalizations in float32, as on a GPU, although the fake tensors are on a CPU."""

    def group_norm(x: Tensor, groups: int, *arguments: Any) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return torch.group_norm(*_float(x, groups, *arguments))

    def layer_norm(x: Tensor, shape: list[int], *arguments: Any) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return torch.layer_norm(*_float(x, shape, *arguments))

    overrides = library.Library("aten", "IMPL")
    overrides.impl("group_norm", group_norm, "AutocastCPU")
    overrides.impl("layer_norm", layer_norm, "AutocastCPU")
    try:
        yield
    finally:
        overrides._destroy()


def _float(*arguments: Any) -> list[Any]:
    return [a.float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments]


# --- measuring the peak, on fake or on real tensors ---------------------------------------------------------


def measure_peak(
    model: TranslationModel,
    batch: Any,
    precision: str,
    num_processes: int = 1,
    block: int = 1,
    waiting: Sequence[nn.Module] = (),
) -> Peak:
    """Train a model on a batch of the CPU until every trained network has been updated; return the peak.

    Optimizer states exist and image pools are full from the first iteration on, as they soon are in a run. The weights
    and optimizer states of networks that are ``waiting`` do not count.
    """
    tracker = MemoryTracker(block)
    updated: set[str] = set()
    tracker.label([*model.parameters(), *model.buffers()], PARAMETERS)
    tracker.label([*model.ema.parameters(), *model.ema.buffers()], EMA)
    tracker.label((t for network in waiting for t in (*network.parameters(), *network.buffers())), ELSEWHERE)
    tracker.label(_tensors(batch), BATCH)
    with ExitStack() as stack:
        stack.enter_context(_plugin(precision).train_step_context())
        stack.enter_context(torch.autocast("cpu", torch.bfloat16, precision == "bf16-mixed", cache_enabled=False))
        stack.enter_context(tracker)
        stack.enter_context(_observed(model, tracker, updated, num_processes))
        _create_optimizer_states(tracker, model, {p for network in waiting for p in network.parameters()})
        _fill_pools(tracker, model, batch)
        tracker.reset_peak()
        for number in range(MAX_ITERATIONS):
            model.training_step(batch, number)
            if updated.issuperset(model.trained):
                break
    return tracker.peak


@contextmanager
def _observed(model: TranslationModel, tracker: MemoryTracker, updated: set[str], num_processes: int) -> Iterator[None]:
    """Let the tracker know the current update and label gradients; collect the roles that updates have trained."""

    buckets: dict[int, Tensor] = {}  # copies of gradients, which collective calls send during the backward pass

    @contextmanager
    def update(roles: tuple[str, ...]) -> Iterator[None]:
        tracker.during = ", ".join(roles)
        updated.update(roles)
        yield
        tracker.during = OUTSIDE

    def observer(phase: str, roles: tuple[str, ...]) -> AbstractContextManager[object]:
        if phase == "optimizer":
            buckets.clear()
        return update(roles) if phase == "update" else nullcontext()

    def on_gradient(p: Tensor) -> None:
        tracker.label([p.grad], GRADIENTS)
        if num_processes > 1:
            buckets[id(p)] = torch.empty_like(p)

    trained = [p for role in model.trained for p in model.network(role).parameters() if p.requires_grad]
    hooks = [p.register_post_accumulate_grad_hook(on_gradient) for p in trained]
    before, model.observer = model.observer, observer
    try:
        yield
    finally:
        model.observer = before
        for hook in hooks:
            hook.remove()


def _create_optimizer_states(tracker: MemoryTracker, model: TranslationModel, waiting: set[Tensor]) -> None:
    """Let every optimizer create its states, by a step with gradients of zero; those of ``waiting`` do not count."""
    for role in model.trained:
        optimizer = model.optimizer(role)
        for parameter in model.network(role).parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for weight, state in optimizer.state.items():
            states = (value for value in state.values() if isinstance(value, Tensor))
            tracker.label(states, ELSEWHERE if weight in waiting else OPTIMIZERS)


def _fill_pools(tracker: MemoryTracker, model: TranslationModel, batch: Any) -> None:
    """Fill the image pools of a model."""
    images = next(tensor for tensor in _tensors(batch) if tensor.ndim == 4)
    for pool in model.stateful.values():
        if isinstance(pool, ImagePool):
            pool.images = [torch.zeros_like(images[0]) for _ in range(pool.size)]
            tracker.label(pool.images, POOLS)
