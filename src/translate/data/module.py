"""The data of a run: endless, addressed by iteration, sliced by rank."""

from collections.abc import Sequence
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

from translate.data.batches import Picture, ReferenceBatch
from translate.data.cache import Pictures, open_pictures
from translate.data.counter import uniform
from translate.data.datasets.base import Dataset
from translate.data.transforms import AUGMENTATIONS, CHANCES, stored_side, to_float
from translate.data.views import Draw, ReferenceRows, ReferenceView, balanced_rows


@dataclass(frozen=True)
class Shard:
    """Which part of every global batch this process makes: rank ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1


class Iterations(TorchDataset[ReferenceBatch]):
    """Batches by iteration number: item ``k`` is this shard's slice of the global batch of iteration k."""

    def __init__(
        self, pictures: Pictures, view: ReferenceView, batch_size: int, seed: int, shard: Shard | None = None
    ) -> None:
        shard = shard or Shard()
        assert batch_size % shard.count == 0, (batch_size, shard)  # build has checked it
        self.pictures, self.view, self.batch_size, self.seed, self.shard = pictures, view, batch_size, seed, shard

    def positions(self, iteration: int) -> np.ndarray:
        """Return the positions in the sample stream (n,) of this shard's slice of a batch."""
        each = self.batch_size // self.shard.count
        start = iteration * self.batch_size + self.shard.rank * each
        return np.arange(start, start + each)

    def __getitem__(self, iteration: int) -> ReferenceBatch:
        """Return a batch whose images are still `Picture`s."""
        positions = self.positions(iteration)
        rows: ReferenceRows = self.view.draw(positions)

        def picture(which: np.ndarray, stream: Draw) -> Any:
            chance = uniform(self.seed, stream, positions, CHANCES).astype(np.float32)
            return Picture(torch.from_numpy(self.pictures.take(which)), torch.from_numpy(chance))

        return ReferenceBatch(
            image=picture(rows.image, Draw.AUGMENT),
            domain=torch.from_numpy(rows.domain),
            target=torch.from_numpy(rows.target),
            reference=picture(rows.reference, Draw.AUGMENT_REFERENCE),
            reference2=picture(rows.reference2, Draw.AUGMENT_REFERENCE2),
            code=torch.from_numpy(rows.code),
            code2=torch.from_numpy(rows.code2),
        )


class DataModule(pl.LightningDataModule):
    """Feed a model from iteration ``start`` to ``stop`` and keep a held-out part for samples and measures.

    ``train`` and ``val`` are data sets with the same domains. ``batch_size`` is that of all processes together.
    ``augment`` is a key of `AUGMENTATIONS`; ``cache`` a folder for decoded pictures or None.
    """

    def __init__(
        self,
        train: Dataset,
        val: Dataset,
        image_size: int,
        batch_size: int,
        latent_size: int,
        augment: str = "crop_flip",
        num_workers: int = 0,
        cache: Path | None = None,
        bad_images: float = 0.01,
        seed: int = 0,
        start: int = 0,
        stop: int = 1,
    ) -> None:
        super().__init__()
        self.train, self.val = train, val
        self.image_size, self.batch_size, self.latent_size = image_size, batch_size, latent_size
        self.augment, self.num_workers, self.seed = augment, num_workers, seed
        self.start, self.stop = start, stop
        read = partial(open_pictures, folder=cache, max_bad_share=bad_images)
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
        """Open both parts."""
        self.pictures("train")
        self.pictures("val")

    def iterations(self, shard: Shard | None = None) -> Iterations:
        """Return the batches of training, by iteration number."""
        pictures = self.pictures("train")
        view = ReferenceView(self._labels("train"), len(self.domains), self.latent_size, self.seed)
        return Iterations(pictures, view, self.batch_size, self.seed, shard)

    def _labels(self, part: str) -> np.ndarray:
        dataset = self.train if part == "train" else self.val
        assert dataset.domain is not None
        return dataset.domain[self.pictures(part).indices]

    def train_dataloader(self) -> DataLoader[ReferenceBatch]:
        """Return the loader of iterations ``start`` to ``stop``; its workers finish whole batches."""
        trainer = self.trainer
        shard = Shard(trainer.global_rank, trainer.world_size) if trainer is not None else Shard()
        return DataLoader(
            self.iterations(shard),
            batch_size=None,
            sampler=range(self.start, self.stop),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
        )

    def on_after_batch_transfer(self, batch: ReferenceBatch, dataloader_idx: int) -> ReferenceBatch:
        """Augment on the device."""
        return self.ready(batch)

    def ready(self, batch: ReferenceBatch) -> ReferenceBatch:
        """Return a batch with its pictures augmented, as float images."""
        augmentation = AUGMENTATIONS[self.augment]
        values = (augmentation(v, self.image_size) if isinstance(v, Picture) else v for v in batch)
        return ReferenceBatch(*values)

    def held_out(self, count: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Return up to ``count`` validation images, the same ones always, balanced over domains.

        Images are (n, 3, S, S) in [-1, 1], domains (n,), and the items' numbers in the data set (n,).
        """
        return self.rows("val", balanced_rows(self._labels("val"), len(self.domains), count))

    def rows(self, part: str, rows: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor, np.ndarray]:
        """Return chosen rows of "train" or "val", at the image size, as `held_out` does."""
        pictures = self.pictures(part)
        rows = np.asarray(rows)
        pixels = torch.from_numpy(pictures.take(rows))
        images = to_float(pixels)
        if images.shape[2] != self.image_size:
            images = torch.nn.functional.interpolate(images, size=self.image_size, mode="bilinear", antialias=True)
        return images, torch.from_numpy(self._labels(part)[rows]), pictures.indices[rows]
