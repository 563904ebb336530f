"""Grain, and outputs that are no image: constant, black or saturated ones. No network takes part.

A classifier does not see speckle, and can accept a constant colour. These scores read the pixels alone.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.metrics.accumulators import Accumulator, Values
from translate.metrics.marks import FLAWS
from translate.metrics.protocols import Scores
from translate.registry.registry import METRICS

FLAT = 2.0  # of 255: the deviation in every channel below which a pixel of a source, or of a smoothed output, is flat
CONSTANT = 2.0  # of 255: the standard deviation over the pixels in every channel below which an output is constant
BLACK = 16.0  # of 255: the value that at least `BLACK_SHARE` of all values of a black output do not exceed
BLACK_SHARE = 0.99
SATURATED_SHARE = 0.5  # of all values are 0 or 255 in a saturated output

LITTLE_IS_FLAT = 0.02  # the share of flat pixels below which grain is noisy


@METRICS.register(
    "grain",
    protocol="local",
    reads="sources",
    scores={"grain": "lower", "speckle": "lower", "constant": "lower", "black": "lower", "saturated": "lower"},
    keeps_source=("grain", "speckle"),
    scores_real_images=True,
)
class Grain:
    """Mean deviation of outputs from their 3x3 mean in flat places, in 1/255, and fractions of flawed outputs.

    Of images in [0, 255], with ``m(x)`` the mean of the 3x3 pixels around each pixel of a channel, border left out:
    ``grain = mean over the pixels with max_c |s_c - m(s)_c| < 2 of mean_c |y_c - m(y)_c|`` for a source s and an output
    y. ``speckle`` is the same mean over those of these pixels where the smoothed output ``z = m(m(y))`` is flat, too:
    ``max_c |z_c - m(z)_c| < 2``, with the border repeated. An edge that a translation adds in a flat place, such as a
    longer ear, is a part of its grain and hardly of its speckle. Both are means over outputs, then over sources; an
    output without such a pixel does not count. An output is constant if the standard deviation of every channel is
    below 2, black if 99 % of its values are 16 or less, saturated if more than half of its values are 0 or 255. The
    first ``num_sources`` sources of each task count (null: all).
    """

    def __init__(self, num_sources: int | None = 32) -> None:
        self.num_sources = num_sources

    def accumulator(self) -> Accumulator:
        """Return an empty accumulator of six numbers for each source."""
        return Values()

    @torch.no_grad()
    def read(self, outputs: list[Tensor], sources: Tensor) -> Tensor:
        """Return (n, 6) of sources (n, 3, S, S): flat share, grain and speckle (NaN: none), and the three fractions."""
        flat = deviation(eight_bits(sources)).amax(1) < FLAT  # (n, S - 2, S - 2)
        rows = []
        for output in outputs:
            pixels = eight_bits(output)
            deviations = deviation(pixels).mean(1)
            smooth = smoothed(smoothed(pixels))
            is_even = (smooth - smoothed(smooth)).abs().amax(1) < FLAT
            noise = mean_over(flat, deviations), mean_over(flat & is_even[:, 1:-1, 1:-1], deviations)
            rows.append(torch.stack([flat.double().mean((1, 2)), *noise, *flaws(pixels)], dim=1))
        return torch.stack(rows).nanmean(0)

    def compute(self, values: Accumulator) -> Scores:
        """Return the means over sources; grain and speckle are NaN if there is no flat pixel, all if no source."""
        assert isinstance(values, Values)
        rows = values.in_order()
        if not len(rows):
            return dict.fromkeys(("grain", "speckle", *FLAWS), float("nan"))
        noise = [float(known.mean()) if len(known) else float("nan") for known in map(_known, rows[:, 1:3].T)]
        return dict(zip(("grain", "speckle", *FLAWS), [*noise, *rows[:, 3:].mean(0).tolist()], strict=True))

    def warnings(self, values: Accumulator) -> Iterator[str]:
        """Yield the reasons for which the score may mislead, and the kinds of flawed outputs that there are."""
        assert isinstance(values, Values)
        rows = values.in_order()
        if not len(rows):
            return
        share = float(rows[:, 0].mean())
        if share < LITTLE_IS_FLAT:
            yield f"grain: {share:.1%} of the sources' pixels are flat; the mean of few pixels is noisy"
        for name, fraction in zip(FLAWS, rows[:, 3:].mean(0), strict=True):
            if fraction:
                yield f"{fraction:.1%} of the translations are {name}: compare with the row of real images"


@METRICS.register(
    "grain_paired",
    protocol="paired",
    reads="sources",
    scores={"grain": "lower", "speckle": "lower", "constant": "lower", "black": "lower", "saturated": "lower"},
    keeps_source=("grain", "speckle"),
    scores_real_images=True,
)
class GrainPaired(Grain):
    """Grain, speckle and fractions of flawed outputs, in a data set of pairs: of every validation pair."""

    def __init__(self, num_sources: int | None = None) -> None:
        super().__init__(num_sources)


def eight_bits(images: Tensor) -> Tensor:
    """Return images (n, 3, H, W) in about [-1, 1] as whole numbers from 0 to 255, float64, rounded as in a file."""
    return ((images.double().clamp(-1, 1) + 1) * 127.5).add(0.5).floor()


def deviation(pixels: Tensor) -> Tensor:
    """Return ``|x - m(x)|`` (n, 3, H - 2, W - 2) of images (n, 3, H, W), m the mean of 3x3 pixels.

    >>> image = torch.zeros(1, 1, 3, 3)
    >>> image[0, 0, 1, 1] = 9.0
    >>> deviation(image).item()
    8.0
    """
    return (pixels[:, :, 1:-1, 1:-1] - F.avg_pool2d(pixels, 3, 1)).abs()


def smoothed(pixels: Tensor) -> Tensor:
    """Return the means of 3x3 pixels (n, 3, H, W) of images (n, 3, H, W), whose border is repeated."""
    return F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)


def mean_over(places: Tensor, values: Tensor) -> Tensor:
    """Return the mean (n,) of values (n, H, W) over places (n, H, W), NaN without a place."""
    return (values * places).sum((1, 2)) / places.sum((1, 2))


def _known(column: np.ndarray) -> np.ndarray:
    """Return the numbers of a column that are not NaN."""
    return np.asarray(column[~np.isnan(column)])


def flaws(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which images (n, 3, H, W) in [0, 255] are constant, black and saturated: 0 or 1, each (n,)."""
    values = pixels.flatten(1)
    constant = pixels.flatten(2).std(2, correction=0).amax(1) < CONSTANT
    black = (values <= BLACK).double().mean(1) >= BLACK_SHARE
    saturated = ((values == 0) | (values == 255)).double().mean(1) > SATURATED_SHARE
    return constant.double(), black.double(), saturated.double()
