"""Grain is that of a plain loop, knows speckle from edges of the source, and flawed outputs are counted."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data.datasets.critters import Critters
from translate.data.module import DataModule, Shard
from translate.data.synthetic.factors import SPECIES
from translate.data.synthetic.painting import render
from translate.evaluation.streaming import FirstSources, SourcesInput, StreamSettings, stream
from translate.evaluation.tasks import translation_tasks
from translate.metrics.accumulators import Accumulator, merged
from translate.metrics.grain import Grain
from translate.metrics.marks import FLAWS

CPU = torch.device("cpu")


def animals(count: int = 6, size: int = 32) -> Tensor:
    dataset = Critters(6, count, split="val", domains=["bear", "cat"])
    pixels = np.stack([dataset.read(item, size) for item in range(len(dataset))])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def scores_of(outputs: list[Tensor], sources: Tensor) -> dict[str, float]:
    metric = Grain()
    values = metric.accumulator()
    values.add(metric.read(outputs, sources), np.arange(len(sources)))
    return metric.compute(values)


def plain_grain(output: np.ndarray, source: np.ndarray) -> float:
    """Return the grain of images (S, S, 3) uint8 by loops over pixels."""
    deviations = []
    for y in range(1, len(source) - 1):
        for x in range(1, len(source) - 1):
            window = np.s_[y - 1 : y + 2, x - 1 : x + 2]
            own, other = (abs(image[y, x] - image[window].mean((0, 1))) for image in (source, output))
            if own.max() < 2:
                deviations.append(other.mean())
    return float(np.mean(deviations))


def test_grain_is_that_of_a_plain_loop() -> None:
    sources = animals()
    outputs = (sources + 0.1 * torch.randn(sources.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    pixels = [((x + 1) * 127.5).add(0.5).floor().permute(0, 2, 3, 1).double().numpy() for x in (outputs, sources)]
    expected = np.mean([plain_grain(*pair) for pair in zip(*pixels, strict=True)])
    assert scores_of([outputs], sources)["grain"] == pytest.approx(expected, rel=1e-9)


def test_sources_have_little_grain_and_speckle_has_much() -> None:
    sources = animals()
    own = scores_of([sources], sources)
    assert 0.1 < own["grain"] < 0.3
    assert [own[name] for name in FLAWS] == [0, 0, 0]
    speckle = 0.1 * torch.randn(sources.shape, generator=torch.Generator().manual_seed(0))
    assert scores_of([sources + speckle], sources)["grain"] > 20 * own["grain"]
    two = scores_of([sources, sources + speckle], sources)["grain"]
    assert two == pytest.approx((own["grain"] + scores_of([sources + speckle], sources)["grain"]) / 2)


def test_new_edges_are_grain_and_no_speckle() -> None:
    """Of the true answer: the same animal as another species, of which every edge belongs to the image."""
    cats = Critters(6, 20, split="val", domains=["cat"])
    as_rabbits = cats.factors.replace(species=np.full(len(cats), SPECIES.index("rabbit")))
    sources, answers = (
        torch.from_numpy(render(factors, 32)).permute(0, 3, 1, 2).float() / 127.5 - 1
        for factors in (cats.factors, as_rabbits)
    )
    own, true = scores_of([sources], sources), scores_of([answers], sources)
    assert true["grain"] > 4
    assert own["speckle"] <= own["grain"] < true["speckle"] < 1.5
    grainy = answers + 0.1 * torch.randn(answers.shape, generator=torch.Generator().manual_seed(0))
    assert scores_of([grainy.clamp(-1, 1)], sources)["speckle"] > 4 * true["speckle"]


def test_another_colour_of_a_coat_is_no_grain() -> None:
    sources = animals()
    assert scores_of([0.6 * sources + 0.1], sources)["grain"] < 1.5 * scores_of([sources], sources)["grain"]


def test_flawed_outputs_are_counted() -> None:
    sources = animals()
    black, grey = torch.full_like(sources[:1], -1.0), torch.zeros_like(sources[:1])
    loud = torch.sign(sources[:1])
    outputs = torch.cat([black, grey, loud, sources[3:]])
    count = len(sources)
    found = scores_of([outputs], sources)
    assert [found[name] for name in FLAWS] == pytest.approx([2 / count, 1 / count, 2 / count])
    metric = Grain()
    values = metric.accumulator()
    values.add(metric.read([outputs], sources), np.arange(count))
    assert any("translations are constant" in warning for warning in metric.warnings(values))


def test_without_sources_there_is_no_score() -> None:
    """As of a model of super-resolution, whose outputs are larger than its sources."""
    metric = Grain()
    scores = metric.compute(metric.accumulator())
    assert list(scores) == ["grain", "speckle", *FLAWS] and all(map(math.isnan, scores.values()))
    assert list(metric.warnings(metric.accumulator())) == []


def test_a_source_without_flat_pixels_does_not_count() -> None:
    sources = animals()
    rough = torch.rand(sources[:1].shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mixed = torch.cat([sources, rough])
    assert scores_of([mixed], mixed)["grain"] == pytest.approx(scores_of([sources], sources)["grain"])
    assert np.isnan(scores_of([rough], rough)["grain"])
    assert np.isnan(scores_of([rough], rough)["speckle"])


class Copy:
    """Returns its input, noisier with the number of calls."""

    latent_size, style_inputs, only_target, scale, device = 0, (), None, 1, CPU

    def translate(self, x: Tensor, target: Tensor, **_: object) -> Tensor:
        return x + 0.2 * torch.sin(torch.arange(x[0].numel()) * 9.0).view(x[0].shape)


def test_batches_processes_and_further_sources_change_nothing() -> None:
    parts = {part: Critters(6, 18, split=part, domains=["bear", "cat"]) for part in ("train", "val")}
    data = DataModule(**parts, image_size=32, batch_size=4, view="reference", labels=None, augment="none")
    task, metric = translation_tasks(data)[0], Grain(num_sources=5)

    def accumulated(batch_size: int, shard: Shard, limited: bool = True) -> Accumulator:
        source = SourcesInput(metric.accumulator(), metric)
        reads = FirstSources(source, 5) if limited else source
        own = task if limited else task.first(5)
        stream(Copy(), data, own, None, StreamSettings(1, batch_size, 0, CPU), [reads], shard)
        return reads.accumulator

    assert len(task.sources) > 5
    whole = accumulated(32, Shard(), limited=False)
    assert len(whole) == 5
    together = merged([accumulated(2, Shard(rank, 2)) for rank in range(2)])
    assert len(together) == 5
    assert metric.compute(together) == pytest.approx(metric.compute(whole), rel=1e-12)
    assert task.first(None).sources.tolist() == task.sources.tolist()
