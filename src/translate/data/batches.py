"""The typed batches that models declare and views fill.

Images are float (B, 3, S, S) in [-1, 1] when a model sees them; on their way from a loader they are a ``Picture``,
8-bit pixels with the random numbers of their augmentation, so that the device does the rest.
"""

from typing import NamedTuple

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
