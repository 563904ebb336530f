"""Critters: the built-in world, drawn on demand, without any download."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import Dataset, check_split, choose_attributes, choose_domains
from translate.data.synthetic.factors import ATTRIBUTES, SPECIES, WORLD_VERSION, draw
from translate.data.synthetic.factors import attributes as binary_labels
from translate.data.synthetic.painting import render
from translate.errors import UserError
from translate.registry.registry import DATASETS
from translate.sizes import SizeLike

DEFAULT_DOMAINS = ("bear", "cat", "rabbit")

VALIDATION = 1 << 40  # the first index of the validation split; training never reaches it


@DATASETS.register("critters", provides=("domain", "attributes"))
class Critters(Dataset):
    """Procedural cartoon animal heads whose factors are known, see translate.data.synthetic.

    A domain is a species: `domains` chooses among bear, cat, dog, fox, pig and rabbit; null means bear, cat and
    rabbit. Every domain has the same number of images: `num_images` (train) or `num_val_images` (val) divided by the
    number of domains. Image k of a species depends on `world_seed` alone, not on other domains or on the number of
    images. `factors` holds the known factors of every item. `attributes` chooses and orders the binary labels for
    StarGAN v1; null means all of translate.data.synthetic.factors.ATTRIBUTES.
    UserError for an unknown or repeated species or attribute, and for fewer images than domains.
    """

    may_fail = False

    def __init__(
        self,
        num_images: int = 6000,
        num_val_images: int = 600,
        world_seed: int = 0,
        attributes: Sequence[str] | None = None,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """Draw the factors of every item; see the class."""
        split = check_split(split)
        if not 0 <= world_seed < 1 << 64:
            raise UserError(key="world_seed", found=world_seed, expected="0 to 2^64 - 1")
        self.domains = choose_domains(SPECIES, DEFAULT_DOMAINS if domains is None else domains, "critters")
        name, count = ("num_images", num_images) if split == "train" else ("num_val_images", num_val_images)
        each = count // len(self.domains)
        if each < 1:
            expected = f"at least one image for each of {len(self.domains)} domains"
            raise UserError(key=name, found=count, expected=expected)
        if each * len(SPECIES) > VALIDATION:
            raise UserError(key=name, found=count, expected=f"at most {VALIDATION // len(SPECIES) * len(self.domains)}")
        self.world_seed = world_seed
        self.domain = np.repeat(np.arange(len(self.domains)), each)
        species = np.array([SPECIES.index(domain) for domain in self.domains])[self.domain]
        self._number = np.tile(np.arange(each), len(self.domains))
        self._start = 0 if split == "train" else VALIDATION
        self.factors = draw(world_seed, self._start + self._number * len(SPECIES) + species, species)
        place = (self.factors.x, self.factors.y, self.factors.scale, self.factors.tilt)
        self.content = np.stack(place, axis=1).astype(np.float32)
        self.style = self.factors.coat.astype(np.float32)
        chosen = choose_attributes(ATTRIBUTES, attributes, "critters")
        self.attribute_names = tuple(ATTRIBUTES[k] for k in chosen)
        self.attributes = binary_labels(self.factors)[:, chosen]
        self._split = split

    def __len__(self) -> int:
        """Return N."""
        return len(self._number)

    def read(self, index: int, size: SizeLike) -> np.ndarray:
        """Draw one image, (height, width, 3) uint8; `read_many` is many times faster an image."""
        image: np.ndarray = render(self.factors.take([index]), size)[0]
        return image

    def read_many(self, indices: Sequence[int] | np.ndarray, size: SizeLike) -> np.ndarray:
        """Draw images, (n, height, width, 3) uint8, each the same to the bit as by `read`."""
        return render(self.factors.take(np.asarray(indices, dtype=np.int64)), size)

    def describe(self, index: int) -> str:
        """Return "critters cat 12", or "critters cat 12 of val"."""
        name = f"critters {SPECIES[self.factors.species[index]]} {self._number[index]}"
        return name if self._split == "train" else f"{name} of val"

    def fingerprint(self) -> str:
        """Digest the version of the world and the arguments."""
        arguments = f"critters {WORLD_VERSION} {self.world_seed} {self._start} {len(self)} {' '.join(self.domains)}"
        return hashlib.sha256(arguments.encode()).hexdigest()
