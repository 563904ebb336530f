"""Say in plain words when a training goes wrong: one side is too strong, styles have become one, gradients jump."""

import logging
import statistics
from collections import deque
from collections.abc import Iterator, Mapping

import pytorch_lightning as pl

from translate.distributed.collectives import process_rank
from translate.training.callbacks.metric_logging import MetricLogging

log = logging.getLogger("translate")

PATIENCE = 5  # records in a row before a state is called lasting
MEMORY = 20  # records that a gradient norm is compared with
TOO_SURE = 0.995  # share of pairs that the discriminator ranks rightly
TOO_BLIND = 0.53
ONE_IMAGE = 0.01  # mean difference between the images of two codes, of a range of 2
JUMP = 20.0  # times the median


class Health(pl.Callback):
    """Look at every record of `MetricLogging` and warn, once for each trouble until it has passed.

    Looked at are ``accuracy/*``, the share of pairs of a real and a fake image that a discriminator ranks rightly;
    ``*/diversity``, minus the difference between the images of two codes; and ``gradient_norm/*``.
    """

    def __init__(self, metric_logging: MetricLogging) -> None:
        self.metric_logging = metric_logging
        self.troubles: set[str] = set()
        self._records: deque[Mapping[str, float]] = deque(maxlen=MEMORY)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Look at a new record, in the first process."""
        latest = self.metric_logging.latest
        if process_rank() != 0 or not latest or (self._records and self._records[-1] is latest):
            return
        found = dict(self.look(latest))
        for trouble, sentence in found.items():
            if trouble not in self.troubles:
                log.warning("iteration %d: %s", pl_module.iteration, sentence)
        self.troubles = set(found)

    def look(self, record: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        """Yield (key, sentence) for each trouble that a new record shows, and remember the record."""
        before = list(self._records)
        self._records.append(record)
        recent = list(self._records)[-PATIENCE:]
        for name, value in record.items():
            if name.startswith("gradient_norm/"):
                yield from self._jump(name, value, [r[name] for r in before if name in r])
            if len(recent) < PATIENCE or any(name not in r for r in recent):
                continue
            values = [r[name] for r in recent]
            if name.startswith("accuracy/"):
                yield from self._imbalance(name, values)
            if name.endswith("/diversity") and all(abs(v) < ONE_IMAGE for v in values):
                yield (
                    name,
                    f"two codes give nearly the same image ({name}: a difference of {abs(value):.4f} in a range of 2); "
                    "styles have become one: raise the weight of diversity or the rate of the mapping network",
                )

    @staticmethod
    def _imbalance(name: str, values: list[float]) -> Iterator[tuple[str, str]]:
        which = name.removeprefix("accuracy/")
        mean = statistics.fmean(values)
        if min(values) > TOO_SURE:
            yield (
                name,
                f"{which} ranks {mean:.1%} of pairs of real and fake rightly, so the generator learns little from it; "
                "lower its learning rate or raise the weight of its penalty",
            )
        elif max(values) < TOO_BLIND:
            yield (
                name,
                f"{which} ranks only {mean:.1%} of pairs of real and fake rightly, as a coin would; raise its learning "
                "rate or lower the generator's",
            )

    @staticmethod
    def _jump(name: str, value: float, before: list[float]) -> Iterator[tuple[str, str]]:
        if len(before) < PATIENCE:
            return
        usual = statistics.median(before)
        if usual > 0 and value > JUMP * usual:
            yield (
                name,
                f"{name} jumped to {value:.3g}, {value / usual:.0f} times its median; if it comes again, lower the "
                "learning rates or set model.gradient_clip",
            )
