"""The colours of the built-in world: constants, and the colours that follow from the factors of an image."""

from __future__ import annotations

import numpy as np

from translate.data.synthetic.factors import Factors


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """Return a colour (1, 3) float32 in sRGB, from components in [0, 1]."""
    return np.array([[red, green, blue]], np.float32)


WHITE, BLACK = rgb(1, 1, 1), rgb(0, 0, 0)
INK = rgb(0.19, 0.13, 0.16)
MOUTH = rgb(0.52, 0.16, 0.21)
TONGUE = rgb(0.97, 0.52, 0.55)
ROSE = rgb(1.0, 0.47, 0.52)
NOSE = rgb(0.91, 0.45, 0.51)
TEAR = rgb(0.50, 0.78, 1.0)


class Colours:
    """The colours of the images of a sheet, each (n, 3) float32 in sRGB."""

    def __init__(self, factors: Factors) -> None:
        self.coat, self.second, self.accent = factors.coat, factors.second, factors.accent
        # Shade is warm and slightly violet: plain grey would make yellow coats look like olives.
        self.dark = factors.coat * rgb(0.85, 0.77, 0.80)
        # The line is the coat in deep shadow: a black line would make the heads heavy.
        self.line = factors.coat * rgb(0.42, 0.36, 0.40) + np.float32(0.02)
        light = factors.coat.mean(axis=1, keepdims=True)
        self.brow = np.where(light > 0.40, self.line, 0.55 + 0.45 * factors.coat).astype(np.float32)
        self.inner = 0.58 * factors.second + 0.42 * ROSE
        self.blush = 0.40 * factors.second + 0.60 * ROSE
        self.accent_dark = factors.accent * np.float32(0.80)
        self.accent_line = factors.accent * np.float32(0.45)
