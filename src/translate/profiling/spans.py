"""Measure where the time of an iteration goes, by nested spans."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any

from torch import nn

from translate.models.base import TranslationModel

OUTSIDE = "outside updates"
BACKWARD, OPTIMIZER, EMA, REST = "backward", "optimizer", "EMA", "losses and penalties"

PARTS = {"step": REST, "update": REST, "minimize": BACKWARD, "optimizer": OPTIMIZER, "update_ema": EMA}
"""Phase of `translate.models.base.Observer` -> the part of an iteration to which its time belongs."""


class Spans:
    """Seconds by (update, part). Time belongs to the innermost span alone; ``settle`` waits for the device."""

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[tuple[str, str], float] = {}
        self._settle = settle
        self._open: list[tuple[str, str]] = []
        self._since = 0.0

    @contextmanager
    def span(self, part: str, update: str | None = None) -> Iterator[None]:
        """Measure the time inside the block; without ``update`` it belongs to the update of the surrounding span."""
        self._count()
        around = self._open[-1][0] if self._open else OUTSIDE
        self._open.append((update or around, part))
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
def measured(model: TranslationModel, spans: Spans) -> Iterator[None]:
    """Measure a model's iterations: updates, and in them networks, backward passes, optimizers and EMA."""

    def observer(phase: str, roles: tuple[str, ...]) -> AbstractContextManager[object]:
        return spans.span(PARTS[phase], update="+".join(roles) if phase == "update" else None)

    before, model.observer = model.observer, observer
    changed: list[tuple[nn.Module, str]] = []
    for role in model.roles:
        network = model.network(role)
        for name in _methods(network):  # networks are called by other methods than forward, which hooks do not see
            changed.append((network, name))
            object.__setattr__(network, name, spans.timed(getattr(network, name), role))
    try:
        yield
    finally:
        model.observer = before
        for network, name in changed:
            object.__delattr__(network, name)


def _methods(network: nn.Module) -> list[str]:
    """Return the names of a network's own public methods, without those that every module has."""
    own = [kind for kind in type(network).__mro__ if issubclass(kind, nn.Module) and kind is not nn.Module]
    names = {name for kind in own for name, value in vars(kind).items() if callable(value) and name[0] != "_"}
    return sorted(name for name in names if name == "forward" or not hasattr(nn.Module, name))
