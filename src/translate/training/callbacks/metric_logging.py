"""Log the terms of every iteration; stop the run when a term, a trained network or an EMA is NaN or infinite."""

import math
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from translate.distributed.collectives import all_reduce_mean, process_rank
from translate.models.base import TranslationModel
from translate.runs.checkpoints import EMA, NETWORK
from translate.runs.folder import RunFolder

NOT_FINITE = "became NaN or infinite"
"""Part of the message of `NonFiniteError`; a report on a run looks for it in the log."""


class NonFiniteError(RuntimeError):
    """A term of an iteration, a trained network or an EMA is NaN or infinite."""


def weights_are_finite(model: TranslationModel) -> dict[str, Tensor]:
    """Return a scalar for each trained network and each EMA: 0, or NaN if a weight is not finite.

    The scalars are on the model's device, and nothing waits for it. A name is a group of checkpoints and a role, such
    as ``ema/generator``.
    """
    networks: dict[str, nn.Module] = {f"{NETWORK}/{role}": model.network(role) for role in model.trained}
    networks |= {f"{EMA}/{role}": network for role, network in model.ema.networks.items()}
    finite: dict[str, Tensor] = {}
    for name, network in networks.items():  # state_dict waits for a network that leaves the device
        tensors = [t for t in network.state_dict().values() if t.is_floating_point() and t.numel()]
        if tensors:
            largest = torch.stack([norm.to(model.device) for norm in torch._foreach_norm(tensors, math.inf)]).max()
            finite[name] = (largest * 0).float()
    return finite


def largest_gradients(model: TranslationModel) -> dict[str, Tensor]:
    """Return the largest absolute gradient of each trained role, on the model's device; -1 without any."""
    largest = dict.fromkeys(model.trained, torch.full((), -1.0, device=model.device))
    for role in model.trained:
        gradients = [p.grad for p in model.network(role).parameters() if p.grad is not None and p.numel()]
        if gradients:
            norms = torch._foreach_norm(gradients, math.inf)
            largest[role] = torch.stack([norm.to(model.device) for norm in norms]).max().float()
    return largest


class MetricLogging(pl.Callback):
    """Write the means of all terms every ``every`` iterations, to metrics.jsonl and the loggers.

    Terms stay on the device until then: one transfer per record, and no synchronization within a step. Every value is
    checked, so the error names the iteration of the first non-finite value. With each transfer goes a number for each
    trained network and each EMA, which says whether its weights are finite, and the largest gradient of each network.
    `Checkpointing` calls ``flush`` before it writes.
    """

    def __init__(self, folder: RunFolder | None, every: int, batch_size: int) -> None:
        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.latest: dict[str, float] = {}
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._window: list[dict[str, float]] = []
        self._since = time.monotonic()
        self._model: TranslationModel | None = None
        self._zero_since: dict[str, int] = {}  # role -> the iteration since which its gradients are 0
        self._noted = 0  # the last iteration whose gradients were noted

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start to measure the speed."""
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the terms; write a record if one is due."""
        assert isinstance(pl_module, TranslationModel)
        self._model = pl_module
        self._pending.append((pl_module.iteration, pl_module.terms))
        if pl_module.iteration % self.every == 0:
            self.flush()
            self._record(trainer, pl_module.iteration)

    def flush(self) -> None:
        """Fetch the pending terms; raise NonFiniteError if one, or a weight after the last iteration, is not finite."""
        if not self._pending:
            return
        assert self._model is not None
        names = [(iteration, name) for iteration, terms in self._pending for name in terms]
        weights, gradients = weights_are_finite(self._model), largest_gradients(self._model)
        recorded = [value for _, terms in self._pending for value in terms.values()]
        values = torch.stack([*recorded, *weights.values(), *gradients.values()])
        all_reduce_mean([values])  # all processes get the same numbers, so they stop together
        numbers = values.tolist()
        fetched: dict[int, dict[str, float]] = {}
        for (iteration, name), value in zip(names, numbers, strict=False):  # those of the weights follow
            fetched.setdefault(iteration, {})[name] = value
        last = self._pending[-1][0]
        further = iter(numbers[len(names) :])
        checked = [*fetched.items(), (last, {name: next(further) for name in weights})]
        self._note_gradients(last, {role: next(further) for role in gradients})
        for iteration, terms in checked:
            if wrong := [name for name, value in terms.items() if not math.isfinite(value)]:
                self._pending.clear()
                raise NonFiniteError(
                    f"iteration {iteration}: {', '.join(wrong[:4])} {NOT_FINITE}; the last checkpoint was "
                    "written before. Fix: lower the learning rates, or set model.gradient_clip=1"
                )
        self._window += [fetched.get(iteration, {}) for iteration, _ in self._pending]
        self._pending.clear()

    def _note_gradients(self, iteration: int, largest: Mapping[str, float]) -> None:
        """Keep since when the gradients of a role are 0; a role without any is left out."""
        self._noted = iteration
        for role, value in largest.items():
            if value > 0:
                self._zero_since.pop(role, None)
            elif value == 0:
                self._zero_since.setdefault(role, iteration)

    def without_gradients(self) -> dict[str, int]:
        """Return the roles whose gradients are 0 for at least the iterations of a record, and since when."""
        return {role: since for role, since in self._zero_since.items() if self._noted - since >= self.every}

    def exclude_time(self, seconds: float) -> None:
        """Exclude seconds without training, such as those of an evaluation, from the speed."""
        self._since += seconds

    def _record(self, trainer: pl.Trainer, iteration: int) -> None:
        seconds = (time.monotonic() - self._since) / len(self._window)
        self._since = time.monotonic()
        by_name: dict[str, list[float]] = {}  # some iterations lack a term (a critic is updated more often)
        for row in self._window:
            for name, value in row.items():
                by_name.setdefault(name, []).append(value)
        self.latest = {name: sum(values) / len(values) for name, values in by_name.items()}
        self._window.clear()
        speed = {"iterations_per_second": 1 / seconds, "images_per_second": self.batch_size / seconds}
        if self.folder is not None and process_rank() == 0:
            self.folder.append({"iteration": iteration, **self.latest, **speed})
        for logger in trainer.loggers:
            logger.log_metrics({**self.latest, **speed}, step=iteration)
