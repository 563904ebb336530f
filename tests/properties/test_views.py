"""Whatever the shape of a data set and what of it cannot be read, a view gives good batches or says what is wrong."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.budget import examples
from properties.worlds import Numbers, domains, items_of
from translate.data.datasets.joint import Joint
from translate.data.module import DataModule, Shard
from translate.errors import UserError


def good(items: np.ndarray, dataset: Any, count: int) -> bool:
    """Tell whether these are so many items that can be read."""
    return len(items) == count and not set(items.tolist()) & set(dataset.bad)


@st.composite
def spoilt(draw: st.DrawFn, count: int) -> frozenset[int]:
    """Draw which of so many items cannot be read: often none, a few, or nearly all."""
    some = draw(st.frozensets(st.integers(0, count - 1), max_size=6))
    return draw(st.sampled_from([frozenset(), some, some, frozenset(range(count)) - some]))


@st.composite
def modules(draw: st.DrawFn, view: str, least: int = 1, most: int = 5, num_attributes: int = 0) -> DataModule:
    """Draw the data of a run, of any shape."""
    domain = draw(domains(least, most))
    if view == "paired":
        domain = np.arange(2 * len(domain)) % 2
    dataset = Numbers(domain, num_attributes, view == "paired", draw(spoilt(len(domain))))
    batch_size, seed = draw(st.integers(1, 9)), draw(st.integers(0, 2**64 - 1))
    options = {"batch_size": batch_size, "seed": seed, "max_bad_fraction": draw(st.just(1.0) | st.floats(0, 1))}
    return DataModule(dataset, dataset, 2, view=view, latent_size=2, augment="none", **options)


def batch_of(data: DataModule, iteration: int) -> Any:
    """Return a batch; None if the data set is refused, which must be by a sentence and for a reason."""
    try:
        return data.iterations()[iteration]
    except UserError as error:
        assert len(str(error).splitlines()) == 1, error
        assert str(error).startswith("data"), error
        assert data.train.bad, "refused without a file that cannot be read"
        return None


iterations = st.integers(0, 10**9)


@examples(80)
@given(modules("reference"), iterations)
def test_reference(data, iteration) -> None:
    batch = batch_of(data, iteration)
    if batch is None:
        return
    dataset, count = data.train, data.batch_size
    shown = [items_of(image.pixels.numpy()) for image in (batch.image, batch.reference, batch.reference2)]
    assert all(good(items, dataset, count) for items in shown)
    assert (dataset.domain[shown[0]] == batch.domain.numpy()).all()
    for references in shown[1:]:
        assert (dataset.domain[references] == batch.target.numpy()).all()
    readable = np.delete(dataset.domain, sorted(dataset.bad))
    alone = np.bincount(readable, minlength=len(dataset.domains))[batch.target.numpy()] == 1
    assert ((shown[1] == shown[2]) == alone).all()
    assert batch.code.shape == batch.code2.shape == (count, 2)
    assert torch.isfinite(batch.code).all() and torch.isfinite(batch.code2).all()


@examples(80)
@given(modules("labelled", num_attributes=3) | modules("labelled"), iterations)
def test_labelled(data, iteration) -> None:
    batch = batch_of(data, iteration)
    if batch is None:
        return
    (part,) = batch
    items = items_of(part.image.pixels.numpy())
    assert good(items, data.train, data.batch_size)
    (labels,) = data.train.label_sets()
    assert (labels.values[items] == part.label.numpy()).all()
    assert sorted(part.target.tolist()) == sorted(part.label.tolist())  # the same labels, in another order


@examples(60)
@given(st.data(), iterations)
def test_labelled_of_joined_data_sets(data, iteration) -> None:
    """Each part has its own images and labels, also where one is much smaller or all of it is spoilt."""
    parts = [Numbers(domain, n, bad=data.draw(spoilt(len(domain)))) for domain, n in data.draw(parts_of_any_kind())]
    joint = object.__new__(Joint)
    joint.components, joint._labels = {f"p{k}": part for k, part in enumerate(parts)}, {f"p{k}": None for k in range(9)}
    joint._starts = np.cumsum([0, *map(len, parts)])
    joint.bad = [start + item for start, part in zip(joint._starts, parts, strict=False) for item in part.bad]
    module = DataModule(joint, joint, 2, batch_size=data.draw(st.integers(1, 6)), view="labelled", max_bad_fraction=1.0)
    batch = batch_of(module, iteration)
    if batch is None:
        return
    for part, dataset in zip(batch, parts, strict=True):
        items = items_of(part.image.pixels.numpy())
        assert good(items, dataset, module.batch_size)
        assert (dataset.label_sets()[0].values[items] == part.label.numpy()).all()


def parts_of_any_kind() -> st.SearchStrategy[list[tuple[np.ndarray, int]]]:
    return st.lists(st.tuples(domains(1, 3), st.sampled_from([0, 2])), min_size=2, max_size=3)


@examples(80)
@given(modules("unpaired", 2, 2), iterations)
def test_unpaired(data, iteration) -> None:
    batch = batch_of(data, iteration)
    if batch is None:
        return
    for number, image in enumerate((batch.a, batch.b)):
        items = items_of(image.pixels.numpy())
        assert good(items, data.train, data.batch_size)
        assert (data.train.domain[items] == number).all()


@examples(80)
@given(modules("domain_pair", 2), iterations)
def test_domain_pair(data, iteration) -> None:
    batch = batch_of(data, iteration)
    if batch is None:
        return
    pair = batch.domain_a, batch.domain_b
    assert pair[0] != pair[1]
    for domain, image in zip(pair, (batch.a, batch.b), strict=True):
        items = items_of(image.pixels.numpy())
        assert good(items, data.train, data.batch_size)
        assert (data.train.domain[items] == domain).all()
    parts = [data.iterations(Shard(rank, data.batch_size))[iteration] for rank in range(data.batch_size)]
    assert {(part.domain_a, part.domain_b) for part in parts} == {pair}
    for name in ("a", "b"):
        assert torch.cat([getattr(part, name).pixels for part in parts]).equal(getattr(batch, name).pixels)


@examples(80)
@given(modules("paired"), iterations)
def test_paired(data, iteration) -> None:
    batch = batch_of(data, iteration)
    if batch is None:
        return
    source, target = (items_of(image.pixels.numpy()) for image in (batch.source, batch.target))
    assert good(source, data.train, data.batch_size) and good(target, data.train, data.batch_size)
    assert (data.train.domain[source] == 0).all()
    assert (data.train.partner[source] == target).all()


@pytest.mark.parametrize(
    ("view", "most", "num_attributes"), [("reference", 5, 0), ("labelled", 5, 3), ("paired", 2, 0)]
)
@examples(40)
@given(data=st.data(), count=st.integers(1, 40))
def test_held_out_images_are_balanced(view, most, num_attributes, data, count) -> None:
    module = data.draw(modules(view, 1, most, num_attributes))
    try:
        found = module.held_out(count)
    except UserError:
        assert module.val.bad
        return
    readable = np.setdiff1d(np.arange(len(module.val)), sorted(module.val.bad))
    assert len(found.items) == len(set(found.items.tolist())) <= count
    assert set(found.items.tolist()) <= set(readable.tolist())
    there, shown = (np.bincount(module.val.domain[i], minlength=len(module.domains)) for i in (readable, found.items))
    assert len(found.items) == min(count, np.minimum(there, -(-count // len(module.domains))).sum())
    assert (shown[there > shown].max(initial=0) - shown[there > shown].min(initial=count)) <= 1
    assert found.image.shape == (len(found.items), 3, 2, 2)
    if view == "paired":
        assert found.partner is not None and found.partner.shape == found.image.shape
