"""The stream of samples is a function of seed and position: whoever makes it, in whatever pieces, and when."""

import math
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from properties.budget import examples
from properties.worlds import Numbers, domains
from translate.data.batches import RawImages
from translate.data.module import DataModule, Shard
from translate.data.views.base import ViewInputs, shuffled
from translate.data.views.reference import ReferenceView

VIEWS = ("reference", "labelled", "unpaired", "paired", "conditional")
seeds = st.integers(0, 2**64 - 1)


def module(view: str, domain: np.ndarray, **options: Any) -> DataModule:
    """Return the data of a run whose images are numbers; pairs have one item a domain in turn."""
    if view == "paired":
        domain = np.arange(2 * len(domain)) % 2
    dataset = Numbers(domain, num_attributes=3 * (view == "labelled"), paired=view == "paired")
    return DataModule(dataset, dataset, 4, view=view, latent_size=3, augment="none", **options)


def reference_view(domain: np.ndarray, latent_size: int, seed: int) -> ReferenceView:
    return ReferenceView(ViewInputs(Numbers(domain), np.arange(len(domain)), 1, latent_size, None, seed))


def flat(batch: Any) -> list[Tensor]:
    """Return all tensors of a batch, or of one for each of several data sets."""
    if isinstance(batch, Tensor):
        return [batch]
    return [tensor for value in batch for tensor in flat(value)]


def joined(batches: list[Any]) -> list[Tensor]:
    return [torch.cat(parts) for parts in zip(*map(flat, batches), strict=True)]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(a.equal(b) for a, b in zip(first, second, strict=True))


@st.composite
def runs(draw: st.DrawFn) -> tuple[str, np.ndarray, int, int]:
    """Draw (view, domains, seed, batch size)."""
    view = draw(st.sampled_from(VIEWS))
    most = 2 if view == "unpaired" else 5
    return view, draw(domains(2, most)), draw(seeds), draw(st.integers(1, 12))


@examples(60)
@given(runs(), st.integers(1, 4), st.integers(0, 10**6))
def test_slices_of_all_processes_make_up_the_batch(run, num_processes: int, iteration: int) -> None:
    view, domain, seed, each = run
    data = module(view, domain, batch_size=each * num_processes, seed=seed)
    whole = data.iterations()[iteration]
    slices = [data.iterations(Shard(rank, num_processes))[iteration] for rank in range(num_processes)]
    assert same(joined(slices), flat(whole))


@examples(60)
@given(runs(), st.integers(0, 10**6), st.integers(1, 4), st.randoms(use_true_random=False))
def test_it_does_not_matter_who_asks_and_what_was_asked_before(run, start: int, count: int, random) -> None:
    """Workers make batches in any order; a resumed run asks for the first time in the middle."""
    view, domain, seed, batch_size = run
    asked = list(range(start, start + count))
    random.shuffle(asked)
    one = module(view, domain, batch_size=batch_size, seed=seed).iterations()
    found = {k: flat(one[k]) for k in asked}
    for k in asked:
        assert same(flat(module(view, domain, batch_size=batch_size, seed=seed).iterations()[k]), found[k])


@examples(3)
@given(runs(), st.integers(1, 2), st.integers(0, 1000))
def test_workers_and_the_start_change_nothing(run, num_workers: int, start: int) -> None:
    view, domain, seed, batch_size = run
    options = {"batch_size": batch_size, "seed": seed, "start": start, "stop": start + 3}
    alone = [flat(batch) for batch in module(view, domain, **options).train_dataloader()]
    assert len(alone) == 3
    helped = module(view, domain, **options, num_workers=num_workers).train_dataloader()
    for found, wanted in zip(helped, alone, strict=True):
        assert same(flat(found), wanted)
    assert same(alone[2], flat(module(view, domain, **{**options, "start": 0}).iterations()[start + 2]))


@examples(60)
@given(runs(), st.integers(0, 500), st.integers(1, 4))
def test_the_batch_size_only_cuts_the_stream(run, iteration: int, times: int) -> None:
    """But for the targets of StarGAN v1, which are the labels of the same batch in another order."""
    view, domain, seed, batch_size = run
    small = module(view, domain, batch_size=batch_size, seed=seed).iterations()
    large = module(view, domain, batch_size=times * batch_size, seed=seed).iterations()[iteration]
    parts = [small[k] for k in range(times * iteration, times * (iteration + 1))]
    if view == "labelled":
        (large,), parts = large, [part for (part,) in parts]
        large, parts = (large.image, large.label), [(part.image, part.label) for part in parts]
    assert same(joined(parts), flat(large))


@examples(40)
@given(domains(2, 5), seeds, seeds, st.integers(0, 10**9))
def test_seeds_give_other_numbers(domain, seed, other, position) -> None:
    positions = np.arange(position, position + 4)
    first, second = (reference_view(domain, 2, one).draw(positions) for one in (seed, other))
    assert np.array_equal(first.code, second.code) == (seed == other)
    assert not np.array_equal(first.code, first.code2)


@examples(25)
@given(domains(2, 5), seeds, st.integers(0, 2**40))
def test_sources_and_targets_of_every_domain_are_alike_often(domain, seed, start) -> None:
    """Whatever the sizes of the domains. Six standard deviations: of a million cases not one is beyond."""
    count, num_domains = 4_000, int(domain.max()) + 1
    rows = reference_view(domain, 0, seed).draw(np.arange(start, start + count))
    share = 1 / num_domains
    margin = 6 * math.sqrt(count * share * (1 - share))
    for drawn in (rows.domain, rows.target):
        assert np.abs(np.bincount(drawn, minlength=num_domains) - count * share).max() <= margin


@examples(100)
@given(seeds, st.integers(0, 2**20), st.integers(1, 400), st.integers(0, 10**5), st.integers(1, 300))
def test_an_epoch_holds_everything_once(seed, stream, count, start, length) -> None:
    positions = np.arange(start, start + length)
    found = shuffled(seed, stream, positions, count)
    assert ((found >= 0) & (found < count)).all()
    for epoch in np.unique(positions // count):
        here = found[positions // count == epoch]
        assert len(set(here.tolist())) == len(here)
    whole = shuffled(seed, stream, np.arange(start // count * count, (start // count + 1) * count), count)
    assert sorted(whole.tolist()) == list(range(count))


@examples(40)
@given(runs(), st.integers(0, 10**6))
def test_every_picture_has_chances_of_its_own(run, iteration) -> None:
    view, domain, seed, batch_size = run
    batch = module(view, domain, batch_size=batch_size, seed=seed).iterations()[iteration]
    images = [value for value in (batch[0] if view == "labelled" else batch) if isinstance(value, RawImages)]
    for image in images:
        assert ((image.uniform >= 0) & (image.uniform < 1)).all()
        assert len({tuple(row) for row in image.uniform.tolist()}) == batch_size
    alike = [a.uniform.equal(b.uniform) for a in images for b in images if a is not b]
    assert all(alike) if view == "paired" else not any(alike)  # a pair is cropped alike
