"""Flaws of an image that a number shows: it has one colour, is black, or has only extreme values."""

from collections.abc import Iterable

import numpy as np

CONSTANT = 2.0  # of 255: the standard deviation over the pixels in every channel below which an image has one colour
BLACK = 16.0  # of 255: the value that at least `BLACK_SHARE` of all values of a black image do not exceed
BLACK_SHARE = 0.99
SATURATED_SHARE = 0.98  # of all values are 0 or 255 in a saturated image

COMMON, RARE = 0.3, 0.1
"""A flaw of translations is worth a warning if this share of them has it, and fewer of the real images."""

Flaw = str
"""One of `KINDS`, or "" for an image without a flaw."""

KINDS = {"constant": "of one colour", "black": "black", "saturated": "only values of 0 and 255"}


def flaw_of(pixels: np.ndarray) -> Flaw:
    """Return the flaw of an image (H, W, C) with values from 0 to 255.

    >>> flaw_of(np.zeros((4, 4, 3), np.uint8)), flaw_of(np.full((4, 4, 3), 90.0))
    ('black', 'constant')
    """
    if not pixels.size:
        return ""
    if float((pixels <= BLACK).mean()) >= BLACK_SHARE:
        return "black"
    if float(pixels.reshape(-1, pixels.shape[-1]).std(0).max()) < CONSTANT:
        return "constant"
    return "saturated" if float(((pixels <= 0) | (pixels >= 255)).mean()) >= SATURATED_SHARE else ""


def common_flaw(translations: Iterable[np.ndarray], real: Iterable[np.ndarray]) -> tuple[Flaw, float]:
    """Return the flaw that many translations have and few real images, and the share of translations; "" for none."""
    flaws, usual = [flaw_of(each) for each in translations], [flaw_of(each) for each in real]
    for kind in KINDS:
        share = flaws.count(kind) / max(1, len(flaws))
        if share >= COMMON and usual.count(kind) < RARE * max(1, len(usual)):
            return kind, share
    return "", 0.0
