"""How much memory a configuration will need, found without needing it.

The real model trains on fake tensors (torch's FakeTensorMode), which have a shape and a size and no numbers; what is
alive is counted at every operation. So whatever is registered is planned, by the steps that it will take.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.precision import DoublePrecision, Precision
from torch import Tensor, library, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from translate.config.schema import RunConfig
from translate.data.batches import RawImages
from translate.data.cache import StoredImages
from translate.data.module import Shard
from translate.data.transforms import AUGMENTATIONS, NUM_UNIFORMS, stored_side
from translate.errors import UserError
from translate.models.base import TranslationModel
from translate.models.image_pool import ImagePool
from translate.networks.layers.device import assume_device
from translate.training import build

PARAMETERS, GRADIENTS, OPTIMIZERS, AVERAGES = "parameters", "gradients", "optimizer states", "averages"
POOLS, BATCH, ACTIVATIONS = "pools of images", "batch", "activations"
KINDS = (PARAMETERS, GRADIENTS, OPTIMIZERS, AVERAGES, POOLS, BATCH, ACTIVATIONS)

OUTSIDE = "outside updates"
GPU_BLOCK = 512  # bytes; torch's allocator gives out multiples of it
GPU_SHARE, GPU_FIXED = 0.10, 2**30
"""What a GPU needs beside tensors: a share of them, lost between blocks, and CUDA itself with cuDNN's workspaces."""

LONGEST_ROUND = 100  # iterations, in which every network that is trained must have learnt


@dataclass(frozen=True)
class Peak:
    """The moment of an iteration at which most is alive."""

    during: str  # the roles that learn in this update
    kinds: Counter[str]  # bytes alive, by kind

    @property
    def total(self) -> int:
        """Return all bytes alive."""
        return self.kinds.total()


@dataclass(frozen=True)
class Plan:
    """The memory that each process of a run will need."""

    peak: Peak
    parameters: dict[str, int]  # role -> how many
    on_gpu: bool
    num_processes: int
    batch_size: int  # of a process

    @property
    def needed(self) -> int:
        """Return the bytes that the device should have: on a GPU more than those of tensors."""
        return round(self.peak.total * (1 + GPU_SHARE)) + GPU_FIXED if self.on_gpu else self.peak.total


class MemoryTracker(TorchDispatchMode):
    """Count the bytes of all tensors, from the operation that makes them until they are gone.

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
        """Do an operation and count what it has made."""
        found = func(*args, **(kwargs or {}))
        for tensor in _tensors(found):
            if id(storage := tensor.untyped_storage()) not in self._known:
                self._add(storage, ACTIVATIONS)
        return found

    def call(self, tensors: Iterable[Tensor | None], kind: str) -> None:
        """Count tensors as of a kind, also those that were made before."""
        for tensor in tensors:
            if tensor is not None:
                self._drop(id(storage := tensor.untyped_storage()))
                self._add(storage, kind)

    def forget_peak(self) -> None:
        """Look for the peak from now on."""
        self.peak = Peak(self.during, self.alive.copy())

    def _add(self, storage: torch.UntypedStorage, kind: str) -> None:
        key, num_bytes = id(storage), -(-storage.nbytes() // self.block) * self.block
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
        for part in value:
            yield from _tensors(part)


# --- a run on fake tensors ----------------------------------------------------------------------------------


def plan(config: RunConfig) -> Plan:
    """Return the memory that a checked configuration needs on its accelerator, which need not be there."""
    on_gpu = _on_gpu(config)
    num_processes = build.count_processes(config.trainer)
    images, layout = _images(config, num_processes), _layout(config)
    precision = config.trainer.precision
    with torch.device("meta"):
        model = build.build_model(config)  # not compiled: what compiled networks need is not known before
    _plugin(precision).convert_module(model)
    with ExitStack() as stack:
        stack.enter_context(Fakes(allow_non_fake_inputs=True))
        _give_memory(model)
        batch = _plugin(precision).convert_input(_allocated(images, config.data.image_size, layout))
        if on_gpu:
            stack.enter_context(assume_device("cuda"))
            if precision == "bf16-mixed":
                stack.enter_context(_casts_of_a_gpu())
        peak = count(model, batch, precision, num_processes, GPU_BLOCK if on_gpu else 1)
    parameters = {role: sum(p.numel() for p in model.network(role).parameters()) for role in model.roles}
    return Plan(peak, parameters, on_gpu, num_processes, config.data.batch_size // num_processes)


class Fakes(FakeTensorMode):
    """Makes all tensors fake but those that come of real ones alone: a step may look at numbers that it has drawn."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation, on what it is about or on the shapes of that."""
        given = list(_tensors((args, tuple((kwargs or {}).values()))))
        if given and not any(isinstance(tensor, FakeTensor) for tensor in given):
            return func(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs)


def _on_gpu(config: RunConfig) -> bool:
    if config.trainer.accelerator == "tpu":
        raise UserError("trainer.accelerator: found tpu, whose memory is not planned; use cpu or gpu to plan for those")
    return build.trains_on_gpu(config.trainer)


class _Unread(StoredImages):
    """The pictures of a data set, none of which is read: a pixel each."""

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, 1, 1, 3) uint8 for any rows."""
        return np.zeros((len(rows), 1, 1, 3), np.uint8)


def _images(config: RunConfig, num_processes: int) -> Any:
    """Return the first batch of the first process, but for what the pictures show."""
    data = build.build_data(config)
    return data.iterations(Shard(0, num_processes), _Unread(data.train, 1, [], None))[0]


def _layout(config: RunConfig) -> torch.memory_format:
    """Return how images lie in memory when they have been augmented."""
    size, augment = config.data.image_size, config.data.augment
    side = stored_side(augment, size)
    raw = RawImages(torch.zeros(1, side, side, 3, dtype=torch.uint8), torch.zeros(1, NUM_UNIFORMS))
    image = AUGMENTATIONS[augment](raw, size)
    return torch.contiguous_format if image.is_contiguous() else torch.channels_last


def _allocated(value: Any, side: int, layout: torch.memory_format) -> Any:
    """Return a batch as a model sees it, its tensors made where tensors are made now."""
    if isinstance(value, RawImages):
        return torch.empty(len(value.pixels), 3, side, side, memory_format=layout)
    if isinstance(value, Tensor):
        return torch.empty(value.shape, dtype=value.dtype)
    values = [_allocated(part, side, layout) for part in value]
    return type(value)(*values) if hasattr(value, "_fields") else tuple(values)


def _give_memory(model: nn.Module) -> None:
    """Replace parameters and buffers by such that are made where tensors are made now; shared ones stay shared."""
    made: dict[Tensor, Tensor] = {}
    for module in model.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for tensors in tables:
            for name, tensor in tensors.items():
                if tensor is not None and tensor not in made:
                    made[tensor] = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
                    if isinstance(tensor, nn.Parameter):
                        made[tensor] = nn.Parameter(made[tensor], tensor.requires_grad)
                if tensor is not None:
                    tensors[name] = made[tensor]


def _plugin(precision: str) -> Precision:
    return DoublePrecision() if precision == "64-true" else Precision()


@contextmanager
def _casts_of_a_gpu() -> Iterator[None]:
    """Let autocast keep normalisations in float32, as it does on a GPU, though the fake tensors are a CPU's."""

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


# --- counting, on fake tensors or on real ones --------------------------------------------------------------


def count(model: TranslationModel, batch: Any, precision: str, num_processes: int = 1, block: int = 1) -> Peak:
    """Return the peak of a model that trains on a batch of the CPU, once it has settled, and train it by that.

    It counts for as many iterations as it takes until every network has learnt.
    """
    ledger = MemoryTracker(block)
    learnt: set[str] = set()
    _call_what_stays(ledger, model, batch)
    with ExitStack() as stack:
        stack.enter_context(_plugin(precision).train_step_context())
        stack.enter_context(torch.autocast("cpu", torch.bfloat16, precision == "bf16-mixed", cache_enabled=False))
        stack.enter_context(ledger)
        stack.enter_context(_watched(model, ledger, learnt, num_processes))
        _begin_optimizers(ledger, model)
        _fill_pools(ledger, model, batch)
        ledger.forget_peak()
        for number in range(LONGEST_ROUND):
            model.training_step(batch, number)
            if learnt.issuperset(model.trained):
                break
    return ledger.peak


def _call_what_stays(ledger: MemoryTracker, model: TranslationModel, batch: Any) -> None:
    """Tell the ledger what there is before training."""
    ledger.call([*model.parameters(), *model.buffers()], PARAMETERS)
    ledger.call([*model.ema.parameters(), *model.ema.buffers()], AVERAGES)
    ledger.call(_tensors(batch), BATCH)


@contextmanager
def _watched(model: TranslationModel, ledger: MemoryTracker, learnt: set[str], num_processes: int) -> Iterator[None]:
    """Tell the ledger of updates and gradients, and add the roles of each update to those that have learnt."""
    update = model.update

    @contextmanager
    def told(*roles: str) -> Iterator[Callable[[Tensor], None]]:
        with update(*roles) as minimize:
            ledger.during = ", ".join(roles)
            learnt.update(roles)
            yield minimize
            if num_processes > 1:  # all gradients travel to the other processes in one piece
                torch.empty(sum(p.numel() for role in roles for p in model.network(role).parameters()))
            ledger.during = OUTSIDE

    trained = [p for role in model.trained for p in model.network(role).parameters() if p.requires_grad]
    hooks = [p.register_post_accumulate_grad_hook(lambda p: ledger.call([p.grad], GRADIENTS)) for p in trained]
    object.__setattr__(model, "update", told)
    try:
        yield
    finally:
        object.__delattr__(model, "update")
        for hook in hooks:
            hook.remove()


def _begin_optimizers(ledger: MemoryTracker, model: TranslationModel) -> None:
    """Let every optimizer make its states, by a step along gradients of zero."""
    for role in model.trained:
        optimizer = model.optimizer(role)
        for parameter in model.network(role).parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ledger.call(
            (v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor)), OPTIMIZERS
        )


def _fill_pools(ledger: MemoryTracker, model: TranslationModel, batch: Any) -> None:
    """Fill the pools of images, as they will be soon."""
    images = next(tensor for tensor in _tensors(batch) if tensor.ndim == 4)
    for pool in model.memories.values():
        if isinstance(pool, ImagePool):
            pool.images = [torch.zeros_like(images[0]) for _ in range(pool.size)]
            ledger.call(pool.images, POOLS)


# --- telling ------------------------------------------------------------------------------------------------


def table(config: RunConfig, found: Plan) -> str:
    """Return a plan as a table for the terminal."""
    trainer = config.trainer
    how = [f"{config.data.image_size} px", f"batches of {found.batch_size}"]
    how += [f"in each of {found.num_processes} processes"] * (found.num_processes > 1)
    how += [f"{trainer.accumulate} parts"] * (trainer.accumulate > 1)
    how += ["recomputed"] * trainer.activation_checkpointing
    sizes = ", ".join(f"{role} {count / 1e6:.3g} M" for role, count in found.parameters.items() if count)
    lines = [
        f"{config.model.name}, {', '.join(how)}, {trainer.precision}, on a {'GPU' if found.on_gpu else 'CPU'}",
        f"{PARAMETERS}: {sizes}",
        "",
        f"{'at the peak, ' + when(found.peak):<64}{'GB':>8}",
        *(f"  {kind:<62}{found.peak.kinds[kind] / 1e9:8.3f}" for kind in KINDS if found.peak.kinds[kind]),
        f"{'together':<64}{found.peak.total / 1e9:8.3f}",
    ]
    if found.on_gpu:
        lines.append(
            f"{f'to have, with {GPU_SHARE:.0%} between blocks and 1 GiB for CUDA':<64}{found.needed / 1e9:8.3f}"
        )
    return "\n".join(lines)


def when(peak: Peak) -> str:
    """Return the moment of a peak in words."""
    return (
        peak.during if peak.during == OUTSIDE else f"when {peak.during} {'learn' if ',' in peak.during else 'learns'}"
    )
