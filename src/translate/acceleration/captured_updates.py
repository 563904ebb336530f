"""Iterations as CUDA graphs: captured once, then replayed by one launch instead of thousands, `trainer.graphs`.

A graph repeats the operations of the iteration that it was captured from, on the same memory. So everything that
changes between iterations is in a tensor whose place stays, and is written before each replay: the batch, the learning
rates, and what the step takes from `HostInputs`: weights of terms, random draws. What cannot be in a graph, such as an
image pool, runs between two of them (`HostInputs.outside`). Other changes, such as a penalty that is not due, are
variants of the step. Each has graphs of its own; all graphs share one memory pool.

Before its capture, a variant runs like the graph: with the same tensors, and with the iteration of its first run where
Python reads it. On a CPU it always does, so a test of equal numbers there finds a step that reads more.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_flatten, tree_unflatten

from translate.acceleration.step_counts import move_step_counts
from translate.distributed.collectives import shard_count
from translate.errors import first_line

log = logging.getLogger("translate")

OWN = ("translate", "torch")  # the packages whose parts are known to read nothing else from the host
WARM_UP = 3  # iterations of a variant before its capture: algorithms are chosen, optimizers have their state


class HostInputs:
    """What a step takes from the host, anew in every iteration. Without a tape it is computed where it is asked for."""

    def __init__(self) -> None:
        self.tape: Tape | None = None

    def tensor(self, make: Callable[[], Tensor], device: torch.device) -> Tensor:
        """Return ``make()``, a function of the iteration; on a device if a tape is recorded."""
        return make() if self.tape is None else self.tape.tensor(make, device)

    def number(self, make: Callable[[], float], like: Tensor) -> float | Tensor:
        """Return ``make()``, a function of the iteration, to multiply a tensor by."""
        if self.tape is None:
            return make()
        return self.tape.tensor(lambda: torch.tensor(make(), dtype=like.dtype), like.device)

    def outside(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return ``function(images)``, of images without history. The function may read and change state."""
        return function(images) if self.tape is None else self.tape.outside(function, images)


class CapturableModel(Protocol):
    """What is read of a model."""

    iteration: int
    trained: tuple[str, ...]
    losses: dict[str, Any]
    host_inputs: HostInputs

    @property
    def device(self) -> torch.device:
        """Return where the networks are."""

    def step(self, batch: Any) -> None:
        """Do one iteration."""

    def step_variant(self) -> Hashable:
        """Return on what the operations of this iteration depend; None if they cannot be captured."""

    def nonzero_weights(self) -> Hashable:
        """Return which terms have a weight in this iteration."""

    def records(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the dictionaries of what the iteration has recorded."""

    def optimizer(self, role: str) -> Optimizer:
        """Return the optimizer of a trained role."""

    def modules(self) -> Iterator[nn.Module]:
        """Return the model and all networks and layers in it."""


def reason_against(model: CapturableModel, device: torch.device, device_types: Sequence[str]) -> str | None:
    """Return why the iterations of a model on a device are not captured; None if they can be."""
    if device.type not in device_types:
        return "the run is not on a CUDA device"
    if shard_count() > 1:
        return "processes and microbatches wait for each other on the CPU"
    definers = [next(kind for kind in type(model).__mro__ if name in vars(kind)) for name in ("step", "step_variant")]
    if definers[0] is not definers[1] or model.step_variant() is None:
        return f"the step of {type(model).__name__} is not written for graphs"
    for role in model.trained:
        if "capturable" not in (optimizer := model.optimizer(role)).defaults:
            return f"{type(optimizer).__name__} of {role} cannot step in a graph"
    return None


def foreign_part(model: CapturableModel) -> str | None:
    """Return the name of a part of a model that another package defines, None if all are own or of torch.

    Such a part may read the iteration, or count calls, in Python. A graph would repeat the numbers of its capture.
    """
    parts = [*model.modules(), *model.losses.values(), *map(model.optimizer, model.trained)]
    for part in parts:
        kind = part if isinstance(part, FunctionType) else type(part)
        if kind.__module__.partition(".")[0] not in OWN:
            return kind.__name__
    return None


class CapturedSteps:
    """Runs the iterations of a model by graphs; as they are if they cannot be captured.

    A warning then says why, unless the model is not written for graphs and nobody has asked for them. Nor is a model
    with parts of other packages captured unasked. If ``device_types`` has "cpu" too, iterations on a CPU run in the way
    in which they would be captured.
    """

    def __init__(self, model: CapturableModel, device_types: Sequence[str] = ("cuda",), is_asked: bool = True) -> None:
        self.model = model
        self.device_types = device_types
        self.is_asked = is_asked
        self.is_refused: bool | None = None
        self._tapes: dict[Hashable, Tape] = {}
        self._pool: Any = None
        self._rates: list[Tensor] = []

    def __call__(self, batch: Any) -> None:
        """Do one iteration on a batch."""
        if self.is_refused is None:
            reason = reason_against(self.model, self.model.device, self.device_types)
            if reason is None and not self.is_asked and (part := foreign_part(self.model)) is not None:
                reason = f"{part} is of another package"
            self._refuse(reason, self.is_asked)
            _allow_streams_of_warm_up()
        if self.is_refused:
            self.model.step(batch)
            return
        leaves, structure = tree_flatten(batch)
        shapes = tuple(leaf.shape if isinstance(leaf, Tensor) else leaf for leaf in leaves)
        key = (self.model.step_variant(), self.model.nonzero_weights(), shapes, str(structure))
        if key not in self._tapes:
            self._tapes[key] = Tape(self.model, leaves, structure)
        tape = self._tapes[key]
        tape.refresh(leaves)
        if self.model.device.type != "cuda":
            tape.run()
            return
        with self._rates_in_tensors():
            if tape.graphs is None and tape.runs < WARM_UP:
                side = torch.cuda.Stream()
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    tape.run()
                torch.cuda.current_stream().wait_stream(side)
                return
            if tape.graphs is None and not self._capture(tape):
                self.model.step(batch)
                return
            tape.replay()

    def _refuse(self, reason: str | None, warns: bool = True) -> None:
        self.is_refused = reason is not None
        if reason is not None and warns:
            log.warning("trainer.graphs=%s has no effect: %s", "true" if self.is_asked else "null", reason)

    def _capture(self, tape: "Tape") -> bool:
        """Capture a variant, which does nothing to the model; return False, after a warning, if the device cannot."""
        stream = torch.cuda.current_stream()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            tape.capture(self._pool)
        except RuntimeError as error:  # a network waits for the device, for example
            torch.cuda.set_stream(stream)
            for records in self.model.records():
                records.clear()
            self._refuse(f"torch cannot capture an iteration ({first_line(error)})")
            self._tapes.clear()  # with their memory, which the iterations may need
            self._pool = None
        return not self.is_refused

    @contextmanager
    def _rates_in_tensors(self) -> Iterator[None]:
        """Give optimizers their learning rates as tensors, and let them step in a graph; restore on exit."""
        optimizers = [self.model.optimizer(role) for role in self.model.trained]
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        if not self._rates:
            self._rates = [torch.zeros((), device=self.model.device) for _ in groups]
            move_step_counts(optimizers)
        before = [(group["lr"], group["capturable"]) for group in groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"], group["capturable"] = rate.fill_(group["lr"]), True
        try:
            yield
        finally:
            for group, (rate_before, was_capturable) in zip(groups, before, strict=True):
                group["lr"], group["capturable"] = rate_before, was_capturable


def _allow_streams_of_warm_up() -> None:
    """Let torch not warn that gradients come from another stream than that on which parameters were first used.

    The streams wait for each other, before a capture and after it.
    """
    if (warn := getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)) is not None:
        warn(False)


class Tape:
    """The tensors of one variant of a step, in the order in which the step asks for them, and its graphs."""

    def __init__(self, model: CapturableModel, leaves: Sequence[Any], structure: Any) -> None:
        self.model = model
        self.iteration = model.iteration  # as Python reads it in every run
        self.leaves = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.batch = tree_unflatten(self.leaves, structure)
        self.runs = 0
        self.graphs: list[torch.cuda.CUDAGraph] | None = None
        self._inputs: list[tuple[Callable[[], Tensor], Tensor]] = []
        self._outside: list[tuple[Callable[[Tensor], Tensor], Tensor, Tensor]] = []
        self._recorded: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
        self._position = [0, 0]  # of the next input, and of the next function outside
        self._now = model.iteration
        self._pool: Any = None
        self._segment: Any = None  # the context of the graph that is captured

    def refresh(self, leaves: Sequence[Any]) -> None:
        """Write the batch and the inputs of this iteration into their tensors."""
        self._now = self.model.iteration
        for mine, leaf in zip(self.leaves, leaves, strict=True):
            if isinstance(mine, Tensor):
                mine.copy_(leaf, non_blocking=True)
        for make, tensor in self._inputs:
            tensor.copy_(make(), non_blocking=True)

    def run(self) -> None:
        """Do the iteration by Python, with the tensors of this tape."""
        self._position = [0, 0]
        self.model.host_inputs.tape, self.model.iteration = self, self.iteration
        try:
            self.model.step(self.batch)
        finally:
            self.model.host_inputs.tape, self.model.iteration = None, self._now
        self.runs += 1

    def tensor(self, make: Callable[[], Tensor], device: torch.device) -> Tensor:
        """Return the next input; the first run computes it."""
        number, self._position[0] = self._position[0], self._position[0] + 1
        if number == len(self._inputs):
            assert self._segment is None, "the step asks for more than before its capture"
            self._inputs.append((make, self._in_this_iteration(make).to(device, copy=True)))
        return self._inputs[number][1]

    def outside(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return the tensor in which the result of a function is, or will be when the graphs are replayed."""
        number, self._position[1] = self._position[1], self._position[1] + 1
        if self._segment is not None:
            _, _, result = self._outside[number]
            self._outside[number] = (function, images, result)
            self._end()
            self._begin()
            return result
        result = self._in_this_iteration(lambda: function(images))
        if number == len(self._outside):
            self._outside.append((function, images, result.clone()))
        return self._outside[number][2].copy_(result)

    def _in_this_iteration(self, make: Callable[[], Tensor]) -> Tensor:
        """Return ``make()`` at the iteration that is, not at that of the first run."""
        self.model.iteration = self._now
        try:
            return make()
        finally:
            self.model.iteration = self.iteration

    def capture(self, pool: Any) -> None:
        """Capture the iteration without doing it."""
        self.graphs, self._pool = [], pool
        self._begin()
        try:
            self.run()
        finally:
            self._end()
        terms, scores = self.model.records()
        self._recorded = dict(terms), dict(scores)

    def _begin(self) -> None:
        assert self.graphs is not None
        graph = torch.cuda.CUDAGraph()
        self.graphs.append(graph)
        # other threads copy batches to pinned memory meanwhile
        self._segment = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        self._segment.__enter__()

    def _end(self) -> None:
        self._segment.__exit__(None, None, None)
        self._segment = None

    def replay(self) -> None:
        """Do the iteration by its graphs, and the functions between them; copy what it records."""
        assert self.graphs is not None
        for number, graph in enumerate(self.graphs):
            graph.replay()
            if number < len(self._outside):
                function, images, result = self._outside[number]
                result.copy_(function(images))
        for records, captured in zip(self.model.records(), self._recorded, strict=True):
            records.update({name: tensor.clone() for name, tensor in captured.items()})
