"""Places of features at which contrastive models compare images: drawn, taken, and possible for the networks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.philox import choose, uniform
from translate.data.streams import Stream, stream_of_set
from translate.errors import UserError
from translate.models.base import TranslationModel

Features = Sequence[Tensor]
"""Features of a batch of images, one tensor a tap: maps (B, C, H, W), or vectors (B, P, C) at P places."""


def draw_places(model: TranslationModel, num_places: int, call: int, maps: Features) -> list[Tensor]:
    """Return the numbers of up to ``num_places`` different places in each map, see `CUT.places`."""
    sizes = [x.shape[2] * x.shape[3] for x in maps]
    shape = (len(sizes), 4 * num_places)
    stream = stream_of_set(call, Stream.PLACES)
    draws = uniform(model.seed, stream, np.array([model.iteration]), shape[0] * shape[1]).reshape(shape)
    ids = [choose(row, num_places, size) for row, size in zip(draws, sizes, strict=True)]
    numbers = torch.from_numpy(np.concatenate(ids)).to(maps[0].device, non_blocking=True)
    return list(numbers.split([len(row) for row in ids]))


def at_places(features: Tensor, places: Tensor, flipped: bool) -> Tensor:
    """Return the features (B, P, C) of maps (B, C, H, W) at places (P,), numbered row by row.

    If ``flipped``, the maps are those of mirrored images, and the places are mirrored with them.

    >>> maps = torch.arange(6.0).view(1, 1, 2, 3)
    >>> at_places(maps, torch.tensor([0, 5]), False).flatten(), at_places(maps, torch.tensor([0, 5]), True).flatten()
    (tensor([0., 5.]), tensor([2., 3.]))
    """
    if flipped:
        width = features.shape[3]
        places = places + width - 1 - 2 * (places % width)
    if features.is_contiguous():
        return features.flatten(2).index_select(2, places).transpose(1, 2)
    return features.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, places)


def check_taps_of(
    generator: nn.Module, projection: nn.Module, role: str = "generator", heads: str = "projection"
) -> None:
    """Raise UserError unless the generator gives features at the taps of the projection heads, of their widths."""
    for name, network, method, kind in (
        (role, generator, "forward_with_features", "cut_generator"),
        (heads, projection, "taps", "cut_projection"),
    ):
        if not hasattr(network, method):
            raise UserError(
                f"this network has no {method}",
                key=f"networks.{name}",
                found=type(network).__name__,
                expected=f"a network as {kind}",
            )
    try:
        widths: Any = generator.feature_widths(projection.taps)  # type: ignore[operator]
    except UserError as error:
        raise error.inside(f"networks.{heads}") from error
    if list(widths) != list(projection.in_channels):  # type: ignore[arg-type]
        raise UserError(
            "the widths of the generator's features at the taps",
            key=f"networks.{heads}.in_channels",
            found=projection.in_channels,
            expected=str(list(widths)),
            fix=f"set networks.{heads}.base_width to that of the generator",
        )
