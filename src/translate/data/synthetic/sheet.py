"""Sheets of images, and windows on them in which shapes are measured and layered."""

from __future__ import annotations

from typing import Self

import numpy as np

from translate.data.synthetic.colours import BLACK, WHITE
from translate.data.synthetic.factors import Factors
from translate.data.synthetic.forms import Number, linear, quadratic, to_pixels

SPAN = 0.30  # head units to fractions of the image's shorter side, at scale 1
LINE = 0.042  # width of the line around a shape
STROKE = 0.032  # half the width of a line of a drawing
_BLOCK = 16  # images mixed together: few enough for the second-level cache


def column(value: Number) -> Number:
    """Return numbers (n,) as (n, 1, 1) float32, to broadcast against (n, height, width); one number as it is."""
    return value.astype(np.float32)[:, None, None] if isinstance(value, np.ndarray) else value


class Sheet:
    """Images under construction, rows of (N, 3, H, W) float32 in [0.5, 255.5], and their axes."""

    def __init__(
        self, pixels: np.ndarray, rows: np.ndarray, factors: Factors, axes: tuple[np.ndarray, ...], ink: bool
    ) -> None:
        self.pixels, self.rows, self.factors, self.axes, self.ink = pixels, rows, factors, axes, ink
        self.x, self.y, self.unit, self.cos, self.sin, self.changes = axes

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, mask: np.ndarray) -> Sheet:
        """Return the images where a mask (n,) is true."""
        chosen = np.flatnonzero(mask)
        return Sheet(
            self.pixels,
            self.rows[chosen],
            self.factors.take(chosen),
            tuple(a[chosen] for a in self.axes),
            self.ink,
        )

    def moved(self, u: Number, v: Number, upright: bool = False) -> Sheet:
        """Return the same images with the origin at (u, v) in head units, and with untilted axes if ``upright``."""
        x = self.x + self.unit * (self.cos * u - self.sin * v)
        y = self.y + self.unit * (self.sin * u + self.cos * v)
        axes = x, y, self.unit, self.cos, self.sin, self.changes
        if upright:
            cos, sin = np.ones_like(x), np.zeros_like(x)
            axes = x, y, self.unit, cos, sin, to_pixels(cos, sin, self.unit)
        return Sheet(self.pixels, self.rows, self.factors, axes, self.ink)

    def window(self, u: Number, v: Number, reach: float, height: float | None = None) -> Window:
        """Open the rectangle of half sides ``reach``, ``height`` about (u, v), in a `with` statement."""
        return Window(self, u, v, (reach, reach if height is None else height))


class Window:
    """A rectangle of each image of a sheet; its layers are collected, bottom first, and painted at the end."""

    def __init__(self, sheet: Sheet, u: Number, v: Number, halves: tuple[float, float]) -> None:
        count, (image_height, image_width) = len(sheet), sheet.pixels.shape[-2:]
        # The size follows from the largest possible scale, not from the images at hand: a matrix product may differ
        # in the last bit between sizes, and an image must not depend on the other images.
        unit = max(1.1 * SPAN * min(image_height, image_width), float(sheet.unit.max()))
        width, height = (
            min(side, int(np.ceil(2 * half * unit)) + 2)
            for half, side in zip(halves, (image_width, image_height), strict=True)
        )
        self.shape = height, width
        x = sheet.x + sheet.unit * (sheet.cos * u - sheet.sin * v)
        y = sheet.y + sheet.unit * (sheet.sin * u + sheet.cos * v)
        left = np.minimum(np.maximum(np.rint(x - width / 2), 0), image_width - width)
        top = np.minimum(np.maximum(np.rint(y - height / 2), 0), image_height - height)
        across = (left[:, None] + (np.arange(width) + 0.5) - sheet.x[:, None]) / sheet.unit[:, None]
        down = (top[:, None] + (np.arange(height) + 0.5) - sheet.y[:, None]) / sheet.unit[:, None]
        self._powers_x = np.ones((count, 3, width), np.float32)  # x^2, x, 1
        self._powers_x[:, 1] = across
        np.multiply(across, across, out=self._powers_x[:, 0], casting="same_kind")
        self._powers_y = np.ones((count, height, 3), np.float32)  # 1, y, y^2
        self._powers_y[:, :, 1] = down
        np.multiply(down, down, out=self._powers_y[:, :, 2], casting="same_kind")
        self._take_over(sheet.factors, sheet.ink, sheet.unit, sheet.changes)
        views = zip(sheet.rows.tolist(), top.astype(int).tolist(), left.astype(int).tolist(), strict=True)
        self._views = [sheet.pixels[row, :, i : i + height, j : j + width] for row, i, j in views]
        self._layers: list[tuple[np.ndarray, np.ndarray]] = []

    def _take_over(self, factors: Factors, ink: bool, unit: np.ndarray, changes: np.ndarray) -> None:
        self.factors, self.ink, self._unit, self._changes = factors, ink, unit, changes
        self.unit = unit.astype(np.float32)[:, None, None]

    def where(self, chosen: np.ndarray) -> Self:
        """Return a window on chosen images (n,), to measure shapes only."""
        part = object.__new__(type(self))
        part.shape = self.shape
        part._powers_x, part._powers_y = self._powers_x[chosen], self._powers_y[chosen]
        part._take_over(self.factors.take(chosen), self.ink, self._unit[chosen], self._changes[chosen])
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is None and self._layers:
            self._paint()

    def _paint(self) -> None:
        """Sum all layers and the ground, each times the transmittance of the layers above."""
        count, depth, area = len(self._views), len(self._layers), self.shape[0] * self.shape[1]
        alphas = [alpha.reshape(count, area) for alpha, _ in self._layers]
        colours = np.empty((count, 3, depth), np.float32)
        for i, (_, colour) in enumerate(self._layers):
            colours[:, :, i] = colour
        colours *= 255
        colours += 0.5
        weights = np.empty((_BLOCK, depth, area), np.float32)
        for start in range(0, count, _BLOCK):
            block = slice(start, start + _BLOCK)
            views = self._views[block]
            weight = weights[: len(views)]
            through = np.subtract(1, alphas[-1][block])
            weight[:, -1] = alphas[-1][block]
            for i in reversed(range(depth - 1)):
                through -= np.multiply(through, alphas[i][block], out=weight[:, i])
            result = np.matmul(colours[block], weight)
            ground = np.empty((len(views), 3, *self.shape), np.float32)
            for place, view in zip(ground, views, strict=True):
                place[...] = view
            flat = ground.reshape(len(views), 3, area)
            flat *= through[:, None]
            flat += result
            for place, view in zip(ground, views, strict=True):
                view[...] = place

    # Shapes: distances in pixels, (n, height, width). Places and radii are in head units, angles in radians,
    # clockwise; each is one number or (n,).

    def _square(self, form: np.ndarray) -> np.ndarray:
        """Return the values of a form, in pixels squared."""
        return self._values(np.matmul(self._changes, form if form.ndim == 1 else form[:, :, None]))

    def _straight(self, form: np.ndarray) -> np.ndarray:
        """Return the values of a form, in pixels."""
        coefficients = np.matmul(self._changes, form if form.ndim == 1 else form[:, :, None]).reshape(-1, 9)
        return self._values(coefficients / self._unit[:, None])

    def _values(self, coefficients: np.ndarray) -> np.ndarray:
        coefficients = coefficients.astype(np.float32).reshape(-1, 3, 3)
        values: np.ndarray = np.matmul(np.matmul(self._powers_y, coefficients), self._powers_x)
        return values

    def slope(self, along_u: Number, along_v: Number, constant: Number) -> np.ndarray:
        """Return along_u * u + along_v * v + constant in pixels; the distance to a half plane if the slope is 1."""
        return self._straight(linear(along_u, along_v, constant))

    def ellipse(
        self, u: Number, v: Number, a: Number, b: Number, angle: Number = 0.0, apart: float = 0.0
    ) -> np.ndarray:
        """Return the distance to a nearly circular ellipse (exact on its edge only), or to two, at p = +-apart."""
        mean = 2 * a * b / (a + b)
        d = self._square(quadratic(u, v, angle, mean / a, mean / b, (mean / a * apart) ** 2 if apart else 1e-6))
        if apart:
            times = 2 * apart * (mean / a) ** 2
            cos, sin = np.cos(angle) * times, np.sin(angle) * times
            p = self._square(linear(cos, sin, -cos * u - sin * v))
            d -= np.abs(p, out=p)
            np.abs(d, out=d)  # rounding may have left a negative square
        np.sqrt(d, out=d)
        d -= column(mean * self._unit)
        return d

    def oval(self, u: Number, v: Number, a: Number, b: Number, angle: Number = 0.0) -> np.ndarray:
        """Return the distance to a long ellipse, divided by its gradient so that its line has one width."""
        d: np.ndarray = np.sqrt(self._square(quadratic(u, v, angle, 1 / a, 1 / b, 1e-4)))
        steep = np.sqrt(self._square(quadratic(u, v, angle, 1 / a**2, 1 / b**2, 1e-4 / (a * b))))
        ratio = np.divide(d, steep, out=steep)
        d -= self.unit
        d *= ratio
        return d

    def leaf(
        self, u: Number, v: Number, width: float, length: Number, angle: Number = 0.0, blunt: float = 0.05
    ) -> np.ndarray:
        """Return the distance to two arcs that join at q = +-length, 2 * width thick; ``blunt`` rounds the tips."""
        radius = (length * length + width * width) / (2 * width)
        beside = radius - width
        p = np.sqrt(self._square(quadratic(u, v, angle, 2 * beside, 0.0, (2 * blunt * beside) ** 2)))
        p *= self.unit
        d = self._square(quadratic(u, v, angle, 1.0, 1.0, beside**2 + blunt**2))
        d += p
        np.sqrt(d, out=d)
        d -= column(radius * self._unit)
        return d

    def _pair(self, u: Number, v: Number, angle: Number, apart: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (p, q) in pixels; with ``apart``, p is mirrored and its origin is there."""
        cos, sin = np.cos(angle), np.sin(angle)
        p = self._straight(linear(cos, sin, -cos * u - sin * v))
        q = self._straight(linear(-sin, cos, sin * u - cos * v))
        np.abs(p, out=p)
        if apart:
            p -= apart * self.unit
        return p, q

    def bar(
        self,
        u: Number,
        v: Number,
        width: float,
        height: float,
        rounding: float,
        angle: Number = 0.0,
        apart: float = 0.0,
    ) -> np.ndarray:
        """Return the distance to a rectangle with round corners; ``width`` and ``height`` are half sides."""
        p, q = self._pair(u, v, angle, apart)
        unit = self.unit
        if apart:
            np.abs(p, out=p)
        np.abs(q, out=q)
        p -= (width - rounding) * unit
        q -= (height - rounding) * unit
        np.clip(p, 0, np.inf, out=p)
        np.clip(q, 0, np.inf, out=q)
        d = _norm(p, q)
        d -= rounding * unit
        return d

    def arc(
        self,
        u: Number,
        v: Number,
        width: float,
        rise: Number,
        thickness: float,
        apart: float = 0.0,
        slant: Number = 0.0,
    ) -> np.ndarray:
        """Return the distance to a stroke, 2 * thickness wide, along a parabola: q = 0 at p = +-width, ``rise`` at 0.

        ``slant`` shears it; two strokes, at p = +-apart, slant towards each other.
        """
        p, q = self._pair(u, v, 0.0, apart)
        unit = self.unit
        if isinstance(slant, np.ndarray):
            q -= column(slant) * p
        if apart:
            np.abs(p, out=p)
        bend = np.minimum(p, width * unit)
        p -= bend
        bend *= 1 / (width * unit)
        bend *= bend
        bend -= 1
        bend *= column(rise) * unit
        q += bend
        d = _norm(p, q)
        d -= thickness * unit
        return d

    def joined(self, a: np.ndarray, b: np.ndarray, softness: float) -> np.ndarray:
        """Return the union of two shapes with a fillet of about ``softness`` (Quilez's polynomial smooth minimum)."""
        unit = np.float32(softness) * self.unit
        h = np.abs(a - b)
        h *= -1 / unit
        h += 1
        np.clip(h, 0, 1, out=h)
        h *= h
        h *= unit / 4
        np.minimum(a, b, out=a)
        a -= h
        return a

    # Layers.

    def coverage(self, distance: np.ndarray, grow: float = 0.0) -> np.ndarray:
        """Return the fraction of every pixel that the shape covers, after growing the shape by ``grow`` head units."""
        edge = np.float32(0.5) + np.float32(grow) * self.unit if grow else np.float32(0.5)
        alpha = edge - distance
        np.clip(alpha, 0, 1, out=alpha)
        return alpha

    def lay(self, alpha: np.ndarray, colour: np.ndarray) -> None:
        """Put a layer of one colour (n, 3) or (1, 3) on top; ``alpha`` is its coverage."""
        self._layers.append((alpha, colour))

    def fill(
        self,
        distance: np.ndarray,
        colour: np.ndarray,
        line: np.ndarray | None = None,
        within: np.ndarray | None = None,
        opacity: float = 1.0,
        drawn: str = "",
    ) -> None:
        """Put a shape on top, with a line around it if ``line`` is a colour.

        ``within`` is a coverage that cuts the shape. An ink drawing has a line for a shape with ``line`` or
        ``drawn="line"``, black for ``drawn="solid"``, and omits all other shapes.
        """
        if self.ink:
            if drawn == "solid":
                stack = [(0.0, BLACK)]
            else:
                stack = [(STROKE, BLACK), (-STROKE, WHITE)] if drawn or line is not None else []
        else:
            stack = ([] if line is None else [(LINE, line)]) + [(0.0, colour)]
        for grow, shown in stack:
            alpha = self.coverage(distance, grow)
            if within is not None:
                alpha *= within
            if opacity != 1.0 and not self.ink:
                alpha *= np.float32(opacity)
            self.lay(alpha, shown)

    def shadow(self, alpha: np.ndarray, colour: np.ndarray) -> None:
        """Put a soft layer on top, which an ink drawing omits."""
        if not self.ink:
            self.lay(alpha, colour)

    def blank(self) -> np.ndarray:
        """Return an empty coverage."""
        return np.zeros((len(self.unit), *self.shape), np.float32)


def _norm(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return sqrt(p^2 + q^2), in place of p."""
    p *= p
    q *= q
    p += q
    np.sqrt(p, out=p)
    return p
