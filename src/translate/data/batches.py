"""Images on their way to a model, and held-out images with their labels.

The batch types of models stand beside their views, in `translate.data.views`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class RawImages(NamedTuple):
    """8-bit images on their way from a loader to the device, with the random numbers of their augmentation."""

    pixels: Tensor  # (B, T, T, 3) uint8, at the stored side T
    uniform: Tensor  # (B, 6) float32 in [0, 1), see `translate.data.transforms`


class HeldOut(NamedTuple):
    """Images that the run does not train on, with all their labels."""

    image: Tensor  # (n, 3, S, S) in [-1, 1]
    domain: Tensor  # (n,) int64; 0 in a data set without domains
    label: Tensor  # (n, K) float32, 0 or 1: all label sets side by side; if there are several, then the set, one-hot
    partner: Tensor | None  # (n, 3, S, S) in [-1, 1], the partner of each image; None in a data set without pairs
    items: np.ndarray  # (n,) int64, the numbers of the items in the data set
    domains: tuple[str, ...] = ()  # the names of the domains

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Return the name of each image's domain; () in a data set without domains."""
        return tuple(self.domains[int(domain)] for domain in self.domain) if self.domains else ()

    def to(self, device: torch.device) -> "HeldOut":
        """Return the same images and labels on a device."""
        partner = None if self.partner is None else self.partner.to(device)
        return self._replace(
            image=self.image.to(device), domain=self.domain.to(device), label=self.label.to(device), partner=partner
        )
