"""Draw style codes without torch, so that a seed means the same in every engine."""

import numpy as np

from translate.data.philox import normal
from translate.data.streams import INFERENCE_CODES


def draw_codes(seed: int, count: int, length: int, start: int = 0) -> np.ndarray:
    """Return ``count`` standard normal codes (count, length) float32 of a seed.

    Code i depends on the seed and on i alone, not on ``count``. ``start`` is the number of the first code.

    >>> bool((draw_codes(3, 4, 16)[2:] == draw_codes(3, 2, 16, start=2)).all())
    True
    """
    return normal(seed, INFERENCE_CODES, np.arange(start, start + count), length)
