"""Noise on a device is that of the generator of numpy: words to the bit, numbers but for the last digit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from translate.data import philox
from translate.data.noise import normal_on, words_on

CPU = torch.device("cpu")


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5),
    st.integers(1, 13),
)
def test_words_equal_those_of_numpy(seed: int, stream: int, positions: list[int], count: int) -> None:
    places = np.array(positions, dtype=np.int64)
    assert (words_on(CPU, seed, stream, places, count).numpy() == philox.words(seed, stream, places, count)).all()


@pytest.mark.parametrize("count", [1, 2, 7, 4096])
def test_normal_numbers_equal_those_of_numpy(count: int) -> None:
    places = np.array([0, 1, 2**40 + 3])
    numbers = normal_on(CPU, 5, 15, places, count)
    assert numbers.dtype == torch.float32
    np.testing.assert_allclose(numbers.numpy(), philox.normal(5, 15, places, count), rtol=1e-6, atol=1e-7)


def test_noise_is_standard_normal_and_independent() -> None:
    numbers = normal_on(CPU, 1, 1015, np.arange(64), 4096).double()
    assert abs(numbers.mean().item()) < 5 / 512
    assert abs(numbers.var().item() - 1) < 0.02
    assert abs((numbers**4).mean().item() - 3) < 0.1
    correlations = torch.corrcoef(numbers) - torch.eye(64)
    assert correlations.abs().max() < 6 / 64  # of 4,096 numbers each


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_the_same() -> None:
    places = np.arange(3)
    words = [words_on(torch.device(device), 9, 15, places, 1000).cpu() for device in ("cpu", "cuda")]
    assert words[0].equal(words[1])
    noise = [normal_on(torch.device(device), 9, 15, places, 1000).cpu() for device in ("cpu", "cuda")]
    torch.testing.assert_close(noise[0], noise[1], rtol=1e-6, atol=1e-7)
