"""Enlarge the whole images of a validation set, for the metrics of super-resolution.

An image is reduced by the scale to 8 bits, as a file of low resolution would have it, and enlarged as `apply` does it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate import signals
from translate.data.module import DataModule, Shard
from translate.data.transforms import to_float
from translate.inference import tiling
from translate.inference.images import to_pixels
from translate.inference.sizes import SizeRule
from translate.networks.layers.bicubic import enlarge, reduce

Enlarge = Callable[[Tensor], Tensor]
"""Return images (B, 3, s H, s W) of images (B, 3, H, W) in [-1, 1]."""

AddPairs = Callable[[np.ndarray, np.ndarray, np.ndarray], object]
"""Take enlarged and true images, 8-bit (n, H, W, 3), and their positions (n,)."""


class Bicubic:
    """The baseline: a bicubic filter, as evaluation uses a model."""

    latent_size = 0
    style_inputs: tuple[str, ...] = ()
    only_target = 0

    def __init__(self, scale: int, device: torch.device) -> None:
        self.scale, self.device = scale, device

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style_input: Any) -> Tensor:
        """Return images (n, 3, s H, s W) of images (n, 3, H, W)."""
        return enlarge(x, self.scale)


def low_and_true(pixels: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the reduced image, 8-bit (h, w, 3), and the true one, cropped to multiples of the scale."""
    height, width = (side // scale * scale for side in pixels.shape[:2])
    true = pixels[:height, :width]
    low = reduce(to_float(torch.from_numpy(true[None])), scale)
    return to_pixels(low)[0].numpy(), true


@torch.no_grad()
def stream_whole_images(
    translate: Enlarge,
    scale: int,
    data: DataModule,
    rows: np.ndarray,
    device: torch.device,
    inputs: Sequence[AddPairs],
    shard: Shard,
    progress: Callable[[int], object],
) -> None:
    """Enlarge this shard's images at some rows of the validation set for all inputs; ``progress`` counts images."""

    def run(x: np.ndarray) -> np.ndarray:
        signals.check()
        return translate(torch.from_numpy(x[None]).to(device))[0].float().cpu().numpy()

    items = data.images("val").indices
    for position in range(shard.rank, len(rows), shard.count):
        low, true = low_and_true(data.whole_image(int(items[rows[position]])), scale)
        enlarged = tiling.whole(run, low, SizeRule(), scale=scale)
        for add in inputs:
            add(enlarged[None], true[None], np.array([position]))
        progress(1)
