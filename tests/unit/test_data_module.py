"""A batch is a function of (seed, iteration), whatever the number of workers and processes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data.batches import RawImages
from translate.data.datasets.critters import Critters
from translate.data.module import DataModule, Shard
from translate.data.transforms import AUGMENTATIONS, stored_sizes, to_float
from translate.data.views.reference import ReferenceBatch

DOMAINS = ["cat", "dog", "fox"]
SIDE = stored_sizes("crop_flip", 32)[0].height


def module(**changes: Any) -> DataModule:
    arguments: dict[str, Any] = {
        "train": Critters(24, 12, split="train", domains=DOMAINS),
        "val": Critters(24, 12, split="val", domains=DOMAINS),
        "image_size": 32,
        "batch_size": 4,
        "latent_size": 5,
        "augment": "crop_flip",
        "stop": 4,
    }
    return DataModule(**{**arguments, **changes})


def tensors(batch: ReferenceBatch) -> Iterator[Tensor]:
    for value in batch:
        yield from value if isinstance(value, RawImages) else [value]


def same(first: ReferenceBatch, second: ReferenceBatch) -> bool:
    return all(a.equal(b) for a, b in zip(tensors(first), tensors(second), strict=True))


def joined(batches: list[ReferenceBatch]) -> ReferenceBatch:
    columns = []
    for values in zip(*batches, strict=True):
        if isinstance(values[0], RawImages):
            columns.append(RawImages(*(torch.cat(parts) for parts in zip(*values, strict=True))))
        else:
            columns.append(torch.cat(values))
    return ReferenceBatch(*columns)


@pytest.fixture(scope="module")
def batches() -> list[ReferenceBatch]:
    """Return the batches of iterations 0 to 3, asked for out of order."""
    iterations = module().iterations()
    found = {k: iterations[k] for k in (2, 0, 3, 1)}
    return [found[k] for k in range(4)]


def test_batch_has_the_declared_shapes(batches: list[ReferenceBatch]) -> None:
    for image in (batches[0].image, batches[0].reference, batches[0].reference2):
        assert image.pixels.shape == (4, SIDE, SIDE, 3)
        assert image.pixels.dtype == torch.uint8
        assert image.uniform.shape == (4, 6)
        assert image.uniform.dtype == torch.float32
        assert (image.uniform < 1).all()
    ready = module().augment(batches[0])
    for image in (ready.image, ready.reference, ready.reference2):
        assert image.shape == (4, 3, 32, 32)
        assert image.dtype == torch.float32
        assert image.abs().max() <= 1 + 1e-5
    assert ready.domain.dtype == ready.target.dtype == torch.int64
    assert ready.code.shape == ready.code2.shape == (4, 5)
    assert ready.code.dtype == torch.float32
    assert not same(batches[0], batches[1])


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_workers_change_nothing(batches: list[ReferenceBatch], num_workers: int) -> None:
    loaded = list(module(num_workers=num_workers).train_dataloader())
    assert len(loaded) == 4
    for found, wanted in zip(loaded, batches, strict=True):
        assert isinstance(found, ReferenceBatch)
        assert same(found, wanted)


@pytest.mark.parametrize("count", [2, 4])
def test_shards_make_up_the_whole_batch(batches: list[ReferenceBatch], count: int) -> None:
    data = module()
    shards = [data.iterations(Shard(rank, count)) for rank in range(count)]
    for k, wanted in enumerate(batches):
        assert same(joined([shard[k] for shard in shards]), wanted)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_shards_make_up_the_augmented_batch(augment: str) -> None:
    data = module(augment=augment)
    parts = [data.augment(data.iterations(Shard(rank, 2))[3]) for rank in range(2)]
    for found, wanted in zip(joined(parts), data.augment(data.iterations()[3]), strict=True):
        assert torch.allclose(found, wanted, atol=1e-6) if found.is_floating_point() else found.equal(wanted)


def test_whole_images_are_those_of_the_data_set() -> None:
    """An image that is neither cropped nor mirrored reaches the model as the data set makes it at the image size."""
    data = module(augment="crop_flip")
    rows, batch = data.iterations().view.draw(np.arange(40)), module(batch_size=40).iterations()[0]
    plain = (batch.image.uniform[:, 0] >= 0.5) & (batch.image.uniform[:, 5] >= 0.5)
    images = data.augment(batch).image[plain]
    wanted = data.train.read_many(data.images("train").indices[rows.image[plain.numpy()]], 32)
    assert 4 <= len(images) <= 20
    assert images.equal(to_float(torch.from_numpy(wanted)))


def test_crops_end_where_the_configuration_says() -> None:
    """Before, batches are those without an end; from then on, images are those of the data set, mirrored or not."""
    data, endless = (module(augment="resize_crop_flip", crop_until=until) for until in (2, None))
    cropped, before = data.iterations()[1], endless.iterations()[1]
    assert same(cropped, before)
    rows, batch = data.iterations().view.draw(data.iterations().positions(2)), data.iterations()[2]
    images = data.augment(batch).image
    wanted = data.train.read_many(data.images("train").indices[rows.image], 32)
    mirrored = batch.image.uniform[:, 5] < 0.5
    plain = to_float(torch.from_numpy(wanted))
    assert images.equal(torch.where(mirrored[:, None, None, None], plain.flip(3), plain))
    assert not endless.augment(endless.iterations()[2]).image.equal(images)
    assert same(data.iterations(images=data.images("train"))[2], batch)


def test_a_resumed_run_goes_on_where_it_was(batches: list[ReferenceBatch]) -> None:
    rest = list(module(start=2).train_dataloader())
    assert len(rest) == 2
    assert all(same(found, wanted) for found, wanted in zip(rest, batches[2:], strict=True))
    assert list(module(start=4).train_dataloader()) == []


def test_the_stream_does_not_depend_on_the_batch_size(batches: list[ReferenceBatch]) -> None:
    large = module(batch_size=8).iterations()
    for k in range(2):
        assert same(large[k], joined(batches[2 * k : 2 * k + 2]))


def test_positions_are_consecutive_slices() -> None:
    iterations = [module(batch_size=6).iterations(Shard(rank, 3)) for rank in range(3)]
    drawn = [shard.positions(k).tolist() for k in range(2) for shard in iterations]
    assert np.concatenate(drawn).tolist() == list(range(12))


def test_a_batch_that_cannot_be_split_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        module().iterations(Shard(0, 3))


def test_seeds_give_other_batches(batches: list[ReferenceBatch]) -> None:
    other = module(seed=1).iterations()[0]
    assert not any(a.equal(b) for a, b in zip(tensors(other), tensors(batches[0]), strict=True))


def test_random_state_outside_plays_no_part(batches: list[ReferenceBatch]) -> None:
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - the global state is what is meant
    state = torch.get_rng_state()
    data = module()
    found = data.augment(data.iterations()[1])
    assert torch.get_rng_state().equal(state)
    assert found.image.equal(data.augment(batches[1]).image)


def test_images_are_those_of_their_domains(batches: list[ReferenceBatch]) -> None:
    data = module(augment="none")
    batch = data.iterations()[0]
    train = data.train
    images = {train.read(i, 32).tobytes(): int(train.domain[i]) for i in range(len(train))}

    def labels(image: RawImages) -> list[int]:
        return [images[pixels.numpy().tobytes()] for pixels in image.pixels]

    assert labels(batch.image) == batch.domain.tolist()
    assert labels(batch.reference) == labels(batch.reference2) == batch.target.tolist()


def test_held_out_is_balanced_fixed_and_never_trained_on() -> None:
    images, domain, _, _, items, _ = module().held_out(6)
    assert module().held_out(6).domain_names == tuple(module().domains[int(d)] for d in domain)
    again = module(seed=5, augment="none", batch_size=8, start=2).held_out(6).image
    assert images.shape == (6, 3, 32, 32)
    assert images.equal(again)
    assert domain.tolist() == [0, 1, 2, 0, 1, 2]
    data = module()
    assert data.val.domain is not None
    assert (data.val.domain[items] == domain.numpy()).all()
    for image, item in zip(images, items, strict=True):
        pixels = data.val.read(int(item), 32)
        assert ((image.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy().tobytes() == pixels.tobytes()
    trained = {data.train.read(i, 32).tobytes() for i in range(len(data.train))}
    assert all(data.val.read(int(i), 32).tobytes() not in trained for i in items)


def test_held_out_gives_what_there_is() -> None:
    images, domain, _, _, items, _ = module().held_out(1_000)
    assert len(images) == len(domain) == len(items) == 12
    assert sorted(items.tolist()) == list(range(12))


def test_rows_of_train_come_at_the_image_size() -> None:
    images, domain, _, _, items, _ = module().rows("train", [20, 3])
    assert images.shape == (2, 3, 32, 32)
    assert domain.tolist() == [2, 0]
    assert items.tolist() == [20, 3]
    exact = module(augment="none").rows("train", [20, 3]).image
    assert (images - exact).abs().mean() < 0.1  # drawn larger and made smaller, and the same image


def test_domains_are_those_of_the_data() -> None:
    assert module().domains == tuple(DOMAINS)


class Lost(Critters):
    """A data set that cannot be read."""

    def read_many(self, indices: Any, size: int) -> np.ndarray:
        raise FileNotFoundError("photos/3.png")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_keeps_its_type(num_workers: int) -> None:
    """It does not look like the death of the worker, which closes the channel to it."""
    data = module(train=Lost(24, 12, split="train", domains=DOMAINS), num_workers=num_workers, stop=1)
    (batch,) = data.train_dataloader()
    with pytest.raises(FileNotFoundError, match=r"photos/3\.png"):
        data.on_after_batch_transfer(batch, 0)
