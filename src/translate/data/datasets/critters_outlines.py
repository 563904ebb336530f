"""The built-in world in pairs: an outline and its drawing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import Dataset, check_split, choose_domains
from translate.data.datasets.critters import DEFAULT_DOMAINS, VALIDATION
from translate.data.synthetic.factors import SPECIES, WORLD_VERSION, draw
from translate.data.synthetic.painting import outline, render
from translate.errors import UserError
from translate.registry.registry import DATASETS
from translate.sizes import ImageSize, SizeLike

SIDES = ("outline", "drawing")


@DATASETS.register("critters_outlines", provides=("domain", "partner"))
class CrittersOutlines(Dataset):
    """Critters as black lines on white and in colour, in pairs, see translate.data.synthetic.

    The domains are outline and drawing; `domains` orders the two and so gives the direction. Each has half of
    `num_images` (train) or `num_val_images` (val). Items 2k and 2k + 1 are a pair, drawn from the same factors. The
    lines are the outlines of the shapes, and do not depend on the colours. The species, which are the classes of the
    images, take turns: `species` chooses among bear, cat, dog, fox, pig and rabbit; null means bear, cat and rabbit.
    The drawings are those of the data set critters with the same `world_seed`. `factors` holds the known factors of
    every item; the coat of an outline, a factor of style, is white.
    UserError for an unknown or repeated species, fewer than two images, and fewer than two domains.
    """

    may_fail = False

    def __init__(
        self,
        num_images: int = 6000,
        num_val_images: int = 600,
        world_seed: int = 0,
        species: Sequence[str] | None = None,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """Draw the factors of every item; see the class."""
        split = check_split(split)
        if not 0 <= world_seed < 1 << 64:
            raise UserError(key="world_seed", found=world_seed, expected="0 to 2^64 - 1")
        self.species = choose_domains(
            SPECIES, DEFAULT_DOMAINS if species is None else species, "critters", "species", "species"
        )
        self.domains = choose_domains(SIDES, domains, "critters_outlines")
        if len(self.domains) < 2:
            raise UserError(key="domains", found=list(self.domains), expected=f"both {' and '.join(SIDES)}")
        name, count = ("num_images", num_images) if split == "train" else ("num_val_images", num_val_images)
        pairs = np.arange(count // 2)
        if not len(pairs):
            raise UserError(key=name, found=count, expected="at least one pair of images")
        self.world_seed = world_seed
        kinds = np.array([SPECIES.index(one) for one in self.species])[pairs % len(self.species)]
        start = 0 if split == "train" else VALIDATION
        numbers = pairs // len(self.species)
        self.factors = draw(world_seed, start + numbers * len(SPECIES) + kinds, kinds).take(np.repeat(pairs, 2))
        self.domain = np.tile(np.arange(2), len(pairs))
        self.partner = np.arange(2 * len(pairs)) ^ 1
        self.class_names = self.species
        self.classes = np.repeat(pairs % len(self.species), 2)
        self._is_outline = np.tile([side == "outline" for side in self.domains], len(pairs))
        place = (self.factors.x, self.factors.y, self.factors.scale, self.factors.tilt)
        self.content = np.stack(place, axis=1).astype(np.float32)
        self.style = np.where(self._is_outline[:, None], 1.0, self.factors.coat).astype(np.float32)
        self._number = np.repeat(numbers, 2)
        self._split = split

    def __len__(self) -> int:
        """Return N."""
        return len(self._number)

    def read(self, index: int, size: SizeLike) -> np.ndarray:
        """Draw one image, (height, width, 3) uint8; `read_many` is many times faster an image."""
        image: np.ndarray = self.read_many([index], size)[0]
        return image

    def read_many(self, indices: Sequence[int] | np.ndarray, size: SizeLike) -> np.ndarray:
        """Draw images, (n, height, width, 3) uint8, each the same to the bit as by `read`."""
        items = np.asarray(indices, dtype=np.int64)
        images = np.empty((len(items), *ImageSize.of(size), 3), np.uint8)
        for paint, chosen in ((outline, self._is_outline[items]), (render, ~self._is_outline[items])):
            images[chosen] = paint(self.factors.take(items[chosen]), size)
        return images

    def describe(self, index: int) -> str:
        """Return "critters outline of cat 12", or "critters outline of cat 12 of val"."""
        side, kind = self.domains[index % 2], SPECIES[self.factors.species[index]]
        name = f"critters {side} of {kind} {self._number[index]}"
        return name if self._split == "train" else f"{name} of val"

    def fingerprint(self) -> str:
        """Digest the version of the world and the arguments."""
        arguments = (WORLD_VERSION, self.world_seed, self._split, len(self), *self.domains, *self.species)
        return hashlib.sha256(f"critters_outlines {' '.join(map(str, arguments))}".encode()).hexdigest()
