"""The built-in world in pairs: an outline and the drawing that it belongs to."""

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

SIDES = ("outline", "drawing")


@DATASETS.register("critters_outlines", provides=("domain", "partner"))
class CrittersOutlines(Dataset):
    """Critters as black lines on white and in colour, in pairs, see translate.data.synthetic.

    The domains are outline and drawing; `domains` orders the two and so gives the direction. Each has half of
    `num_images` (train) or `num_val_images` (val). Items 2k and 2k + 1 are a pair, drawn from the same factors:
    the lines are those of the shapes themselves, and nothing of the colours is in them. The species take turns:
    `species` names some of bear, cat, dog, fox, pig and rabbit; null means bear, cat and rabbit. The drawings
    are those of data=critters with the same `world_seed`. `factors` holds the known factors of every item;
    the coat of an outline, as a factor of style, is white.
    Raises UserError for an unknown or repeated species, for fewer than two images, for fewer than both domains.
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
        part = check_split(split)
        if not 0 <= world_seed < 1 << 64:
            raise UserError(f"data.world_seed: expected 0 to 2^64 - 1, found {world_seed}")
        wanted = DEFAULT_DOMAINS if species is None else species
        self.species = choose_domains(SPECIES, wanted, "critters", "data.species", "species")
        self.domains = choose_domains(SIDES, domains, "critters_outlines")
        if len(self.domains) < 2:
            raise UserError(f"data.domains: found only {self.domains[0]!r}, but a pair is of {' and '.join(SIDES)}")
        name, count = ("num_images", num_images) if part == "train" else ("num_val_images", num_val_images)
        pairs = np.arange(count // 2)
        if not len(pairs):
            raise UserError(f"data.{name}: found {count}, expected a pair of images at least")
        self.world_seed = world_seed
        kinds = np.array([SPECIES.index(one) for one in self.species])[pairs % len(self.species)]
        start = 0 if part == "train" else VALIDATION
        numbers = pairs // len(self.species)
        self.factors = draw(world_seed, start + numbers * len(SPECIES) + kinds, kinds).take(np.repeat(pairs, 2))
        self.domain = np.tile(np.arange(2), len(pairs))
        self.partner = np.arange(2 * len(pairs)) ^ 1
        self._is_outline = np.tile([side == "outline" for side in self.domains], len(pairs))
        place = (self.factors.x, self.factors.y, self.factors.scale, self.factors.tilt)
        self.content = np.stack(place, axis=1).astype(np.float32)
        self.style = np.where(self._is_outline[:, None], 1.0, self.factors.coat).astype(np.float32)
        self._number = np.repeat(numbers, 2)
        self._split = part

    def __len__(self) -> int:
        """Return N."""
        return len(self._number)

    def read(self, index: int, size: int) -> np.ndarray:
        """Draw one picture, (size, size, 3) uint8; `read_many` is many times faster an image."""
        picture: np.ndarray = self.read_many([index], size)[0]
        return picture

    def read_many(self, indices: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
        """Draw pictures, (n, size, size, 3) uint8, each the same to the bit as by `read`."""
        items = np.asarray(indices, dtype=np.int64)
        pictures = np.empty((len(items), size, size, 3), np.uint8)
        for paint, chosen in ((outline, self._is_outline[items]), (render, ~self._is_outline[items])):
            pictures[chosen] = paint(self.factors.take(items[chosen]), size)
        return pictures

    def describe(self, index: int) -> str:
        """Return "critters outline of cat 12", or "critters outline of cat 12 of val"."""
        side, kind = self.domains[index % 2], SPECIES[self.factors.species[index]]
        name = f"critters {side} of {kind} {self._number[index]}"
        return name if self._split == "train" else f"{name} of val"

    def fingerprint(self) -> str:
        """Digest the world's version and what was asked of it."""
        asked = (WORLD_VERSION, self.world_seed, self._split, len(self), *self.domains, *self.species)
        return hashlib.sha256(f"critters_outlines {' '.join(map(str, asked))}".encode()).hexdigest()
