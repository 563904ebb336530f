"""Philox4x32-10: its published answers, and numbers that depend on (seed, stream, position) alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translate.data.philox import integers, normal, philox, uniform, words

KNOWN_ANSWERS = [  # counter, key, words: the vectors that the authors' library is tested with
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
seeds = st.integers(0, 2**64 - 1)
streams = st.integers(0, 9)
places = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=12)


def numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "wanted"), KNOWN_ANSWERS)
def test_known_answers(counter: str, key: str, wanted: str) -> None:
    k0, k1 = numbers(key)
    alone = philox(np.array(numbers(counter), np.uint32), (k0, k1))
    assert [f"{word:08x}" for word in alone] == wanted.split()
    many = philox(np.array([numbers(counter)] * 3, np.uint32), (k0, k1))
    assert many.shape == (3, 4)
    assert many.dtype == np.uint32
    assert (many == alone).all()


def test_words_are_philox_of_position_block_and_stream() -> None:
    seed, stream, position = 0x299F31D0_A4093822, 7, 0x85A308D3_243F6A88
    wanted = [
        philox(np.array([0x243F6A88, 0x85A308D3, block, stream], np.uint64), (0xA4093822, 0x299F31D0))
        for block in range(3)
    ]
    assert (words(seed, stream, np.array([position]), 10)[0] == np.concatenate(wanted)[:10]).all()


@settings(deadline=None, max_examples=60)
@given(seeds, streams, places, st.integers(1, 9), st.randoms(use_true_random=False))
def test_any_order_and_any_chunks_give_the_same(seed, stream, positions, count, random) -> None:
    whole = words(seed, stream, np.array(positions, np.uint64), count)
    assert whole.shape == (len(positions), count)
    order = list(range(len(positions)))
    random.shuffle(order)
    shuffled = words(seed, stream, np.array(positions, np.uint64)[order], count)
    assert (shuffled == whole[order]).all()
    cut = random.randrange(len(positions) + 1)
    parts = [words(seed, stream, np.array(p, np.uint64), count) for p in (positions[:cut], positions[cut:])]
    assert (np.concatenate(parts) == whole).all()


@settings(deadline=None, max_examples=40)
@given(seeds, streams, places, st.integers(1, 8))
def test_asking_for_more_numbers_changes_none(seed, stream, positions, count) -> None:
    where = np.array(positions, np.uint64)
    assert (words(seed, stream, where, count + 3)[:, :count] == words(seed, stream, where, count)).all()
    assert (normal(seed, stream, where, count + 3)[:, :count] == normal(seed, stream, where, count)).all()


@settings(deadline=None, max_examples=60)
@given(seeds, streams, places)
def test_ranges(seed, stream, positions) -> None:
    where = np.array(positions, np.uint64)
    u = uniform(seed, stream, where, 6)
    assert u.dtype == np.float64
    assert ((u >= 0) & (u < 1)).all()
    z = normal(seed, stream, where, 5)
    assert z.dtype == np.float32
    assert z.shape == (len(positions), 5)
    assert np.isfinite(z).all()
    below = 1 + np.arange(len(positions)) * 1_000_003
    drawn = integers(seed, stream, where, below)
    assert drawn.dtype == np.int64
    assert ((drawn >= 0) & (drawn < below)).all()
    assert (integers(seed, stream, where, 1) == 0).all()


@settings(deadline=None, max_examples=40)
@given(seeds, streams, st.integers(0, 2**62))
def test_seed_stream_and_position_all_matter(seed, stream, position) -> None:
    here = np.array([position], np.uint64)
    drawn = words(seed, stream, here, 4).tobytes()
    others = [
        words(seed ^ 1, stream, here, 4),
        words(seed ^ (1 << 40), stream, here, 4),
        words(seed, stream + 1, here, 4),
        words(seed, stream, here + np.uint64(1), 4),
        words(seed, stream, here ^ np.uint64(1 << 40), 4),
    ]
    assert all(other.tobytes() != drawn for other in others)


def test_no_positions_give_no_numbers() -> None:
    nowhere = np.arange(0)
    assert words(0, 0, nowhere, 3).shape == (0, 3)
    assert normal(0, 0, nowhere, 3).shape == (0, 3)
    assert integers(0, 0, nowhere, 5).shape == (0,)


def test_uniform_fills_its_range_evenly() -> None:
    u = uniform(3, 1, np.arange(50_000), 4)
    counts = np.histogram(u, bins=64, range=(0, 1))[0]
    expected = u.size / 64
    assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * math.sqrt(2 * 63)


def test_normal_moments_and_shape() -> None:
    z = normal(5, 2, np.arange(50_000), 4).astype(np.float64)
    n = z.size
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    correlation = np.corrcoef(z.T) - np.eye(4)
    assert np.abs(correlation).max() < 5 / math.sqrt(len(z))
    for edge in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0):
        share = 0.5 * (1 + math.erf(edge / math.sqrt(2)))
        assert abs((z < edge).mean() - share) < 5 * math.sqrt(share * (1 - share) / n), edge


def test_neighbouring_positions_are_unrelated() -> None:
    z = normal(0, 0, np.arange(20_000), 1)[:, 0].astype(np.float64)
    for lag in (1, 2, 4, 8):
        assert abs(np.corrcoef(z[:-lag], z[lag:])[0, 1]) < 5 / math.sqrt(len(z)), lag


def test_integers_are_even() -> None:
    drawn = integers(11, 4, np.arange(30_000), 6)
    counts = np.bincount(drawn, minlength=6)
    assert np.abs(counts - 5_000).max() < 5 * math.sqrt(30_000 * 1 / 6 * 5 / 6)
