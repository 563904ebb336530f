"""The pool of images: what it keeps, what it gives, how often, and that it goes on exactly."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data.philox import uniform
from translate.models.image_pool import ImagePool


def numbered(first: int, count: int) -> Tensor:
    """Return images that are full of their own number."""
    return torch.arange(first, first + count, dtype=torch.float32)[:, None, None, None].expand(count, 3, 2, 2).clone()


def chances(first: int, count: int) -> list[list[float]]:
    return uniform(5, 0, np.arange(first, first + count), 2).tolist()


def numbers(images: Tensor) -> list[int]:
    assert images.flatten(1).std(1).eq(0).all()
    return [int(value) for value in images[:, 0, 0, 0]]


def test_a_pool_that_fills_gives_back_what_it_is_given() -> None:
    pool = ImagePool(5)
    assert numbers(pool.query(numbered(0, 3), [[0.0, 0.0]] * 3)) == [0, 1, 2]
    assert numbers(pool.query(numbered(3, 2), [[0.0, 0.0]] * 2)) == [3, 4]
    assert numbers(torch.stack(pool.images)) == [0, 1, 2, 3, 4]


def test_a_full_pool_exchanges_or_passes_on() -> None:
    pool = ImagePool(2)
    pool.query(numbered(0, 2), [[0.0, 0.0]] * 2)
    assert numbers(pool.query(numbered(2, 1), [[0.49, 0.5]])) == [1]
    assert numbers(torch.stack(pool.images)) == [0, 2]
    assert numbers(pool.query(numbered(3, 1), [[0.5, 0.5]])) == [3]  # given back, not kept
    assert numbers(torch.stack(pool.images)) == [0, 2]


def test_images_of_a_batch_take_their_turns() -> None:
    """An image can be exchanged for one that came earlier in its own batch."""
    pool = ImagePool(1)
    assert numbers(pool.query(numbered(0, 4), [[0.0, 0.0]] * 4)) == [0, 0, 1, 2]
    assert numbers(torch.stack(pool.images)) == [3]


def test_half_of_the_images_are_exchanged_for_any_of_those_kept() -> None:
    count, size = 20_000, 10
    given = numbers(ImagePool(size).query(numbered(0, count), chances(0, count)))
    old = [k - found for k, found in enumerate(given[size:], start=size) if found != k]
    assert len(old) / (count - size) == pytest.approx(0.5, abs=0.02)
    # what is given out was kept for a time whose distribution is geometric with mean size / probability
    assert np.mean(old) == pytest.approx(size / 0.5, rel=0.05)


def test_an_image_is_kept_once_and_given_out_once() -> None:
    pool = ImagePool(4)
    given = list(itertools.chain(*(numbers(pool.query(numbered(3 * k, 3), chances(3 * k, 3))) for k in range(50))))
    twice = [number for number in set(given) if given.count(number) > 1]
    assert set(twice) <= set(range(4))  # those that filled the pool were given back at once as well
    kept = numbers(torch.stack(pool.images))
    assert set(given) | set(kept) == set(range(150))
    assert not set(kept) & (set(given) - set(range(4)))


def test_size_zero_is_off() -> None:
    pool = ImagePool(0)
    assert numbers(pool.query(numbered(7, 3), [[0.0, 0.0]] * 3)) == [7, 8, 9]
    assert pool.state_dict() == {}


def test_memory_is_its_own_and_without_gradients() -> None:
    pool = ImagePool(2)
    x = numbered(0, 2).requires_grad_()
    y = x * 1
    given = pool.query(y, [[0.0, 0.0]] * 2)
    assert not given.requires_grad
    y.data.fill_(9)
    given.fill_(8)
    assert numbers(torch.stack(pool.images)) == [0, 1]


def test_channels_last_images_come_back_so() -> None:
    pool = ImagePool(1)
    for k in range(3):
        x = numbered(k, 1).to(memory_format=torch.channels_last)
        assert pool.query(x, [[0.0, 0.0]]).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("before", [0, 2, 30])
def test_a_restored_pool_goes_on_exactly(before: int) -> None:
    pool = ImagePool(5)
    for k in range(before):
        pool.query(numbered(2 * k, 2), chances(2 * k, 2))
    other = ImagePool(5)
    other.query(numbered(99, 3), chances(0, 3))  # which is forgotten
    other.load_state_dict({name: tensor.clone() for name, tensor in pool.state_dict().items()})
    for k in range(before, before + 20):
        ours, theirs = (p.query(numbered(2 * k, 2), chances(2 * k, 2)) for p in (pool, other))
        assert ours.equal(theirs)
    assert torch.stack(pool.images).equal(torch.stack(other.images))


def test_a_batch_in_parts_is_the_batch() -> None:
    whole, parts = ImagePool(5), ImagePool(5)
    for k in range(20):
        found = whole.query(numbered(6 * k, 6), chances(6 * k, 6))
        slices = [parts.query(numbered(6 * k + 2 * n, 2), chances(6 * k + 2 * n, 2)) for n in range(3)]
        assert found.equal(torch.cat(slices))
