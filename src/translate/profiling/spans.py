"""Where the time of an iteration goes: spans that know which other spans they lie in."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import nn

from translate.models.base import TranslationModel

OUTSIDE = "outside updates"
BACKWARD, OPTIMIZER, AVERAGE, REST = "backward", "optimizer", "average", "losses and penalties"


class Spans:
    """Seconds by (phase, part). Time counts for the innermost span alone; ``settle`` waits for the device."""

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[tuple[str, str], float] = {}
        self._settle = settle
        self._open: list[tuple[str, str]] = []
        self._since = 0.0

    @contextmanager
    def span(self, part: str, phase: str | None = None) -> Iterator[None]:
        """Measure what happens inside; without a ``phase`` it is of the phase around it."""
        self._count()
        around = self._open[-1][0] if self._open else OUTSIDE
        self._open.append((phase or around, part))
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    def _count(self) -> None:
        self._settle()
        now = time.perf_counter()
        if self._open:
            key = self._open[-1]
            self.seconds[key] = self.seconds.get(key, 0.0) + now - self._since
        self._since = now

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Return a function that does the same within a span."""

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.span(part):
                return function(*args, **kwargs)

        return run


@contextmanager
def watched(model: TranslationModel, spans: Spans) -> Iterator[None]:
    """Measure the parts of a model's iterations: its updates, and in them networks, backward and optimizers."""
    changed: list[tuple[Any, str]] = []

    def replace(thing: Any, name: str, value: Any) -> None:
        changed.append((thing, name))
        object.__setattr__(thing, name, value)

    update = model.update

    @contextmanager
    def measured_update(*roles: str) -> Iterator[Callable[..., None]]:
        with spans.span(REST, phase="+".join(roles)), update(*roles) as minimize:
            yield minimize

    replace(model, "update", measured_update)
    replace(model, "_minimize", spans.timed(model._minimize, BACKWARD))
    replace(model, "update_ema", spans.timed(model.update_ema, AVERAGE))
    replace(model, "step", spans.timed(model.step, REST))
    for role in model.trained:
        optimizer = model.optimizer(role)
        replace(optimizer, "step", spans.timed(optimizer.step, OPTIMIZER))
    for role in model.roles:
        network = model.network(role)
        for name in _methods(network):
            replace(network, name, spans.timed(getattr(network, name), role))
    try:
        yield
    finally:
        for thing, name in changed:
            object.__delattr__(thing, name)


def _methods(network: nn.Module) -> list[str]:
    """Return the names of what a network computes: its public methods, apart from those that every module has."""
    own = [kind for kind in type(network).__mro__ if issubclass(kind, nn.Module) and kind is not nn.Module]
    names = {name for kind in own for name, value in vars(kind).items() if callable(value) and name[0] != "_"}
    return sorted(name for name in names if name == "forward" or not hasattr(nn.Module, name))
