"""The rows of a StarGAN v2 sample: balanced, from the right domains, the same whoever draws them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.worlds import Numbers
from translate.data.module import balanced_rows
from translate.data.streams import FIRST_PLUGIN_STREAM, Stream
from translate.data.views.base import ViewInputs, image_streams
from translate.data.views.domain_pair import DomainPairView
from translate.data.views.reference import ReferenceBatch, ReferenceView
from translate.errors import UserError
from translate.registry.registry import MODELS, VIEWS

UNEVEN = np.repeat([0, 1, 2], [500, 40, 3])


def view_of(domain: np.ndarray, seed: int = 0, latent_size: int = 4) -> ReferenceView:
    return ReferenceView(ViewInputs(Numbers(domain), np.arange(len(domain)), 1, latent_size, None, seed))


@st.composite
def domains(draw: st.DrawFn) -> np.ndarray:
    """Draw the labels of a shuffled data set in which every domain has a member."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return labels[draw(st.permutations(range(len(labels))))]


def same(first: ReferenceBatch, second: ReferenceBatch) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_sources_and_targets_are_class_balanced() -> None:
    n = 20_000
    rows = view_of(UNEVEN).draw(np.arange(n))
    margin = 5 * math.sqrt(n * 1 / 3 * 2 / 3)
    for labels in (rows.domain, rows.target):
        assert np.abs(np.bincount(labels, minlength=3) - n / 3).max() < margin
    pairs = np.bincount(3 * rows.domain + rows.target, minlength=9)  # independent: each of nine pairs alike
    assert np.abs(pairs - n / 9).max() < 5 * math.sqrt(n * 1 / 9 * 8 / 9)


def test_members_of_a_domain_are_drawn_evenly() -> None:
    n = 30_000
    rows = view_of(UNEVEN).draw(np.arange(n))
    for drawn, labels in ((rows.image, rows.domain), (rows.reference, rows.target), (rows.reference2, rows.target)):
        for domain, size in enumerate([500, 40, 3]):
            counts = np.bincount(drawn[labels == domain], minlength=len(UNEVEN))[domain == UNEVEN]
            expected = counts.sum() / size
            chi_square = ((counts - expected) ** 2 / expected).sum()
            assert chi_square < (size - 1) + 5 * math.sqrt(2 * (size - 1)), (domain, chi_square)


def test_every_pair_of_references_occurs() -> None:
    rows = view_of(UNEVEN).draw(np.arange(5_000))
    chosen = rows.target == 2
    pairs = set(zip(rows.reference[chosen].tolist(), rows.reference2[chosen].tolist(), strict=True))
    members = range(540, 543)
    assert pairs == {(a, b) for a in members for b in members if a != b}


def test_references_are_redrawn_at_every_position() -> None:
    rows = view_of(np.repeat([0, 1], 200)).draw(np.arange(4_000))
    partners = rows.reference2[rows.reference == rows.reference[0]]
    assert len(set(partners.tolist())) > 1
    source = np.flatnonzero(rows.image == rows.image[0])
    assert len(set(rows.reference[source].tolist())) > 1


def test_codes_are_normal_and_unrelated() -> None:
    rows = view_of(UNEVEN, latent_size=3).draw(np.arange(20_000))
    z = np.concatenate([rows.code, rows.code2], axis=1).astype(np.float64)
    assert rows.code.dtype == np.float32
    assert rows.code.shape == (20_000, 3)
    assert np.abs(z.mean(0)).max() < 5 / math.sqrt(len(z))
    assert np.abs(np.cov(z.T) - np.eye(6)).max() < 8 / math.sqrt(len(z))


@settings(deadline=None, max_examples=80)
@given(domains(), st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**48), min_size=1, max_size=30))
def test_every_row_is_what_it_says(domain, seed, positions) -> None:
    view = view_of(domain, seed)
    rows = view.draw(np.array(positions))
    assert all(len(column) == len(positions) for column in rows)
    assert (domain[rows.image] == rows.domain).all()
    assert (domain[rows.reference] == rows.target).all()
    assert (domain[rows.reference2] == rows.target).all()
    single = np.bincount(domain)[rows.target] == 1
    assert ((rows.reference == rows.reference2) == single).all()


@settings(deadline=None, max_examples=60)
@given(domains(), st.integers(0, 2**63), st.integers(0, 2**40), st.integers(1, 24), st.data())
def test_any_chunk_draws_the_same(domain, seed, start, count, data) -> None:
    positions = np.arange(start, start + count)
    whole = view_of(domain, seed).draw(positions)
    cut = data.draw(st.integers(0, count))
    halves = [view_of(domain, seed).draw(part) for part in (positions[:cut], positions[cut:])]
    assert same(ReferenceBatch(*map(np.concatenate, zip(*halves, strict=True))), whole)
    order = data.draw(st.permutations(range(count)))
    assert same(view_of(domain, seed).draw(positions[order]), ReferenceBatch(*(column[order] for column in whole)))


def test_seeds_give_other_streams() -> None:
    first, second = (view_of(UNEVEN, seed).draw(np.arange(64)) for seed in (0, 1))
    assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_streams_keep_their_numbers() -> None:
    """A stream that gets another number changes every run of that seed."""
    assert [(draw.name, int(draw)) for draw in Stream] == [
        ("DOMAIN", 0),
        ("ITEM", 1),
        ("TARGET", 2),
        ("REFERENCE", 3),
        ("REFERENCE2", 4),
        ("CODE", 5),
        ("CODE2", 6),
        ("AUGMENT", 7),
        ("AUGMENT_REFERENCE", 8),
        ("AUGMENT_REFERENCE2", 9),
        ("ORDER", 10),
        ("ITEM_B", 11),
        ("AUGMENT_B", 12),
        ("INTERPOLATION", 13),
        ("POOL", 14),
        ("NOISE", 15),
        ("DOMAIN_PAIR", 16),
        ("WRONG_LABEL", 17),
        ("SAMPLED_LABEL", 18),
        ("PLACES", 19),
        ("FLIP", 20),
        ("SPOILT", 21),
    ]


def test_drawn_rows_of_seed_0_are_these() -> None:
    """The stream is part of what a seed means: whoever changes it says so in the changelog."""
    rows = view_of(UNEVEN, seed=0).draw(np.arange(6))
    assert rows.image.tolist() == [507, 542, 47, 541, 540, 520]
    assert rows.domain.tolist() == [1, 2, 0, 2, 2, 1]
    assert rows.target.tolist() == [2, 2, 1, 0, 0, 0]
    assert rows.reference.tolist() == [540, 541, 502, 435, 78, 253]
    assert rows.reference2.tolist() == [541, 542, 522, 290, 239, 94]


@pytest.mark.parametrize("name", VIEWS.names())
def test_every_view_says_what_it_needs_and_is_used(name: str) -> None:
    facts = VIEWS.facts(name)
    assert all(stream < FIRST_PLUGIN_STREAM for stream in image_streams(facts).values())
    assert {word for need in facts["needs"] for word in need.split("|")} <= {"domain", "attributes", "partner"}
    assert any(MODELS.facts(model).get("batch") == name for model in MODELS.names())


def test_an_unknown_stream_of_a_plugins_view_is_named() -> None:
    with pytest.raises(UserError, match=r"images\.mask: unknown stream 'AUGMENTS'. Did you mean 'AUGMENT'\?"):
        image_streams({"images": {"image": "AUGMENT", "mask": "AUGMENTS"}})


@settings(deadline=None, max_examples=80)
@given(domains(), st.integers(1, 40))
def test_balanced_rows(domain, count) -> None:
    num_domains = int(domain.max()) + 1
    rows = balanced_rows(domain, num_domains, count)
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == len(rows) <= count
    drawn, there = (np.bincount(labels, minlength=num_domains) for labels in (domain[rows], np.asarray(domain)))
    share = -(-count // num_domains)
    assert (drawn <= share).all()
    full = np.minimum(there, share)
    assert len(rows) == min(count, full.sum())
    assert (full - drawn <= (len(rows) == count)).all()  # at most the last turn is cut short
    for d in range(num_domains):  # the first members, in their order
        chosen = rows[domain[rows] == d]
        assert chosen.tolist() == np.flatnonzero(domain == d)[: len(chosen)].tolist()


def test_balanced_rows_take_turns() -> None:
    assert balanced_rows(np.array([0, 0, 0, 1, 1, 2]), 3, 5).tolist() == [0, 3, 5, 1, 4]


def test_all_ordered_pairs_of_domains_are_alike_whatever_their_sizes() -> None:
    view = DomainPairView(ViewInputs(Numbers(UNEVEN), np.arange(len(UNEVEN)), 2, 0, None, 5))
    pairs = np.array([view.pair(number) for number in range(6_000)])
    counts = np.bincount(3 * pairs[:, 0] + pairs[:, 1], minlength=9).reshape(3, 3)
    assert (np.diag(counts) == 0).all()
    others = counts[~np.eye(3, dtype=bool)]
    assert np.abs(others - 1_000).max() < 5 * math.sqrt(1_000 * 5 / 6)
    batch = view.draw(np.array([8, 9]))
    assert (batch.domain_a, batch.domain_b) == view.pair(4)


def test_a_pair_of_domains_belongs_to_one_batch() -> None:
    view = DomainPairView(ViewInputs(Numbers(UNEVEN), np.arange(len(UNEVEN)), 2, 0, None, 5))
    with pytest.raises(AssertionError, match="one batch"):
        view.draw(np.array([1, 2]))
