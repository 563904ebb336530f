"""Translate the sources of a route batch by batch and let tallies take what they read of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from translate.data.module import DataModule, Shard
from translate.data.philox import normal, uniform
from translate.data.streams import FIRST_EVALUATION_STREAM
from translate.data.transforms import to_float
from translate.evaluation.tasks import Route
from translate.metrics.accumulators import Accumulator
from translate.metrics.features import Features, quantized

REFERENCE_BATCH = 32  # references are drawn as the StarGAN v2 code draws them, in shuffled batches of this size

Modes = dict[str, str | None]
"""Name of a mode -> the keyword of `translate` that guides it; {"": None} for a model without guides."""


class Translating(Protocol):
    """What is measured of a model."""

    style_inputs: Any
    latent_size: int

    def translate(self, x: Tensor, target: Tensor, *args: Any, **guide: Any) -> Tensor:
        """Return images (n, 3, S, S) in about [-1, 1]."""
        ...


@dataclass(frozen=True)
class Reading:
    """A metric that is fed: what it reads, the features that it compares, and its tally."""

    reads: str  # "features", "outputs", "sources" or "pairs"
    metric: Any
    accumulator: Accumulator
    features: Features | None = None


@dataclass(frozen=True)
class Stream:
    """How a route is translated: ``num_outputs`` translations a source, ``batch_size`` sources at once."""

    num_outputs: int
    batch_size: int
    seed: int
    device: torch.device


def modes(style_inputs: Sequence[str]) -> Modes:
    """Return the modes of a model with these guides.

    >>> modes(("code", "reference")), modes(())
    ({'latent': 'code', 'reference': 'reference'}, {'': None})
    """
    names = {"code": "latent", "reference": "reference"}
    return {names[guide]: guide for guide in style_inputs} or {"": None}


@torch.no_grad()
def stream(
    model: Translating,
    data: DataModule,
    route: Route,
    guide: str | None,
    how: Stream,
    readings: Sequence[Reading],
    shard: Shard | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> None:
    """Translate this shard's sources of a route and feed all readings; ``progress`` hears of the translations made.

    The sources of shard r of N are those at positions r, r + N ... A translation depends on its position alone.
    """
    shard = shard or Shard()
    num_outputs = how.num_outputs if guide else 1
    mine = np.arange(shard.rank, len(route.sources), shard.count)
    for start in range(0, len(mine), how.batch_size):
        positions = mine[start : start + how.batch_size]
        rows = route.sources[positions]
        x = _images(data, rows).to(how.device)
        target = route.target(rows).to(how.device)
        outputs = []
        for number in range(num_outputs):
            guiding = _guide(model, data, route, guide, how, positions, number, num_outputs)
            outputs.append(model.translate(x, target, **guiding).float())
            progress(len(positions))
        _feed(readings, x, outputs, positions, data, rows)


def _feed(
    readings: Sequence[Reading],
    x: Tensor,
    outputs: list[Tensor],
    positions: np.ndarray,
    data: DataModule,
    rows: np.ndarray,
) -> None:
    """Let readings take translations of sources ``x`` at some positions; features are computed once for all."""
    pictures = np.concatenate([quantized(output) for output in outputs])
    keys = np.concatenate([positions * len(outputs) + number for number in range(len(outputs))])
    computed: dict[int, Tensor] = {}
    for reading in readings:
        if reading.reads == "features":
            assert reading.features is not None
            name = id(reading.features)
            if name not in computed:
                computed[name] = reading.features(pictures)
            reading.accumulator.add(computed[name], keys)
        elif reading.reads == "outputs":
            reading.accumulator.add(reading.metric.read(outputs), positions)
        elif reading.reads == "sources":
            reading.accumulator.add(reading.metric.read(outputs, x), positions)
        else:
            wanted = data.rows("val", rows).partner
            assert wanted is not None
            found = [torch.from_numpy(each).permute(0, 3, 1, 2).float() for each in (pictures, quantized(wanted))]
            reading.accumulator.add(reading.metric.read(*found), positions)


def _guide(
    model: Translating,
    data: DataModule,
    route: Route,
    guide: str | None,
    how: Stream,
    positions: np.ndarray,
    number: int,
    num_outputs: int,
) -> dict[str, Tensor]:
    """Return what guides translation ``number`` of sources at some positions."""
    if guide == "code":
        draws = normal(
            how.seed, FIRST_EVALUATION_STREAM + 2 * route.number, positions * num_outputs + number, model.latent_size
        )
        return {"code": torch.from_numpy(draws).to(how.device)}
    if guide == "reference":
        chosen = reference_rows(len(route.references), positions, number, num_outputs, how.seed, route.number)
        return {"reference": _images(data, route.references[chosen]).to(how.device)}
    return {}


def reference_rows(
    count: int, positions: np.ndarray, number: int, num_outputs: int, seed: int, route: int
) -> np.ndarray:
    """Return which of ``count`` references guide translation ``number`` of sources at some positions (n,).

    As the StarGAN v2 code draws them: sources come in batches of 32, and every translation of a batch takes the next
    batch of shuffled references; a short last one is dropped, and after the last whole one they are shuffled anew.
    Fewer than 32 references, with which that code fails, are one batch, in which sources take turns.
    """
    size = min(REFERENCE_BATCH, count)
    in_a_round = count // size
    batches = positions // REFERENCE_BATCH * num_outputs + number
    rounds, places = np.divmod(batches, in_a_round)
    chosen = np.empty(len(positions), np.int64)
    for turn in np.unique(rounds):
        here = rounds == turn
        chance = uniform(seed, FIRST_EVALUATION_STREAM + 2 * route + 1, turn * count + np.arange(count), 1)[:, 0]
        order = np.argsort(chance, kind="stable")
        chosen[here] = order[places[here] * size + positions[here] % REFERENCE_BATCH % size]
    return chosen


def _images(data: DataModule, rows: np.ndarray) -> Tensor:
    return to_float(torch.from_numpy(data.images("val").take(rows)))


def read_real(
    pictures: Iterator[tuple[np.ndarray, np.ndarray]], accumulators: Mapping[str, Accumulator], features: Features
) -> None:
    """Let tallies take the features of real pictures, given as batches of (pictures, positions)."""
    for pixels, positions in pictures:
        found = features(pixels)
        for accumulator in accumulators.values():
            accumulator.add(found, positions)
