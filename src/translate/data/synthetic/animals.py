"""The species of the built-in world: head, ears, muzzle and other parts that distinguish them."""

from __future__ import annotations

import numpy as np

from translate.data.synthetic.colours import INK, NOSE, WHITE, Colours, rgb
from translate.data.synthetic.sheet import Sheet, Window


class Animal:
    """The parts of one species that distinguish it; `translate.data.synthetic.painting` paints the common parts."""

    eye = (0.40, -0.12)  # place of the right eye
    mouth = 0.48  # height of the mouth
    mouth_width = 0.26
    blush = (0.68, 0.26)
    reach = 1.06  # half side of a square that holds the head at any tilt

    def ears_behind(self, sheet: Sheet, colours: Colours) -> None:
        """Paint the ears that are behind the head."""

    def head(self, w: Window) -> np.ndarray:
        """Return the distance to the outline of the head in pixels (n, height, width); the default head is round."""
        return w.ellipse(0, 0.02, 1.0, 0.89)

    def marks(self, w: Window, colours: Colours, inside: np.ndarray) -> None:
        """Paint the colours of the face in the window of the head; ``inside`` is the coverage of the head."""

    def muzzle(self, w: Window, colours: Colours) -> None:
        """Paint muzzle and nose in the window of the lower face."""

    def teeth(self, w: Window) -> None:
        """Paint the teeth over the mouth."""

    def whiskers(self, face: Sheet, colours: Colours) -> None:
        """Paint the whiskers, which extend beyond the head."""

    def ears_front(self, sheet: Sheet, colours: Colours) -> None:
        """Paint the ears that are in front of the head."""


class _Bear(Animal):
    mouth = 0.47
    eye = (0.40, -0.16)

    def ears_behind(self, sheet: Sheet, colours: Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.74 * side, -0.64, 0.56) as w:
                w.fill(w.ellipse(0.74 * side, -0.62, 0.37 * size, 0.37 * size), colours.coat, colours.line)
                w.fill(w.ellipse(0.72 * side, -0.60, 0.22 * size, 0.22 * size), colours.inner, drawn="line")

    def muzzle(self, w: Window, colours: Colours) -> None:
        w.fill(w.ellipse(0, 0.41, 0.47, 0.37), colours.second, drawn="line")
        w.fill(w.bar(0, 0.36, 0.026, 0.12, 0.02), INK, drawn="solid")
        w.fill(w.ellipse(0, 0.20, 0.20, 0.135), INK, drawn="solid")
        w.fill(w.ellipse(-0.06, 0.155, 0.06, 0.035), WHITE, opacity=0.6)


class _Cat(Animal):
    mouth = 0.41
    mouth_width = 0.23
    eye = (0.43, -0.08)
    blush = (0.70, 0.22)
    reach = 1.19

    def ears_behind(self, sheet: Sheet, colours: Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.66 * side, -0.74, 0.60) as w:
                w.fill(
                    w.leaf(0.62 * side, -0.50, 0.37, 0.74 * size, 0.34 * side, 0.05),
                    colours.coat,
                    colours.line,
                )
                w.fill(
                    w.leaf(0.63 * side, -0.50, 0.22, 0.54 * size, 0.34 * side, 0.04),
                    colours.inner,
                    drawn="line",
                )

    def head(self, w: Window) -> np.ndarray:
        return w.joined(w.ellipse(0, 0.03, 1.0, 0.82), w.leaf(0, 0.26, 0.40, 1.17, np.pi / 2, 0.07), 0.14)

    def muzzle(self, w: Window, colours: Colours) -> None:
        w.fill(w.ellipse(0, 0.42, 0.23, 0.18, apart=0.15), colours.second, drawn="line")
        w.fill(w.ellipse(0, 0.26, 0.115, 0.08), NOSE, drawn="solid")

    def whiskers(self, face: Sheet, colours: Colours) -> None:
        for side in (-1.0, 1.0):
            with face.window(0.88 * side, 0.38, 0.40) as w:
                d = w.bar(0.88 * side, 0.25, 0.30, 0.02, 0.02, -0.12 * side)
                for v, angle in ((0.38, 0.03), (0.51, 0.18)):
                    np.minimum(d, w.bar(0.88 * side, v, 0.30, 0.02, 0.02, angle * side), out=d)
                w.fill(d, colours.brow, drawn="solid", opacity=0.9)


class _Dog(Animal):
    mouth = 0.57
    mouth_width = 0.27
    eye = (0.37, -0.14)
    blush = (0.62, 0.24)

    def head(self, w: Window) -> np.ndarray:
        return w.joined(w.ellipse(0, -0.08, 0.87, 0.84), w.ellipse(0, 0.44, 0.68, 0.50), 0.25)

    def marks(self, w: Window, colours: Colours, inside: np.ndarray) -> None:
        w.fill(w.leaf(0, -0.30, 0.16, 0.80), colours.second, within=inside, drawn="line")

    def muzzle(self, w: Window, colours: Colours) -> None:
        w.fill(w.ellipse(0, 0.49, 0.54, 0.40), colours.second, drawn="line")
        w.fill(w.bar(0, 0.46, 0.026, 0.12, 0.02), INK, drawn="solid")
        w.fill(w.ellipse(0, 0.25, 0.25, 0.175), INK, drawn="solid")
        w.fill(w.ellipse(-0.07, 0.19, 0.08, 0.045), WHITE, opacity=0.6)

    def ears_front(self, sheet: Sheet, colours: Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.92 * side, 0.0, 0.70, 0.84) as w:
                w.fill(w.oval(0.92 * side, -0.02, 0.30, 0.62 * size, -0.24 * side), colours.dark, colours.line)


class _Fox(Animal):
    mouth = 0.66
    mouth_width = 0.19
    eye = (0.42, -0.12)
    blush = (0.72, 0.28)
    reach = 1.19

    def ears_behind(self, sheet: Sheet, colours: Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.68 * side, -0.95, 0.74, 0.90) as w:
                d = w.leaf(0.62 * side, -0.58, 0.44, 0.98 * size, 0.20 * side)
                w.fill(d, colours.coat, colours.line)
                tip = w.slope(0.0, 1.0, 0.60 + 0.58 * size)
                w.fill(np.maximum(d, tip), INK, drawn="line")
                inner = w.leaf(0.62 * side, -0.58, 0.26, 0.74 * size, 0.20 * side)
                w.fill(np.maximum(inner, np.negative(tip, out=tip), out=inner), colours.second, drawn="line")

    def head(self, w: Window) -> np.ndarray:
        cheeks = w.joined(w.leaf(0, 0.10, 0.68, 1.17, np.pi / 2, 0.09), w.ellipse(0, -0.14, 0.74, 0.66), 0.3)
        return w.joined(cheeks, w.ellipse(0, 0.62, 0.28, 0.28), 0.36)

    def marks(self, w: Window, colours: Colours, inside: np.ndarray) -> None:
        cheeks = w.ellipse(0, 0.60, 0.74, 0.47, apart=0.64)
        w.fill(np.minimum(cheeks, w.ellipse(0, 0.82, 0.30, 0.24)), colours.second, within=inside, drawn="line")

    def muzzle(self, w: Window, colours: Colours) -> None:
        w.fill(w.ellipse(0, 0.47, 0.165, 0.12), INK, drawn="solid")
        w.fill(w.ellipse(-0.05, 0.43, 0.05, 0.03), WHITE, opacity=0.6)


class _Pig(Animal):
    mouth = 0.65
    mouth_width = 0.22
    eye = (0.44, -0.16)
    blush = (0.76, 0.26)
    reach = 1.1

    def head(self, w: Window) -> np.ndarray:
        return w.ellipse(0, 0.04, 1.04, 0.90)

    def muzzle(self, w: Window, colours: Colours) -> None:
        w.fill(w.ellipse(0, 0.25, 0.43, 0.29), colours.inner, colours.line)
        w.fill(w.ellipse(0, 0.25, 0.065, 0.11, apart=0.16), colours.line, drawn="solid")

    def ears_front(self, sheet: Sheet, colours: Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.74 * side, -0.64, 0.62) as w:
                w.fill(
                    w.leaf(0.74 * side, -0.66, 0.235, 0.48 * size, -0.98 * side, 0.03),
                    colours.dark,
                    colours.line,
                )


class _Rabbit(Animal):
    mouth = 0.50
    mouth_width = 0.26
    eye = (0.38, -0.10)
    blush = (0.62, 0.28)

    def ears_behind(self, sheet: Sheet, colours: Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.44 * side, -1.10, 0.72, 0.90) as w:
                at = 0.40 * side, -1.04
                w.fill(w.oval(*at, 0.245, 0.70 * size, 0.14 * side), colours.coat, colours.line)
                w.fill(w.oval(*at, 0.135, 0.54 * size, 0.14 * side), colours.inner, drawn="line")

    def head(self, w: Window) -> np.ndarray:
        return w.joined(w.ellipse(0, -0.04, 0.84, 0.80), w.ellipse(0, 0.26, 0.90, 0.60), 0.2)

    def muzzle(self, w: Window, colours: Colours) -> None:
        w.fill(w.ellipse(0, 0.44, 0.25, 0.21, apart=0.17), colours.second, drawn="line")
        w.fill(w.ellipse(0, 0.25, 0.12, 0.085), NOSE, drawn="solid")

    def teeth(self, w: Window) -> None:
        d = w.bar(0, 0.59, 0.060, 0.095, 0.03, apart=0.064)
        w.shadow(w.coverage(d, 0.025), rgb(0.50, 0.42, 0.45))
        w.fill(d, WHITE, drawn="line")


ANIMALS = {"bear": _Bear(), "cat": _Cat(), "dog": _Dog(), "fox": _Fox(), "pig": _Pig(), "rabbit": _Rabbit()}
