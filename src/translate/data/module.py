"""The data of a run: endless, addressed by iteration, sliced by rank."""

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

from translate.data.batches import HeldOut, LabelledBatch, PairedBatch, Picture, ReferenceBatch, UnpairedBatch
from translate.data.cache import Pictures, open_pictures
from translate.data.consistency import agree, digest
from translate.data.datasets.base import Dataset, LabelSet
from translate.data.philox import uniform
from translate.data.transforms import AUGMENTATIONS, CHANCES, stored_side, to_float
from translate.data.views import (
    PART_STREAMS,
    VIEWS,
    Feed,
    LabelledRows,
    PairedRows,
    ReferenceRows,
    UnpairedRows,
    View,
    balanced_rows,
)
from translate.distributed.collectives import alone
from translate.errors import UserError

PARTS = ("train", "val")


@dataclass(frozen=True)
class Shard:
    """Which part of every global batch this process makes: rank ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1


class Iterations(TorchDataset[Any]):
    """Batches by iteration number: item ``k`` is this shard's slice of the global batch of iteration k."""

    def __init__(self, pictures: Pictures, view: View, batch_size: int, seed: int, shard: Shard | None = None) -> None:
        shard = shard or Shard()
        assert batch_size % shard.count == 0, (batch_size, shard)  # build has checked it
        self.pictures, self.view, self.batch_size, self.seed, self.shard = pictures, view, batch_size, seed, shard

    def positions(self, iteration: int) -> np.ndarray:
        """Return the positions in the sample stream (n,) of this shard's slice of a batch."""
        each = self.batch_size // self.shard.count
        start = iteration * self.batch_size + self.shard.rank * each
        return np.arange(start, start + each)

    def __getitem__(self, iteration: int) -> Any:
        """Return a batch whose images are still `Picture`s; for a data set of parts, a tuple of such."""
        positions = self.positions(iteration)
        rows = self.view.draw(positions)
        if isinstance(rows, BATCHES):
            return self._filled(rows, positions, 0)
        return tuple(self._filled(part, positions, PART_STREAMS * number) for number, part in enumerate(rows))

    def _filled(self, rows: Any, positions: np.ndarray, first_stream: int) -> Any:
        """Return the batch of some rows: pictures fetched, arrays as tensors."""

        def value(name: str, array: np.ndarray) -> Any:
            if name not in self.view.pictures:
                return torch.from_numpy(array)
            stream = first_stream + self.view.pictures[name]
            chance = uniform(self.seed, stream, positions, CHANCES).astype(np.float32)
            return Picture(torch.from_numpy(self.pictures.take(array)), torch.from_numpy(chance))

        return BATCH_OF[type(rows)](**{name: value(name, array) for name, array in rows._asdict().items()})


class ErrorForwardingDataset(TorchDataset[Any]):
    """Batches as a loader fetches them: a worker would bury a sentence in its traceback, so it is sent as a batch."""

    def __init__(self, iterations: Iterations) -> None:
        self.iterations = iterations

    def __getitem__(self, iteration: int) -> Any:
        """Return a batch, or the UserError that came in its place."""
        try:
            return self.iterations[iteration]
        except UserError as error:
            return error


class Loader(DataLoader[Any]):
    """A loader that says in one way that a worker has died: its last batch may also be what cannot be fetched."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield batches."""
        try:
            yield from super().__iter__()
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            if not self.num_workers or str(error).startswith("Caught "):  # raised in a worker that lives
                raise
            raise RuntimeError(f"DataLoader worker exited unexpectedly: {error or type(error).__name__}") from error


BATCH_OF: dict[type, Any] = {
    ReferenceRows: ReferenceBatch,
    LabelledRows: LabelledBatch,
    UnpairedRows: UnpairedBatch,
    PairedRows: PairedBatch,
}
BATCHES = tuple(BATCH_OF)


class DataModule(pl.LightningDataModule):
    """Feed a model from iteration ``start`` to ``stop`` and keep a held-out part for samples and measures.

    ``train`` and ``val`` are data sets with the same domains. ``view`` is a key of `VIEWS`, the kind of batch that the
    model takes; ``labels`` says which labels the view of StarGAN v1 takes. ``batch_size`` is that of all processes
    together. ``augment`` is a key of `AUGMENTATIONS`; ``cache`` a folder for decoded pictures or None.
    """

    def __init__(
        self,
        train: Dataset,
        val: Dataset,
        image_size: int,
        batch_size: int,
        view: str = "reference",
        latent_size: int = 0,
        labels: str | None = None,
        augment: str = "crop_flip",
        num_workers: int = 0,
        cache: Path | None = None,
        max_bad_fraction: float = 0.01,
        seed: int = 0,
        start: int = 0,
        stop: int = 1,
    ) -> None:
        super().__init__()
        self.train, self.val = train, val
        self.image_size, self.batch_size, self.latent_size = image_size, batch_size, latent_size
        self.view, self.labels = view, labels
        self.augment, self.num_workers, self.seed = augment, num_workers, seed
        self.start, self.stop = start, stop
        read = partial(open_pictures, folder=cache, max_bad_share=max_bad_fraction)
        self._open = {
            "train": partial(read, train, stored_side(augment, image_size)),
            "val": partial(read, val, image_size),
        }
        self._pictures: dict[str, Pictures] = {}

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the names of the domains."""
        return self.train.domains

    def pictures(self, part: str) -> Pictures:
        """Return the pictures of "train" or "val", opened on first use."""
        if part not in self._pictures:
            self._pictures[part] = self._open[part]()
        return self._pictures[part]

    def setup(self, stage: str | None = None) -> None:
        """Open both parts; UserError if other processes see other data."""
        if not alone():
            agree([fact for part in PARTS for fact in self._facts(part)])  # now, as to read them may take long
        opened = {part: self.pictures(part).indices for part in PARTS}
        if not alone():
            agree([f"{len(items)} readable {part} images ({digest([items])})" for part, items in opened.items()])

    def _facts(self, part: str) -> list[str]:
        """Return in words what all processes must see alike of "train" or "val", the plainest first."""
        dataset = self._dataset(part)
        labels = digest([dataset.domain, dataset.partner, self.label_table(part)])
        return [
            f"the domains {', '.join(dataset.domains)}",
            f"{len(dataset)} {part} images",
            f"{part} images with the fingerprint {dataset.fingerprint()[:12]} (names, sizes and times of files)",
            f"labels of the {part} images with the fingerprint {labels}",
        ]

    def iterations(self, shard: Shard | None = None, pictures: Pictures | None = None) -> Iterations:
        """Return the batches of training, by iteration number; ``pictures`` are those of "train" if not given."""
        pictures = pictures or self.pictures("train")
        feed = Feed(self.train, pictures.indices, self.batch_size, self.latent_size, self.labels, self.seed)
        return Iterations(pictures, VIEWS[self.view].of(feed), self.batch_size, self.seed, shard)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of iterations ``start`` to ``stop``; its workers finish whole batches."""
        trainer = self.trainer
        shard = Shard(trainer.global_rank, trainer.world_size) if trainer is not None else Shard()
        return Loader(
            ErrorForwardingDataset(self.iterations(shard)),
            batch_size=None,
            sampler=range(self.start, self.stop),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment on the device, in the precision of the run; raise the UserError that came instead of a batch."""
        if isinstance(batch, UserError):
            raise batch
        assert self.trainer is not None  # which calls this
        return self.trainer.precision_plugin.convert_input(self.ready(batch))

    def ready(self, batch: Any) -> Any:
        """Return a batch with its pictures augmented, as float images."""
        if isinstance(batch, Picture):
            return AUGMENTATIONS[self.augment](batch, self.image_size)
        if isinstance(batch, tuple | list):  # a loader makes lists of plain tuples
            values = [self.ready(value) for value in batch]
            return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
        return batch

    def held_out(self, count: int) -> HeldOut:
        """Return up to ``count`` validation images, the same ones always.

        They are balanced over domains; in a data set without, over parts, and in a part over classes if it has any.
        """
        items = self.pictures("val").indices
        if self.val.domain is not None and len(self.domains):
            return self.rows("val", balanced_rows(self.val.domain[items], len(self.domains), count))
        row_of = np.full(len(self.val), -1)
        row_of[items] = np.arange(len(items))
        parts = []
        for labels in self.label_sets("val"):
            rows = row_of[labels.items]
            kind = labels.values.argmax(1) if labels.kind == "classes" else np.zeros(len(rows), np.int64)
            rows, kind = rows[rows >= 0], kind[rows >= 0]
            parts.append(rows[balanced_rows(kind, len(labels.names), len(labels.names) * len(rows))])
        part_of = np.repeat(np.arange(len(parts)), [len(rows) for rows in parts])
        return self.rows("val", np.concatenate(parts)[balanced_rows(part_of, len(parts), count)])

    def rows(self, part: str, rows: Sequence[int] | np.ndarray) -> HeldOut:
        """Return chosen rows of "train" or "val", at the image size."""
        pictures, dataset = self.pictures(part), self._dataset(part)
        rows = np.asarray(rows)
        items = pictures.indices[rows]
        domain = np.zeros(len(dataset), np.int64) if dataset.domain is None else dataset.domain
        partner = None
        if dataset.partner is not None:
            row_of = np.full(len(dataset), -1)
            row_of[pictures.indices] = np.arange(len(pictures))
            partners = row_of[dataset.partner[items]]
            partner = self._images(pictures, np.where(partners < 0, rows, partners))
        label = torch.from_numpy(self.label_table(part)[items])
        return HeldOut(self._images(pictures, rows), torch.from_numpy(domain[items]), label, partner, items)

    def _images(self, pictures: Pictures, rows: np.ndarray) -> Tensor:
        images = to_float(torch.from_numpy(pictures.take(rows)))
        if images.shape[2] != self.image_size:
            images = torch.nn.functional.interpolate(images, size=self.image_size, mode="bilinear", antialias=True)
        return images

    def _dataset(self, part: str) -> Dataset:
        return self.train if part == "train" else self.val

    def label_sets(self, part: str) -> tuple[LabelSet, ...]:
        """Return the labels of "train" or "val" as StarGAN v1 takes them; none in a data set without labels."""
        try:
            return self._dataset(part).label_sets(self.labels)
        except UserError:  # an explicit wish that cannot be met has been refused by the check
            return ()

    def label_table(self, part: str) -> np.ndarray:
        """Return the labels of all items (N, K) float32: all sets side by side, then, for several, which one it is."""
        sets = self.label_sets(part)
        widths = [len(labels.names) for labels in sets]
        table = np.zeros((len(self._dataset(part)), sum(widths) + (len(sets) if len(sets) > 1 else 0)), np.float32)
        start = 0
        for number, (labels, width) in enumerate(zip(sets, widths, strict=True)):
            table[labels.items, start : start + width] = labels.values
            if len(sets) > 1:
                table[labels.items, sum(widths) + number] = 1
            start += width
        return table
