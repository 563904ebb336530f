"""Networks that read an image at several scales."""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import Phrase, UserError


def at_scales(networks: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
    """Return the output of each network for images (B, C, S, S), each reduced to half of the one before.

    Images are reduced by the 3x3 mean with stride 2; pixels outside of an image do not count (pix2pixHD, UNIT, MUNIT).
    """
    outputs: list[Tensor] = []
    for number, network in enumerate(networks):
        if number:
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        outputs.append(network(x))
    return tuple(outputs)


def check_scales_fit(x: Tensor, minimum: int) -> None:
    """Raise UserError if a side of images (B, C, S, S) is smaller than layers and scales need."""
    if min(x.shape[2:]) < minimum:
        raise UserError(
            "these layers and scales halve an image too often",
            key="image_size",
            found=Phrase(f"{x.shape[2]} x {x.shape[3]} pixels"),
            expected=f"at least {minimum}",
            fix="choose fewer of num_layers and num_scales",
        )
