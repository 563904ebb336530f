"""A memory of generated images, so that a discriminator also judges what generators made before."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SWAP_PROBABILITY = 0.5


class ImagePool:
    """Up to ``size`` images, one of which is sometimes given out for a new one (Shrivastava et al., CVPR 2017).

    The first ``size`` images are kept and given back. From then on an image is, with probability 0.5, kept in the place
    of one drawn at random, which is given out for it; else it is given back and not kept. A pool of size 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []  # of (C, S, S)

    def query(self, images: Tensor, chance: Sequence[Sequence[float]]) -> Tensor:
        """Return as many images as are given, (B, C, S, S), without gradients, and remember.

        ``chance`` has two numbers in [0, 1) for each image: whether it is exchanged, and for which.
        """
        images = images.detach()
        given = images.clone()
        if self.size == 0:
            return given
        for row, (swap, place) in enumerate(chance):
            if len(self.images) < self.size:
                self.images.append(images[row].clone())
            elif swap < SWAP_PROBABILITY:
                slot = int(place * self.size)
                given[row] = self.images[slot]
                self.images[slot] = images[row].clone()
        return given

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is remembered: ``images`` (n, C, S, S), or nothing."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Remember what `state_dict` has returned."""
        self.images = list(state["images"].unbind()) if "images" in state else []
