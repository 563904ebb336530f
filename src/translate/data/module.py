"""The data of a run: an endless stream of batches, addressed by iteration and divided among processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from translate import signals
from translate.data.batches import HeldOut, RawImages
from translate.data.cache import StoredImages, open_images
from translate.data.consistency import check_consistency, digest
from translate.data.datasets.base import Dataset, LabelSet
from translate.data.philox import uniform
from translate.data.streams import stream_of_set
from translate.data.transforms import AUGMENTATIONS, NUM_UNIFORMS, stored_sizes, to_float, which_size
from translate.data.views.base import View, ViewInputs, image_streams
from translate.distributed.collectives import alone
from translate.errors import UserError, errors_inside
from translate.registry.registry import VIEWS
from translate.sizes import ImageSize, SizeLike

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Shard:
    """The part of every global batch that one process makes: rank ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1


class Iterations(TorchDataset[Any]):
    """Batches by iteration number: item ``k`` is this shard's slice of the global batch of iteration k.

    ``streams`` maps each image field of the view's batch to the stream of its augmentation. ``batch_size`` is that of
    all processes together, a multiple of the number of shards. From iteration ``crop_until`` on, images have the
    smallest stored size, so that nothing is cropped.
    """

    def __init__(
        self,
        images: StoredImages,
        view: View,
        streams: dict[str, int],
        batch_size: int,
        seed: int,
        shard: Shard | None = None,
        crop_until: int | None = None,
    ) -> None:
        self.shard = shard or Shard()
        self.crop_until = crop_until
        assert batch_size % self.shard.count == 0, (batch_size, self.shard)
        self.images, self.view, self.streams, self.batch_size, self.seed = images, view, streams, batch_size, seed

    def positions(self, iteration: int) -> np.ndarray:
        """Return the positions in the sample stream (n,) of this shard's slice of a batch."""
        each = self.batch_size // self.shard.count
        start = iteration * self.batch_size + self.shard.rank * each
        return np.arange(start, start + each)

    def __getitem__(self, iteration: int) -> Any:
        """Return a batch with `RawImages` in its image fields; for a joint data set, a tuple of one a label set."""
        positions = self.positions(iteration)
        rows = self.view.draw(positions)
        cropped = None if self.crop_until is None else iteration < self.crop_until
        if hasattr(rows, "_fields"):
            return self._filled(rows, positions, 0, cropped)
        return tuple(self._filled(each, positions, number, cropped) for number, each in enumerate(rows))

    def _filled(self, rows: Any, positions: np.ndarray, label_set: int, cropped: bool | None) -> Any:
        """Return a batch of rows with tensors in place of arrays and images in place of rows."""

        def value(name: str, array: np.ndarray | int) -> Any:
            if isinstance(array, int):
                return array
            if name not in self.streams:
                return torch.from_numpy(array)
            stream = stream_of_set(label_set, self.streams[name])
            numbers = torch.from_numpy(uniform(self.seed, stream, positions, NUM_UNIFORMS).astype(np.float32))
            return RawImages(torch.from_numpy(self._pixels(array, numbers, cropped)), numbers)

        return type(rows)(**{name: value(name, array) for name, array in rows._asdict().items()})

    def _pixels(self, rows: np.ndarray, numbers: Tensor, cropped: bool | None) -> np.ndarray:
        """Return the pixels of rows, each at the stored size that its augmentation takes, in the frame of the first.

        ``cropped`` is the same choice for all: the first size, or the last; None: one for each row.
        """
        sizes = self.images.sizes
        if cropped is not None or len(sizes) == 1:
            return self.images.take(rows, len(sizes) - 1 if cropped is False else 0)
        which = which_size(sizes, numbers).numpy()
        pixels = np.zeros((len(rows), *sizes[0], 3), np.uint8)
        for number, (height, width) in enumerate(sizes):
            here = np.flatnonzero(which == number)
            if len(here):
                pixels[here, :height, :width] = self.images.take(rows[here], number)
        return pixels


CHANNEL_ERRORS = (ConnectionError, EOFError, FileNotFoundError)
"""Errors of the channel between the main process and a worker that has died."""


class ErrorForwardingDataset(TorchDataset[Any]):
    """Batches by iteration number; an error may be returned as a batch, which raises it in the main process.

    A worker would hide a UserError in a traceback. An error of the types of the channel would look like the worker's
    death.
    """

    def __init__(self, iterations: Iterations) -> None:
        self.iterations = iterations

    def __getitem__(self, iteration: int) -> Any:
        """Return a batch, or the error that making it has raised."""
        try:
            return self.iterations[iteration]
        except (UserError, *CHANNEL_ERRORS) as error:
            return error


class Loader(DataLoader[Any]):
    """A loader that raises the same RuntimeError for every way in which a worker process can die."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield batches."""
        try:
            yield from super().__iter__()
        except CHANNEL_ERRORS as error:
            if not self.num_workers:
                raise
            raise RuntimeError(f"DataLoader worker exited unexpectedly: {error or type(error).__name__}") from error


class DataModule(pl.LightningDataModule):
    """Feed a model from iteration ``start`` to ``stop``, and hold out images for samples and evaluation.

    ``train`` and ``val`` are data sets with the same domains. ``view`` is a name of `VIEWS`; ``labels`` chooses the
    labels of the view "labelled", see `Dataset.label_sets`. ``batch_size`` is that of all processes together.
    ``augment`` is a name of `AUGMENTATIONS`, ``load_size`` and ``crop_until`` are settings of it, see `stored_sizes`
    and `Iterations`. ``cache`` is a folder for decoded images or None. ``max_bad_fraction`` in [0, 1] bounds the images
    that cannot be read. ``num_threads`` threads decode (None: one a CPU of this process).
    """

    def __init__(
        self,
        train: Dataset,
        val: Dataset,
        image_size: SizeLike,
        batch_size: int,
        view: str = "reference",
        latent_size: int = 0,
        labels: str | None = None,
        augment: str = "crop_flip",
        load_size: SizeLike | None = None,
        crop_until: int | None = None,
        num_workers: int = 0,
        cache: Path | None = None,
        max_bad_fraction: float = 0.01,
        seed: int = 0,
        start: int = 0,
        stop: int = 1,
        num_threads: int | None = None,
    ) -> None:
        super().__init__()
        self.train, self.val = train, val
        self.image_size, self.batch_size, self.latent_size = ImageSize.of(image_size), batch_size, latent_size
        self.view, self.labels = view, labels
        self.num_workers, self.seed = num_workers, seed
        self.start, self.stop = start, stop
        self._augmentation = AUGMENTATIONS[augment]
        read = partial(open_images, folder=cache, max_bad_fraction=max_bad_fraction, num_threads=num_threads)
        self.crop_until = crop_until
        size, *further = stored_sizes(augment, image_size, load_size, crop_until)
        self._open = {
            "train": partial(read, train, size, further_sizes=further),
            "val": partial(read, val, image_size),
        }
        self._opened: dict[str, StoredImages] = {}

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the names of the domains."""
        return self.train.domains

    def images(self, split: str) -> StoredImages:
        """Return the images of "train" or "val", opened on first use."""
        if split not in self._opened:
            with errors_inside("data"):
                self._opened[split] = self._open[split]()
        return self._opened[split]

    def setup(self, stage: str | None = None) -> None:
        """Open both splits; UserError if the processes see different data."""
        with errors_inside("data"):
            if not alone():
                check_consistency([fact for split in SPLITS for fact in self._facts(split)])  # before the slow decoding
        indices = {split: self.images(split).indices for split in SPLITS}
        with errors_inside("data"):
            if not alone():
                check_consistency(
                    [f"{len(items)} readable {split} images ({digest([items])})" for split, items in indices.items()]
                )

    def _facts(self, split: str) -> list[str]:
        """Return the properties of "train" or "val" that all processes must see alike, in words, simplest first."""
        dataset = self._dataset(split)
        labels = digest([dataset.domain, dataset.partner, self.label_table(split)])
        return [
            f"the domains {', '.join(dataset.domains)}",
            f"{len(dataset)} {split} images",
            f"{split} images with the fingerprint {dataset.fingerprint()[:12]} (names, sizes and times of files)",
            f"labels of the {split} images with the fingerprint {labels}",
        ]

    def iterations(self, shard: Shard | None = None, images: StoredImages | None = None) -> Iterations:
        """Return the training batches by iteration number; ``images`` None takes those of "train"."""
        images = images or self.images("train")
        inputs = ViewInputs(self.train, images.indices, self.batch_size, self.latent_size, self.labels, self.seed)
        with errors_inside("data"):
            view: View = VIEWS.get(self.view)(inputs)
        streams = image_streams(VIEWS.facts(self.view))
        return Iterations(images, view, streams, self.batch_size, self.seed, shard, self.crop_until)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of iterations ``start`` to ``stop``; its workers make whole batches."""
        trainer = self.trainer
        shard = Shard(trainer.global_rank, trainer.world_size) if trainer is not None else Shard()
        return Loader(
            ErrorForwardingDataset(self.iterations(shard)),
            batch_size=None,
            sampler=range(self.start, self.stop),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            worker_init_fn=signals.leave_to_parent,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment on the device and convert to the precision of the run; raise an error that came as a batch."""
        if isinstance(batch, UserError):
            raise batch.inside("data")
        if isinstance(batch, Exception):
            raise batch
        assert self.trainer is not None, "only a Trainer calls this hook"
        return self.trainer.precision_plugin.convert_input(self.augment(batch))

    def augment(self, batch: Any) -> Any:
        """Return a batch with augmented float images (B, 3, H, W) in [-1, 1] in place of its `RawImages`."""
        if isinstance(batch, RawImages):
            return self._augmentation(batch, self.image_size)
        if isinstance(batch, tuple | list):  # a loader makes lists of plain tuples
            values = [self.augment(value) for value in batch]
            return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
        return batch

    def held_out(self, count: int) -> HeldOut:
        """Return up to ``count`` validation images, at every call the same.

        They are balanced over domains; in a data set without domains, over label sets, and in a set of classes over
        the classes.
        """
        items = self.images("val").indices
        if self.val.domain is not None and len(self.domains):
            return self.rows("val", balanced_rows(self.val.domain[items], len(self.domains), count))
        row_of = np.full(len(self.val), -1)
        row_of[items] = np.arange(len(items))
        rows_of_sets = []
        for labels in self.label_sets("val"):
            rows = row_of[labels.items]
            kind = labels.values.argmax(1) if labels.kind == "classes" else np.zeros(len(rows), np.int64)
            rows, kind = rows[rows >= 0], kind[rows >= 0]
            rows_of_sets.append(rows[balanced_rows(kind, len(labels.names), len(labels.names) * len(rows))])
        if not rows_of_sets:  # neither domains nor labels
            return self.rows("val", np.arange(min(count, len(items))))
        set_of = np.repeat(np.arange(len(rows_of_sets)), [len(rows) for rows in rows_of_sets])
        return self.rows("val", np.concatenate(rows_of_sets)[balanced_rows(set_of, len(rows_of_sets), count)])

    def rows(self, split: str, rows: Sequence[int] | np.ndarray) -> HeldOut:
        """Return the images at rows (n,) of "train" or "val", at the image size, not augmented."""
        stored, dataset = self.images(split), self._dataset(split)
        rows = np.asarray(rows)
        items = stored.indices[rows]
        domain = np.zeros(len(dataset), np.int64) if dataset.domain is None else dataset.domain
        partner = None
        if dataset.partner is not None:
            row_of = np.full(len(dataset), -1)
            row_of[stored.indices] = np.arange(len(stored))
            partners = row_of[dataset.partner[items]]
            partner = self._float_images(stored, np.where(partners < 0, rows, partners))
        label = torch.from_numpy(self.label_table(split)[items])
        images, domains = self._float_images(stored, rows), torch.from_numpy(domain[items])
        return HeldOut(images, domains, label, partner, items, self.domains)

    def whole_image(self, item: int) -> np.ndarray:
        """Return a validation item at its own size, (H, W, 3) uint8; a drawn one has the size of stored images."""
        return self.val.read_whole(item, self.images("train").size.plain)

    def _float_images(self, stored: StoredImages, rows: np.ndarray) -> Tensor:
        if self.image_size in stored.sizes:
            return to_float(torch.from_numpy(stored.take(rows, stored.sizes.index(self.image_size))))
        images = to_float(torch.from_numpy(stored.take(rows)))
        return torch.nn.functional.interpolate(images, size=self.image_size, mode="bilinear", antialias=True)

    def _dataset(self, split: str) -> Dataset:
        return self.train if split == "train" else self.val

    def label_sets(self, split: str) -> tuple[LabelSet, ...]:
        """Return the label sets of "train" or "val"; () for a data set without labels."""
        try:
            return self._dataset(split).label_sets(self.labels)
        except UserError:  # the check of the configuration has refused explicit labels that do not exist
            return ()

    def label_table(self, split: str) -> np.ndarray:
        """Return the labels of all items (N, K) float32, 0 or 1: all label sets side by side.

        If there are several sets, the last columns are the set of the item, one-hot.
        """
        sets = self.label_sets(split)
        widths = [len(labels.names) for labels in sets]
        table = np.zeros((len(self._dataset(split)), sum(widths) + (len(sets) if len(sets) > 1 else 0)), np.float32)
        start = 0
        for number, (labels, width) in enumerate(zip(sets, widths, strict=True)):
            table[labels.items, start : start + width] = labels.values
            if len(sets) > 1:
                table[labels.items, sum(widths) + number] = 1
            start += width
        return table


def balanced_rows(domain: np.ndarray, num_domains: int, count: int) -> np.ndarray:
    """Return up to ``count`` rows (n,) int64 of labels (N,): the first row of each domain in turn, then the second."""
    members = [np.flatnonzero(domain == d) for d in range(num_domains)]
    per_domain = -(-count // num_domains)
    rows = [rows_of_domain[k] for k in range(per_domain) for rows_of_domain in members if k < len(rows_of_domain)]
    return np.array(rows[:count], dtype=np.int64)
