"""Translate the sources of a task batch by batch, and let the inputs of metrics accumulate what they read."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from translate import signals
from translate.data.module import DataModule, Shard
from translate.data.transforms import to_float
from translate.evaluation.streams import latent_codes, reference_rows
from translate.evaluation.tasks import HIGH_RESOLUTION, TranslationTask
from translate.evaluation.whole_images import stream_whole_images
from translate.metrics.accumulators import Accumulator
from translate.metrics.features import quantized
from translate.metrics.interfaces import Features, OutputsMetric, PairsMetric, Reads, SourcesMetric

Modes = dict[str, str | None]
"""Name of a mode -> the keyword of `translate` for its style input; {"": None} for a model without style inputs."""


class TranslatedModel(Protocol):
    """The part of a model that evaluation uses."""

    latent_size: int

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return the style inputs: "code", "reference", both, or none."""
        ...

    @property
    def only_target(self) -> int | None:
        """Return the only domain to which the model translates; None if there are several."""
        ...

    @property
    def device(self) -> torch.device:
        """Return the device of the networks."""
        ...

    @property
    def scale(self) -> int:
        """Return by how much height and width of translations exceed those of their sources."""
        ...

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style_input: Any) -> Tensor:
        """Return images (n, 3, S, S) in about [-1, 1]."""
        ...


class TranslatedBatch:
    """The translations of some sources of a task. Features are computed once for all metrics that read them."""

    def __init__(
        self, data: DataModule, rows: np.ndarray, sources: Tensor, outputs: list[Tensor], positions: np.ndarray
    ) -> None:
        """Take the rows (n,) and images (n, 3, S, S) of the sources at some positions (n,), and their translations."""
        self.data, self.rows, self.sources, self.outputs, self.positions = data, rows, sources, outputs, positions
        self.keys = np.concatenate([positions * len(outputs) + number for number in range(len(outputs))])
        self._features: dict[int, Tensor] = {}

    @cached_property
    def images(self) -> np.ndarray:
        """The translations as 8-bit images (k n, S, S, 3), in the order of `keys`."""
        return np.concatenate([quantized(output) for output in self.outputs])

    @cached_property
    def targets(self) -> np.ndarray:
        """The partners of the sources, 8-bit (n, S, S, 3), in a data set of pairs."""
        partner = self.data.rows("val", self.rows).partner
        assert partner is not None
        return quantized(partner)

    def first(self, limit: int) -> "TranslatedBatch | None":
        """Return the part of this batch at positions below a limit; None for no part."""
        chosen = self.positions < limit
        if chosen.all():
            return self
        kept = torch.from_numpy(np.flatnonzero(chosen)).to(self.sources.device)
        outputs = [output[kept] for output in self.outputs]
        rows, positions = self.rows[chosen], self.positions[chosen]
        return TranslatedBatch(self.data, rows, self.sources[kept], outputs, positions) if len(rows) else None

    def features(self, network: Features) -> Tensor:
        """Return the features (k n, D) of the translations, computed at the first call for a network."""
        if id(network) not in self._features:
            self._features[id(network)] = network(self.images)
        return self._features[id(network)]

    def source_features(self, network: Features) -> Tensor:
        """Return the features (n, D) of the sources."""
        return network(quantized(self.sources))


class MetricInput(Protocol):
    """A metric's accumulator and how it reads a batch of translations."""

    @property
    def accumulator(self) -> Accumulator:
        """Return the accumulator."""
        ...

    def add(self, batch: TranslatedBatch) -> None:
        """Add a batch to the accumulator."""
        ...


@dataclass(frozen=True)
class FeaturesInput:
    """Read the features of translations."""

    accumulator: Accumulator
    network: Features

    def add(self, batch: TranslatedBatch) -> None:
        """Add a batch to the accumulator."""
        self.accumulator.add(batch.features(self.network), batch.keys)


@dataclass(frozen=True)
class SourceFeaturesInput:
    """Read the features of translations and of their sources side by side."""

    accumulator: Accumulator
    network: Features

    def add(self, batch: TranslatedBatch) -> None:
        """Add a batch to the accumulator."""
        sources = batch.source_features(self.network).repeat(len(batch.outputs), 1)
        self.accumulator.add(torch.cat([batch.features(self.network), sources], dim=1), batch.keys)


@dataclass(frozen=True)
class OutputsInput:
    """Read the translations of each source together."""

    accumulator: Accumulator
    metric: OutputsMetric

    def add(self, batch: TranslatedBatch) -> None:
        """Add a batch to the accumulator."""
        self.accumulator.add(self.metric.read(batch.outputs), batch.positions)


@dataclass(frozen=True)
class SourcesInput:
    """Read the translations of each source together with the source."""

    accumulator: Accumulator
    metric: SourcesMetric

    def add(self, batch: TranslatedBatch) -> None:
        """Add a batch to the accumulator."""
        self.accumulator.add(self.metric.read(batch.outputs, batch.sources), batch.positions)


@dataclass(frozen=True)
class PairsInput:
    """Read each translation together with its target, in a data set of pairs."""

    accumulator: Accumulator
    metric: PairsMetric

    def add(self, batch: TranslatedBatch) -> None:
        """Add a batch to the accumulator."""
        self.add_pairs(batch.images, batch.targets, batch.positions)

    def add_pairs(self, images: np.ndarray, targets: np.ndarray, positions: np.ndarray) -> None:
        """Add translations and targets, 8-bit (n, H, W, 3), to the accumulator."""
        tensors = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() for pixels in (images, targets))
        self.accumulator.add(self.metric.read(*tensors), positions)


@dataclass(frozen=True)
class FirstSources:
    """Read the first sources of a task alone: those at positions below ``limit``."""

    source: MetricInput
    limit: int

    @property
    def accumulator(self) -> Accumulator:
        """Return the accumulator."""
        return self.source.accumulator

    def add(self, batch: TranslatedBatch) -> None:
        """Add the part of a batch that is below the limit."""
        part = batch.first(self.limit)
        if part is not None:
            self.source.add(part)


VALUE_INPUTS: dict[Reads, Callable[[Accumulator, Any], MetricInput]] = {
    Reads.OUTPUTS: OutputsInput,
    Reads.SOURCES: SourcesInput,
    Reads.PAIRS: PairsInput,
}
"""What a metric reads, one value for each source -> its input."""


@dataclass(frozen=True)
class StreamSettings:
    """How a task is translated: ``num_outputs`` translations of a source, ``batch_size`` sources at once."""

    num_outputs: int
    batch_size: int
    seed: int
    device: torch.device


def modes(style_inputs: Sequence[str]) -> Modes:
    """Return the modes of a model with these style inputs.

    >>> modes(("code", "reference")), modes(())
    ({'latent': 'code', 'reference': 'reference'}, {'': None})
    """
    names = {"code": "latent", "reference": "reference"}
    return {names[style_input]: style_input for style_input in style_inputs} or {"": None}


@torch.no_grad()
def stream(
    model: TranslatedModel,
    data: DataModule,
    task: TranslationTask,
    style_input: str | None,
    settings: StreamSettings,
    inputs: Sequence[MetricInput],
    shard: Shard | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> None:
    """Translate this shard's sources of a task for all inputs; ``progress`` is called with numbers of translations.

    The sources of shard r of N are those at positions r, r + N ... A translation depends on its position alone. Images
    of high resolution are sources as a whole, see `translate.evaluation.whole_images`.
    """
    shard = shard or Shard()
    if data.view == HIGH_RESOLUTION:
        add = [each.add_pairs for each in inputs if isinstance(each, PairsInput)]
        target = torch.zeros(1, dtype=torch.int64, device=settings.device)
        enlarge = functools.partial(_translated, model, target)
        stream_whole_images(enlarge, model.scale, data, task.sources, settings.device, add, shard, progress)
        return
    num_outputs = settings.num_outputs if style_input else 1
    own = np.arange(shard.rank, len(task.sources), shard.count)
    for start in range(0, len(own), settings.batch_size):
        positions = own[start : start + settings.batch_size]
        rows = task.sources[positions]
        x = _images(data, rows).to(settings.device)
        target = task.targets[positions].to(settings.device)
        outputs = []
        for number in range(num_outputs):
            signals.check()
            arguments = _style_argument(model, data, task, style_input, settings, positions, number, num_outputs)
            outputs.append(model.translate(x, target, **arguments).float())
            progress(len(positions))
        batch = TranslatedBatch(data, rows, x, outputs, positions)
        for each in inputs:
            each.add(batch)


def _translated(model: TranslatedModel, target: Tensor, x: Tensor) -> Tensor:
    return model.translate(x, target)


def _style_argument(
    model: TranslatedModel,
    data: DataModule,
    task: TranslationTask,
    style_input: str | None,
    settings: StreamSettings,
    positions: np.ndarray,
    number: int,
    num_outputs: int,
) -> dict[str, Tensor]:
    """Return the keyword argument of `translate` for translation ``number`` of sources at some positions."""
    if style_input == "code":
        codes = latent_codes(settings.seed, task.number, positions, number, num_outputs, model.latent_size)
        return {"code": codes.to(settings.device)}
    if style_input == "reference":
        count = len(task.references)
        rows = reference_rows(count, positions, number, num_outputs, settings.seed, task.number)
        return {"reference": _images(data, task.references[rows]).to(settings.device)}
    return {}


def _images(data: DataModule, rows: np.ndarray) -> Tensor:
    return to_float(torch.from_numpy(data.images("val").take(rows)))


def read_real(
    batches: Iterator[tuple[np.ndarray, np.ndarray]], accumulators: Mapping[str, Accumulator], network: Features
) -> None:
    """Add the features of real images, given as batches of (8-bit images, positions), to accumulators."""
    for pixels, positions in batches:
        signals.check()
        features = network(pixels)
        for accumulator in accumulators.values():
            accumulator.add(features, positions)
