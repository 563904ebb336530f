"""Warn when training goes wrong: an imbalance of the networks, mode collapse, or a jump of a gradient norm."""

import logging
import statistics
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytorch_lightning as pl

from translate.distributed.collectives import process_rank
from translate.training.callbacks.metric_logging import MetricLogging

log = logging.getLogger("translate")

PATIENCE = 5  # consecutive records before a warning
HISTORY = 20  # earlier records for the median of a gradient norm
TOO_STRONG = 0.995  # accuracy: fraction of (real, fake) pairs that the discriminator ranks correctly
TOO_WEAK = 0.53
SAME_IMAGE = 0.01  # mean absolute difference between the images of two codes; values are in [-1, 1]
JUMP = 20.0  # ratio of a gradient norm to its median


class Symptom(NamedTuple):
    """A sign in the recorded terms that training goes wrong, and what may help."""

    term: str
    statement: str
    fix: str

    def __str__(self) -> str:
        return f"{self.statement}. {self.fix}"


class HealthChecks:
    """Check the records of a run, one after the other.

    Checked terms: ``accuracy/*``, the fraction of pairs of a real and a fake image that a discriminator ranks
    correctly; ``*/diversity``, the negative difference between the images of two codes; ``gradient_norm/*``.
    """

    def __init__(self) -> None:
        self._records: deque[Mapping[str, float]] = deque(maxlen=HISTORY)

    def is_new(self, record: Mapping[str, float]) -> bool:
        """Return whether a record is another one than the last."""
        return not self._records or self._records[-1] is not record

    def check(self, record: Mapping[str, float]) -> Iterator[Symptom]:
        """Yield the symptoms in a new record, and add the record to the history."""
        before = list(self._records)
        self._records.append(record)
        recent = list(self._records)[-PATIENCE:]
        for name, value in record.items():
            if name.startswith("gradient_norm/"):
                yield from _jump(name, value, [r[name] for r in before if name in r])
            if len(recent) < PATIENCE or any(name not in r for r in recent):
                continue
            values = [r[name] for r in recent]
            if name.startswith("accuracy/"):
                yield from _imbalance(name, values)
            if name.endswith("/diversity") and all(abs(v) < SAME_IMAGE for v in values):
                yield Symptom(
                    name,
                    f"possible mode collapse: two codes give nearly the same image ({name}: mean difference "
                    f"{abs(value):.4f})",
                    "Raise the weight of diversity or the learning rate of the mapping network",
                )


def _imbalance(name: str, values: list[float]) -> Iterator[Symptom]:
    role = name.removeprefix("accuracy/")
    mean = statistics.fmean(values)
    if min(values) > TOO_STRONG:
        yield Symptom(
            name,
            f"{role} ranks {mean:.1%} of (real, fake) pairs correctly, so the generator gets little signal",
            "Lower its learning rate or raise the weight of its penalty",
        )
    elif max(values) < TOO_WEAK:
        yield Symptom(
            name,
            f"{role} ranks only {mean:.1%} of (real, fake) pairs correctly, which is near chance",
            "Raise its learning rate or lower the generator's",
        )


def _jump(name: str, value: float, before: list[float]) -> Iterator[Symptom]:
    if len(before) < PATIENCE:
        return
    usual = statistics.median(before)
    if usual > 0 and value > JUMP * usual:
        yield Symptom(
            name,
            f"{name} jumped to {value:.3g}, {value / usual:.0f} times its median",
            "If this repeats, lower the learning rates or set model.gradient_clip",
        )


def _without_gradient(role: str, since: int) -> Symptom:
    return Symptom(
        f"gradient/{role}",
        f"all gradients of {role} are 0 since iteration {since}, so it does not learn",
        "Give a loss that depends on it a weight, or leave its optimizer out",
    )


class Health(pl.Callback):
    """Check every record of `MetricLogging` and log a warning, once per symptom until it has passed."""

    def __init__(self, metric_logging: MetricLogging) -> None:
        self.metric_logging = metric_logging
        self.active: set[str] = set()  # terms with a symptom in the latest record
        self._checks = HealthChecks()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Check a new record, in the first process."""
        latest = self.metric_logging.latest
        if process_rank() != 0 or not latest or not self._checks.is_new(latest):
            return
        symptoms = {symptom.term: symptom for symptom in self._checks.check(latest)}
        for role, since in self.metric_logging.without_gradients().items():
            symptoms[f"gradient/{role}"] = _without_gradient(role, since)
        for term, symptom in symptoms.items():
            if term not in self.active:
                log.warning("iteration %d: %s", pl_module.iteration, symptom)
        self.active = set(symptoms)
