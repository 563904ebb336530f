"""The typed batches that models declare and views fill.

Images are float (B, 3, S, S) in [-1, 1] when a model sees them; on their way from a loader they are a ``Picture``,
8-bit pixels with the random numbers of their augmentation, so that the device does the rest.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Picture(NamedTuple):
    """Images under way from the loader to the device."""

    pixels: Tensor  # (B, T, T, 3) uint8, at the stored side T
    chance: Tensor  # (B, 6) float32 in [0, 1): what the augmentation of each image is drawn from


class ReferenceBatch(NamedTuple):
    """What StarGAN v2 sees: sources, targets, and two references and two codes of the target domain."""

    image: Tensor  # (B, 3, S, S) sources
    domain: Tensor  # (B,) int64, the sources' domains
    target: Tensor  # (B,) int64, the domains to translate to
    reference: Tensor  # (B, 3, S, S) members of the target domains
    reference2: Tensor  # (B, 3, S, S) other members of the target domains
    code: Tensor  # (B, L) standard normal
    code2: Tensor  # (B, L) standard normal


class LabelledBatch(NamedTuple):
    """What StarGAN v1 sees of one data set; a batch of the view is a tuple of these, one a data set."""

    image: Tensor  # (B, 3, S, S)
    label: Tensor  # (B, K) float32, 0 or 1: the image's own attributes, or its class one-hot
    target: Tensor  # (B, K) float32, the labels to translate to


class UnpairedBatch(NamedTuple):
    """What CycleGAN sees: images of two domains that have nothing to do with each other."""

    a: Tensor  # (B, 3, S, S) of the first domain
    b: Tensor  # (B, 3, S, S) of the second domain


class PairedBatch(NamedTuple):
    """What pix2pix sees: images and what they should become."""

    source: Tensor  # (B, 3, S, S) of the first domain
    target: Tensor  # (B, 3, S, S) their partners in the second


class HeldOut(NamedTuple):
    """Images that a run never trains on, with all that is known of them."""

    image: Tensor  # (n, 3, S, S) in [-1, 1]
    domain: Tensor  # (n,) int64; 0 in a data set without domains
    label: Tensor  # (n, K) float32: the labels of all data sets side by side, then, for several, which one it is
    partner: Tensor | None  # (n, 3, S, S) the image that each belongs to, in a data set of pairs
    items: np.ndarray  # (n,) the items' numbers in the data set

    def to(self, device: torch.device) -> "HeldOut":
        """Return the same on a device."""
        partner = None if self.partner is None else self.partner.to(device)
        return HeldOut(self.image.to(device), self.domain.to(device), self.label.to(device), partner, self.items)
