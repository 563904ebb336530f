"""A history of generated images, so that a discriminator also sees images of earlier generators."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SWAP_PROBABILITY = 0.5


class ImagePool:
    """A pool of up to ``size`` generated images (Shrivastava et al., CVPR 2017, section 2.3).

    The first ``size`` images are stored and returned. Later, each image is exchanged with probability 0.5: it replaces
    a stored image drawn at random, which is returned in its place. Otherwise the image itself is returned and not
    stored. A pool of size 0 stores nothing.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []  # each (C, H, W)

    def query(self, images: Tensor, uniform_draws: Sequence[Sequence[float]]) -> Tensor:
        """Return images (B, C, H, W) without gradients, some exchanged for stored ones, and update the pool.

        ``uniform_draws`` has two numbers in [0, 1) for each image: the first decides whether the image is exchanged,
        the second selects the stored image.
        """
        images = images.detach()
        result = images.clone()
        if self.size == 0:
            return result
        for row, (swap, place) in enumerate(uniform_draws):
            if len(self.images) < self.size:
                self.images.append(images[row].clone())
            elif swap < SWAP_PROBABILITY:
                slot = int(place * self.size)
                result[row] = self.images[slot]
                self.images[slot] = images[row].clone()
        return result

    def state_dict(self) -> dict[str, Tensor]:
        """Return the stored images as ``images`` (n, C, H, W); an empty dict for an empty pool."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Store the images that `state_dict` has returned."""
        self.images = list(state["images"].unbind()) if "images" in state else []
