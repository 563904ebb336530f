"""The built-in world: cartoon animal heads, drawn from known factors with numpy alone.

`draw` gives every index its factors, `render` paints them, `outline` draws the same heads as black lines on
white. The factors are of three kinds, so that a translation can be measured: *domain* (the species),
*content* (place, scale, tilt, gaze, expression, background) and *style* (colours, pattern, accessory, size of
the ears, side of the markings).

Shapes are given in head units (the head has a half width of about 1, u points right, v points down, the
origin is the centre of the head) and become signed distances in pixels, negative inside; a distance gives the
share of a pixel that a shape covers, which smooths the edges at any size. What makes it fast: a shape is
evaluated only in a small window of each image, over many images at once, and every quadratic form in (u, v)
is one matrix product of a column and a row. A picture does not depend, to the bit, on its company.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Self

import numpy as np

from translate.data.counter import uniform

WORLD_VERSION = 1
"""Goes up whenever a picture or a factor of any index changes."""

SPECIES = ("bear", "cat", "dog", "fox", "pig", "rabbit")
EXPRESSIONS = ("calm", "happy", "sad", "surprised")
PATTERNS = ("plain", "patch", "stripes", "spots")
ACCESSORIES = ("none", "bow", "glasses", "scarf")
ATTRIBUTES = (
    "smiling", "surprised", "tilted_left", "looking_left", "dark_coat", "warm_coat",
    "striped", "spotted", "bow", "glasses", "scarf", "big_ears",
)  # fmt: skip

CONTENT = ("x", "y", "scale", "tilt", "gaze_x", "gaze_y", "expression", "background")
STYLE = ("coat", "second", "accent", "iris", "pattern", "accessory", "ear_size", "side")

_STREAM = 0x63726974  # "crit": a stream of its own, so that an index shares nothing with a position of the sampler
_COLUMNS = 40
_CHUNK = 64  # images of 64 px painted together: enough to forget the interpreter
_BLOCK = 16  # images mixed together: few enough for the second-level cache


@dataclass(frozen=True)
class Factors:
    """Everything that a picture is made of; all arrays have one row a picture.

    Domain: `species` (N,), an index into SPECIES.
    Content: `x`, `y` offset of the head as a fraction of the image side; `scale` 0.8 to 1.1; `tilt` radians,
    positive is clockwise; `gaze_x`, `gaze_y` -1 to 1, positive is right and down; `expression` (N,), an index
    into EXPRESSIONS; `background` (N, 3).
    Style: `coat`, `second` (muzzle, belly, markings), `accent` (accessory), `iris` (N, 3); `pattern` and
    `accessory` (N,), indices into PATTERNS and ACCESSORIES; `ear_size` 0.85 to 1.2; `side` -1 or 1, where
    patch and bow sit. Colours are sRGB in [0, 1].
    """

    species: np.ndarray
    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    tilt: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray
    expression: np.ndarray
    background: np.ndarray
    coat: np.ndarray
    second: np.ndarray
    accent: np.ndarray
    iris: np.ndarray
    pattern: np.ndarray
    accessory: np.ndarray
    ear_size: np.ndarray
    side: np.ndarray

    def __len__(self) -> int:
        return len(self.species)

    def take(self, indices: np.ndarray | slice | Sequence[int]) -> Self:
        """Return the chosen rows, in that order."""
        chosen = indices if isinstance(indices, slice) else np.asarray(indices)
        if isinstance(chosen, np.ndarray) and not chosen.size:
            chosen = chosen.astype(np.int64)  # an empty list has no type of its own
        return type(self)(**{name: values[chosen] for name, values in vars(self).items()})

    def replace(self, **values: np.ndarray | float | int) -> Self:
        """Return a copy with some factors changed; values are broadcast to the shape of the old ones."""
        changed = dict(vars(self))
        for name, value in values.items():
            old = changed[name]
            changed[name] = np.broadcast_to(np.asarray(value, dtype=old.dtype), old.shape).copy()
        return type(self)(**changed)

    @classmethod
    def concatenate(cls, parts: Iterable[Factors]) -> Self:
        """Return the rows of all parts, one after the other."""
        parts = list(parts)
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )


# --------------------------------------------------------------------------------------------------- factors


def _oklch(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """Convert OKLCH (Ottosson 2020; hue in degrees) to (N, 3) float32 sRGB, clipped to [0, 1]."""
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
        ],
        axis=-1,
    ).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded.astype(np.float32)


# Coats that animals have, as OKLCH: brown, ginger, tan, cream, white, grey, charcoal.
_NATURAL = np.array(
    [
        (0.52, 0.080, 52),
        (0.70, 0.145, 56),
        (0.76, 0.085, 72),
        (0.90, 0.050, 84),
        (0.96, 0.010, 80),
        (0.68, 0.018, 262),
        (0.42, 0.020, 285),
    ]
)


def _pick(u: np.ndarray, *shares: float) -> np.ndarray:
    """Turn uniform numbers into indices with these shares (which sum to 1)."""
    return np.searchsorted(np.cumsum(shares)[:-1], u, side="right").astype(np.int64)


def _hue(u: np.ndarray) -> np.ndarray:
    """Turn uniform numbers into hues; the greenish yellows, which look sickly when shaded, are left out."""
    return (128 + 327 * u) % 360


def _light(hue: np.ndarray) -> np.ndarray:
    """Return how much lighter than others a hue is when vivid, -1 to 1: yellow is light, violet is dark."""
    return np.asarray(np.cos(np.radians(hue - 95)))


def _coats(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the main and the second colour from (N, 8) uniform numbers."""
    natural = _NATURAL[(u[:, 0] * len(_NATURAL)).astype(np.int64)]
    hue = _hue(u[:, 1])
    vivid = np.stack([0.73 + 0.11 * _light(hue), 0.125 + 0.03 * u[:, 2], hue], axis=-1)
    lch = np.where(u[:, 3:4] < 0.42, natural + (u[:, 4:7] - 0.5) * (0.07, 0.02, 16), vivid)
    lightness, chroma, hue = lch.T
    coat = _oklch(lightness, chroma.clip(0), hue)
    # A pale tint of the coat or a cream; a pale coat gets a caramel or a pink, to be told from it.
    pale = lightness > 0.86
    tint = np.where(u[:, 7] < 0.6, hue + 40 * (u[:, 7] / 0.6 - 0.5), 70 + 30 * u[:, 2])
    second = _oklch(
        np.where(pale, 0.77, 0.95),
        np.where(pale, 0.09, 0.035 + 0.02 * u[:, 2]),
        np.where(pale, 10 + 62 * u[:, 7], tint),
    )
    return coat, second


def draw(seed: int, indices: np.ndarray, species: np.ndarray | None = None) -> Factors:
    """Return the factors of every index: a pure function of (seed, index).

    `indices` (N,) are integers >= 0. `species` (N,), where given, takes the place of the drawn species and
    changes nothing else.
    """
    u = uniform(seed, _STREAM, np.asarray(indices), _COLUMNS)

    def between(column: int, low: float, high: float) -> np.ndarray:
        return (low + (high - low) * u[:, column]).astype(np.float32)

    drawn = (u[:, 0] * len(SPECIES)).astype(np.int64)
    coat, second = _coats(u[:, 16:24])
    accent = _hue(u[:, 25])
    return Factors(
        species=drawn if species is None else np.asarray(species, dtype=np.int64),
        x=between(1, -0.10, 0.10),
        y=between(2, -0.08, 0.08),
        scale=between(3, 0.8, 1.1),
        # The sum of two uniform numbers: most heads are nearly upright.
        tilt=(0.35 * (u[:, 4] + u[:, 5] - 1)).astype(np.float32),
        gaze_x=between(6, -1, 1),
        gaze_y=between(7, -1, 1),
        expression=_pick(u[:, 8], 0.25, 0.25, 0.25, 0.25),
        background=_oklch(0.88 + 0.04 * u[:, 9], 0.03 + 0.03 * u[:, 10], 360 * u[:, 11]),
        coat=coat,
        second=second,
        accent=_oklch(0.62 + 0.12 * _light(accent), 0.15 + 0.03 * u[:, 24], accent),
        iris=_oklch(
            0.45 + 0.1 * u[:, 26],
            np.full(len(u), 0.09),
            np.array([50, 75, 145, 200, 255])[(u[:, 27] * 5).astype(np.int64)],
        ),
        pattern=_pick(u[:, 28], 0.34, 0.22, 0.22, 0.22),
        accessory=_pick(u[:, 29], 0.61, 0.13, 0.13, 0.13),
        ear_size=between(30, 0.85, 1.2),
        side=np.where(u[:, 31] < 0.5, -1, 1).astype(np.float32),
    )


def attributes(factors: Factors) -> np.ndarray:
    """Return the (N, A) uint8 table of the binary ATTRIBUTES."""
    luminance = factors.coat @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    columns = {
        "smiling": factors.expression == EXPRESSIONS.index("happy"),
        "surprised": factors.expression == EXPRESSIONS.index("surprised"),
        "tilted_left": factors.tilt < 0,
        "looking_left": factors.gaze_x < 0,
        "dark_coat": luminance < 0.55,
        "warm_coat": factors.coat[:, 0] > factors.coat[:, 2],
        "striped": factors.pattern == PATTERNS.index("stripes"),
        "spotted": factors.pattern == PATTERNS.index("spots"),
        "bow": factors.accessory == ACCESSORIES.index("bow"),
        "glasses": factors.accessory == ACCESSORIES.index("glasses"),
        "scarf": factors.accessory == ACCESSORIES.index("scarf"),
        "big_ears": factors.ear_size > 1.025,
    }
    return np.stack([columns[name] for name in ATTRIBUTES], axis=-1).astype(np.uint8)


# --------------------------------------------------------------------------------------------------- painter

_SPAN = 0.30  # head units to fractions of the image side, at scale 1
_MIDDLE = 0.57  # height of the head's centre, at y = 0
_LINE = 0.042  # width of the line around a shape
_STROKE = 0.032  # half the width of a line of a drawing

Number = float | np.ndarray  # one for all pictures or (n,)


def _rgb(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([[red, green, blue]], np.float32)


_WHITE, _BLACK = _rgb(1, 1, 1), _rgb(0, 0, 0)
_INK = _rgb(0.19, 0.13, 0.16)
_MOUTH = _rgb(0.52, 0.16, 0.21)
_TONGUE = _rgb(0.97, 0.52, 0.55)
_ROSE = _rgb(1.0, 0.47, 0.52)
_NOSE = _rgb(0.91, 0.45, 0.51)
_TEAR = _rgb(0.50, 0.78, 1.0)


def _column(value: Number) -> Number:
    """Make (n,) numbers broadcast against (n, height, width)."""
    return value.astype(np.float32)[:, None, None] if isinstance(value, np.ndarray) else value


# A shape's form is a symmetric 3 x 3 matrix S, flattened: z S z is its value at z = (u, v, 1).


@lru_cache(maxsize=1024)
def _fixed_form(*values: float) -> np.ndarray:
    """Return the form of a shape that is the same in every picture, as most are."""
    return np.asarray(_varied_form(*(np.array([float(value)]) for value in values))[0])


def _varied_form(u: Number, v: Number, angle: Number, for_p: Number, for_q: Number, constant: Number) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    count = max(len(value) for value in (u, v, angle, for_p, for_q, constant) if isinstance(value, np.ndarray))
    rows = np.empty((count, 2, 3))
    rows[:, 0, 0], rows[:, 0, 1], rows[:, 0, 2] = cos * for_p, sin * for_p, -(cos * u + sin * v) * for_p
    rows[:, 1, 0], rows[:, 1, 1], rows[:, 1, 2] = -sin * for_q, cos * for_q, (sin * u - cos * v) * for_q
    form: np.ndarray = np.matmul(rows.swapaxes(1, 2), rows)
    form[:, 2, 2] += constant
    return form.reshape(count, 9)


def _form(u: Number, v: Number, angle: Number, for_p: Number, for_q: Number, constant: Number) -> np.ndarray:
    """Return for_p^2 p^2 + for_q^2 q^2 + constant, (p, q) being (u, v) about a place, turned."""
    values = u, v, angle, for_p, for_q, constant
    if any(isinstance(value, np.ndarray) for value in values):
        return _varied_form(*values)
    return _fixed_form(*(float(value) for value in values))


def _line(along_u: Number, along_v: Number, constant: Number) -> np.ndarray:
    """Return the form along_u * u + along_v * v + constant: (9,) or (n, 9)."""
    values = along_u, along_v, constant
    counts = [len(value) for value in values if isinstance(value, np.ndarray)]
    form = np.zeros((*counts[:1], 9))
    form[..., 2], form[..., 5], form[..., 8] = values
    return form


# From a form in (x, y, 1) to its coefficients between (1, y, y^2) and (x^2, x, 1).
_PLACES = np.array([0, 2, 8, 0, 1, 5, 0, 0, 4])
_TIMES = np.array([1.0, 2.0, 1.0, 0.0, 2.0, 2.0, 0.0, 0.0, 1.0])


def _changes(cos: np.ndarray, sin: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return what takes a form in head units to the coefficients of its value in pixels squared."""
    turn = np.zeros((len(unit), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1], turn[:, 2, 2] = cos, sin, -sin, cos, 1
    turn *= unit[:, None, None]
    both = turn.swapaxes(1, 2)[:, :, None, :, None] * turn.swapaxes(1, 2)[:, None, :, None, :]
    both = both.reshape(-1, 9, 9)
    # A straight form is in S[0, 2] only, not in S[2, 0] too: hence the sum over both halves.
    both = both + both.reshape(-1, 3, 3, 9).swapaxes(1, 2).reshape(-1, 9, 9)
    return (both[:, _PLACES] * (0.5 * _TIMES)[:, None]).reshape(-1, 9, 9)


class _Sheet:
    """Pictures being painted, rows of (N, 3, size, size) float32 in [0.5, 255.5], and their axes."""

    def __init__(
        self, pixels: np.ndarray, rows: np.ndarray, factors: Factors, axes: tuple[np.ndarray, ...], ink: bool
    ) -> None:
        self.pixels, self.rows, self.factors, self.axes, self.ink = pixels, rows, factors, axes, ink
        self.x, self.y, self.unit, self.cos, self.sin, self.changes = axes

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, mask: np.ndarray) -> _Sheet:
        """Return the pictures where the mask holds."""
        chosen = np.flatnonzero(mask)
        return _Sheet(
            self.pixels,
            self.rows[chosen],
            self.factors.take(chosen),
            tuple(a[chosen] for a in self.axes),
            self.ink,
        )

    def moved(self, u: Number, v: Number, upright: bool = False) -> _Sheet:
        """Return the same pictures with the origin at (u, v), and with untilted axes if upright."""
        x = self.x + self.unit * (self.cos * u - self.sin * v)
        y = self.y + self.unit * (self.sin * u + self.cos * v)
        axes = x, y, self.unit, self.cos, self.sin, self.changes
        if upright:
            cos, sin = np.ones_like(x), np.zeros_like(x)
            axes = x, y, self.unit, cos, sin, _changes(cos, sin, self.unit)
        return _Sheet(self.pixels, self.rows, self.factors, axes, self.ink)

    def window(self, u: Number, v: Number, reach: float, height: float | None = None) -> _Window:
        """Open the rectangle of half sides `reach`, `height` about (u, v), in a `with` statement."""
        return _Window(self, u, v, (reach, reach if height is None else height))


class _Window:
    """A rectangle of each picture of a sheet. Layers are collected, bottom first, and painted at the end."""

    def __init__(self, sheet: _Sheet, u: Number, v: Number, halves: tuple[float, float]) -> None:
        count, size = len(sheet), sheet.pixels.shape[-1]
        # As large as the largest scale needs, not the largest head at hand: a matrix product may differ in
        # the last bit between sizes, and a picture must not depend on its company.
        unit = max(1.1 * _SPAN * size, float(sheet.unit.max()))
        width, height = (min(size, int(np.ceil(2 * half * unit)) + 2) for half in halves)
        self.shape = height, width
        x = sheet.x + sheet.unit * (sheet.cos * u - sheet.sin * v)
        y = sheet.y + sheet.unit * (sheet.sin * u + sheet.cos * v)
        left = np.minimum(np.maximum(np.rint(x - width / 2), 0), size - width)
        top = np.minimum(np.maximum(np.rint(y - height / 2), 0), size - height)
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
        """Return a window on the chosen pictures, for measuring shapes only."""
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
        """Sum all layers and the ground, each times what the layers above let through."""
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
        """Return along_u * u + along_v * v + constant, in pixels: a half plane where the slope is 1."""
        return self._straight(_line(along_u, along_v, constant))

    def ellipse(
        self, u: Number, v: Number, a: Number, b: Number, angle: Number = 0.0, apart: float = 0.0
    ) -> np.ndarray:
        """An ellipse that is nearly a circle (exact on its edge only), or two of them, at p = +-apart."""
        mean = 2 * a * b / (a + b)
        d = self._square(_form(u, v, angle, mean / a, mean / b, (mean / a * apart) ** 2 if apart else 1e-6))
        if apart:
            times = 2 * apart * (mean / a) ** 2
            cos, sin = np.cos(angle) * times, np.sin(angle) * times
            p = self._square(_line(cos, sin, -cos * u - sin * v))
            d -= np.abs(p, out=p)
            np.abs(d, out=d)  # rounding may have left a negative square
        np.sqrt(d, out=d)
        d -= _column(mean * self._unit)
        return d

    def oval(self, u: Number, v: Number, a: Number, b: Number, angle: Number = 0.0) -> np.ndarray:
        """A long ellipse: divided by the length of its gradient, so that a line around it has one width."""
        d: np.ndarray = np.sqrt(self._square(_form(u, v, angle, 1 / a, 1 / b, 1e-4)))
        steep = np.sqrt(self._square(_form(u, v, angle, 1 / a**2, 1 / b**2, 1e-4 / (a * b))))
        ratio = np.divide(d, steep, out=steep)
        d -= self.unit
        d *= ratio
        return d

    def leaf(
        self, u: Number, v: Number, width: float, length: Number, angle: Number = 0.0, blunt: float = 0.05
    ) -> np.ndarray:
        """Two arcs that meet in points at q = +-length, 2 * width thick; `blunt` rounds the points."""
        radius = (length * length + width * width) / (2 * width)
        beside = radius - width
        p = np.sqrt(self._square(_form(u, v, angle, 2 * beside, 0.0, (2 * blunt * beside) ** 2)))
        p *= self.unit
        d = self._square(_form(u, v, angle, 1.0, 1.0, beside**2 + blunt**2))
        d += p
        np.sqrt(d, out=d)
        d -= _column(radius * self._unit)
        return d

    def _pair(self, u: Number, v: Number, angle: Number, apart: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (p, q) in pixels; with `apart`, p is mirrored and counted from there."""
        cos, sin = np.cos(angle), np.sin(angle)
        p = self._straight(_line(cos, sin, -cos * u - sin * v))
        q = self._straight(_line(-sin, cos, sin * u - cos * v))
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
        """A rectangle with round corners; `width` and `height` are half sides."""
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
        """A stroke, 2 * thickness wide, along a parabola: q is 0 at p = +-width and `rise` at 0.

        `slant` shears it: where the stroke is twice, at p = +-apart, the two slant towards each other.
        """
        p, q = self._pair(u, v, 0.0, apart)
        unit = self.unit
        if isinstance(slant, np.ndarray):
            q -= _column(slant) * p
        if apart:
            np.abs(p, out=p)
        bend = np.minimum(p, width * unit)
        p -= bend
        bend *= 1 / (width * unit)
        bend *= bend
        bend -= 1
        bend *= _column(rise) * unit
        q += bend
        d = _norm(p, q)
        d -= thickness * unit
        return d

    def joined(self, a: np.ndarray, b: np.ndarray, softness: float) -> np.ndarray:
        """Join two shapes with a fillet of about this size (Quilez's polynomial smooth minimum)."""
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
        """Return the share of every pixel that the shape covers, after growing it by head units."""
        edge = np.float32(0.5) + np.float32(grow) * self.unit if grow else np.float32(0.5)
        alpha = edge - distance
        np.clip(alpha, 0, 1, out=alpha)
        return alpha

    def lay(self, alpha: np.ndarray, colour: np.ndarray) -> None:
        """Put a layer of one colour, (n, 3) or (1, 3), on top."""
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
        """Put a shape on top, with a line around it where `line` is a colour.

        `within` is a coverage that cuts it off. A drawing shows what has a line or is `drawn="line"` as a
        line, what is `drawn="solid"` in black, and leaves out the rest.
        """
        if self.ink:
            if drawn == "solid":
                stack = [(0.0, _BLACK)]
            else:
                stack = [(_STROKE, _BLACK), (-_STROKE, _WHITE)] if drawn or line is not None else []
        else:
            stack = ([] if line is None else [(_LINE, line)]) + [(0.0, colour)]
        for grow, shown in stack:
            alpha = self.coverage(distance, grow)
            if within is not None:
                alpha *= within
            if opacity != 1.0 and not self.ink:
                alpha *= np.float32(opacity)
            self.lay(alpha, shown)

    def shadow(self, alpha: np.ndarray, colour: np.ndarray) -> None:
        """Put a soft layer on top that a drawing leaves out."""
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


class _Colours:
    """The colours of a sheet, (n, 3) each."""

    def __init__(self, factors: Factors) -> None:
        self.coat, self.second, self.accent = factors.coat, factors.second, factors.accent
        # Shade is warm and slightly violet: plain grey would make yellow coats look like olives.
        self.dark = factors.coat * _rgb(0.85, 0.77, 0.80)
        # The line is the coat in deep shadow: a black line would make the heads heavy.
        self.line = factors.coat * _rgb(0.42, 0.36, 0.40) + np.float32(0.02)
        light = factors.coat.mean(axis=1, keepdims=True)
        self.brow = np.where(light > 0.40, self.line, 0.55 + 0.45 * factors.coat).astype(np.float32)
        self.inner = 0.58 * factors.second + 0.42 * _ROSE
        self.blush = 0.40 * factors.second + 0.60 * _ROSE
        self.accent_dark = factors.accent * np.float32(0.80)
        self.accent_line = factors.accent * np.float32(0.45)


# --------------------------------------------------------------------------------------------------- species


class _Animal:
    """A species: what tells it from the others. The rest is common to all."""

    eye = (0.40, -0.12)  # place of the right eye
    mouth = 0.48  # height of the mouth
    mouth_width = 0.26
    blush = (0.68, 0.26)
    reach = 1.06  # half side of a square that holds the head at any tilt

    def ears_behind(self, sheet: _Sheet, colours: _Colours) -> None:
        """Paint what the head hides."""

    def head(self, w: _Window) -> np.ndarray:
        """Return the distance of the head."""
        raise NotImplementedError

    def marks(self, w: _Window, colours: _Colours, inside: np.ndarray) -> None:
        """Paint the colours of the face, in the window of the head; `inside` is the coverage of the head."""

    def muzzle(self, w: _Window, colours: _Colours) -> None:
        """Paint muzzle and nose, in the window of the lower face."""

    def teeth(self, w: _Window) -> None:
        """Paint what comes over the mouth."""

    def whiskers(self, face: _Sheet, colours: _Colours) -> None:
        """Paint what leaves the head."""

    def ears_front(self, sheet: _Sheet, colours: _Colours) -> None:
        """Paint what hides the head."""


class _Bear(_Animal):
    mouth = 0.47
    eye = (0.40, -0.16)

    def ears_behind(self, sheet: _Sheet, colours: _Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.74 * side, -0.64, 0.56) as w:
                w.fill(w.ellipse(0.74 * side, -0.62, 0.37 * size, 0.37 * size), colours.coat, colours.line)
                w.fill(w.ellipse(0.72 * side, -0.60, 0.22 * size, 0.22 * size), colours.inner, drawn="line")

    def head(self, w: _Window) -> np.ndarray:
        return w.ellipse(0, 0.02, 1.0, 0.89)

    def muzzle(self, w: _Window, colours: _Colours) -> None:
        w.fill(w.ellipse(0, 0.41, 0.47, 0.37), colours.second, drawn="line")
        w.fill(w.bar(0, 0.36, 0.026, 0.12, 0.02), _INK, drawn="solid")
        w.fill(w.ellipse(0, 0.20, 0.20, 0.135), _INK, drawn="solid")
        w.fill(w.ellipse(-0.06, 0.155, 0.06, 0.035), _WHITE, opacity=0.6)


class _Cat(_Animal):
    mouth = 0.41
    mouth_width = 0.23
    eye = (0.43, -0.08)
    blush = (0.70, 0.22)
    reach = 1.19

    def ears_behind(self, sheet: _Sheet, colours: _Colours) -> None:
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

    def head(self, w: _Window) -> np.ndarray:
        return w.joined(w.ellipse(0, 0.03, 1.0, 0.82), w.leaf(0, 0.26, 0.40, 1.17, np.pi / 2, 0.07), 0.14)

    def muzzle(self, w: _Window, colours: _Colours) -> None:
        w.fill(w.ellipse(0, 0.42, 0.23, 0.18, apart=0.15), colours.second, drawn="line")
        w.fill(w.ellipse(0, 0.26, 0.115, 0.08), _NOSE, drawn="solid")

    def whiskers(self, face: _Sheet, colours: _Colours) -> None:
        for side in (-1.0, 1.0):
            with face.window(0.88 * side, 0.38, 0.40) as w:
                d = w.bar(0.88 * side, 0.25, 0.30, 0.02, 0.02, -0.12 * side)
                for v, angle in ((0.38, 0.03), (0.51, 0.18)):
                    np.minimum(d, w.bar(0.88 * side, v, 0.30, 0.02, 0.02, angle * side), out=d)
                w.fill(d, colours.brow, drawn="solid", opacity=0.9)


class _Dog(_Animal):
    mouth = 0.57
    mouth_width = 0.27
    eye = (0.37, -0.14)
    blush = (0.62, 0.24)

    def head(self, w: _Window) -> np.ndarray:
        return w.joined(w.ellipse(0, -0.08, 0.87, 0.84), w.ellipse(0, 0.44, 0.68, 0.50), 0.25)

    def marks(self, w: _Window, colours: _Colours, inside: np.ndarray) -> None:
        w.fill(w.leaf(0, -0.30, 0.16, 0.80), colours.second, within=inside, drawn="line")

    def muzzle(self, w: _Window, colours: _Colours) -> None:
        w.fill(w.ellipse(0, 0.49, 0.54, 0.40), colours.second, drawn="line")
        w.fill(w.bar(0, 0.46, 0.026, 0.12, 0.02), _INK, drawn="solid")
        w.fill(w.ellipse(0, 0.25, 0.25, 0.175), _INK, drawn="solid")
        w.fill(w.ellipse(-0.07, 0.19, 0.08, 0.045), _WHITE, opacity=0.6)

    def ears_front(self, sheet: _Sheet, colours: _Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.92 * side, 0.0, 0.70, 0.84) as w:
                w.fill(w.oval(0.92 * side, -0.02, 0.30, 0.62 * size, -0.24 * side), colours.dark, colours.line)


class _Fox(_Animal):
    mouth = 0.66
    mouth_width = 0.19
    eye = (0.42, -0.12)
    blush = (0.72, 0.28)
    reach = 1.19

    def ears_behind(self, sheet: _Sheet, colours: _Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.68 * side, -0.95, 0.74, 0.90) as w:
                d = w.leaf(0.62 * side, -0.58, 0.44, 0.98 * size, 0.20 * side)
                w.fill(d, colours.coat, colours.line)
                tip = w.slope(0.0, 1.0, 0.60 + 0.58 * size)
                w.fill(np.maximum(d, tip), _INK, drawn="line")
                inner = w.leaf(0.62 * side, -0.58, 0.26, 0.74 * size, 0.20 * side)
                w.fill(np.maximum(inner, np.negative(tip, out=tip), out=inner), colours.second, drawn="line")

    def head(self, w: _Window) -> np.ndarray:
        cheeks = w.joined(w.leaf(0, 0.10, 0.68, 1.17, np.pi / 2, 0.09), w.ellipse(0, -0.14, 0.74, 0.66), 0.3)
        return w.joined(cheeks, w.ellipse(0, 0.62, 0.28, 0.28), 0.36)

    def marks(self, w: _Window, colours: _Colours, inside: np.ndarray) -> None:
        cheeks = w.ellipse(0, 0.60, 0.74, 0.47, apart=0.64)
        w.fill(np.minimum(cheeks, w.ellipse(0, 0.82, 0.30, 0.24)), colours.second, within=inside, drawn="line")

    def muzzle(self, w: _Window, colours: _Colours) -> None:
        w.fill(w.ellipse(0, 0.47, 0.165, 0.12), _INK, drawn="solid")
        w.fill(w.ellipse(-0.05, 0.43, 0.05, 0.03), _WHITE, opacity=0.6)


class _Pig(_Animal):
    mouth = 0.65
    mouth_width = 0.22
    eye = (0.44, -0.16)
    blush = (0.76, 0.26)
    reach = 1.1

    def head(self, w: _Window) -> np.ndarray:
        return w.ellipse(0, 0.04, 1.04, 0.90)

    def muzzle(self, w: _Window, colours: _Colours) -> None:
        w.fill(w.ellipse(0, 0.25, 0.43, 0.29), colours.inner, colours.line)
        w.fill(w.ellipse(0, 0.25, 0.065, 0.11, apart=0.16), colours.line, drawn="solid")

    def ears_front(self, sheet: _Sheet, colours: _Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.74 * side, -0.64, 0.62) as w:
                w.fill(
                    w.leaf(0.74 * side, -0.66, 0.235, 0.48 * size, -0.98 * side, 0.03),
                    colours.dark,
                    colours.line,
                )


class _Rabbit(_Animal):
    mouth = 0.50
    mouth_width = 0.26
    eye = (0.38, -0.10)
    blush = (0.62, 0.28)

    def ears_behind(self, sheet: _Sheet, colours: _Colours) -> None:
        size = sheet.factors.ear_size
        for side in (-1.0, 1.0):
            with sheet.window(0.44 * side, -1.10, 0.72, 0.90) as w:
                at = 0.40 * side, -1.04
                w.fill(w.oval(*at, 0.245, 0.70 * size, 0.14 * side), colours.coat, colours.line)
                w.fill(w.oval(*at, 0.135, 0.54 * size, 0.14 * side), colours.inner, drawn="line")

    def head(self, w: _Window) -> np.ndarray:
        return w.joined(w.ellipse(0, -0.04, 0.84, 0.80), w.ellipse(0, 0.26, 0.90, 0.60), 0.2)

    def muzzle(self, w: _Window, colours: _Colours) -> None:
        w.fill(w.ellipse(0, 0.44, 0.25, 0.21, apart=0.17), colours.second, drawn="line")
        w.fill(w.ellipse(0, 0.25, 0.12, 0.085), _NOSE, drawn="solid")

    def teeth(self, w: _Window) -> None:
        d = w.bar(0, 0.59, 0.060, 0.095, 0.03, apart=0.064)
        w.shadow(w.coverage(d, 0.025), _rgb(0.50, 0.42, 0.45))
        w.fill(d, _WHITE, drawn="line")


_ANIMALS = {"bear": _Bear(), "cat": _Cat(), "dog": _Dog(), "fox": _Fox(), "pig": _Pig(), "rabbit": _Rabbit()}


# --------------------------------------------------------------------------------------------- what all have


def _paint_body(sheet: _Sheet, colours: _Colours) -> None:
    """Shoulders, which do not tilt with the head, and the scarf around the neck."""
    body = sheet.moved(0.0, 0.80, upright=True)
    with body.window(0, 0.62, 0.90, 0.78) as w:
        d = w.ellipse(0, 1.00, 0.80, 1.04)
        w.fill(d, colours.dark, colours.line)
        w.fill(w.ellipse(0, 1.15, 0.46, 0.86), colours.second, drawn="line")
        shade = w.ellipse(0, -0.10, 0.80, 0.52)
        shade /= np.float32(0.5) * w.unit
        w.shadow(np.float32(0.35) * np.clip(-shade, 0, 1) * w.coverage(d), colours.line)
    scarf = body.where(sheet.factors.accessory == ACCESSORIES.index("scarf"))
    if len(scarf):
        tones = _Colours(scarf.factors)
        with scarf.window(0, 0.38, 0.90, 0.70) as w:
            w.fill(w.bar(0.30, 0.58, 0.16, 0.40, 0.06, -0.12), tones.accent_dark, tones.accent_line)
            w.fill(w.arc(0, 0.02, 0.60, 0.18, 0.20), tones.accent, tones.accent_line)


_SPOTS = (  # u, v, radius
    (-0.36, -0.60, 0.15), (0.08, -0.68, 0.11), (0.46, -0.56, 0.14), (0.86, -0.12, 0.13),
    (-0.84, -0.16, 0.12), (-0.74, 0.42, 0.14), (0.70, 0.48, 0.12),
)  # fmt: skip


def _paint_head(sheet: _Sheet, animal: _Animal, colours: _Colours) -> None:
    """The head with its pattern, which the outline cuts off, and the colours of the face."""
    with sheet.window(0, 0, animal.reach) as w:
        d = animal.head(w)
        inside = w.coverage(d)
        w.fill(d, colours.coat, colours.line)
        for grow, colour in ((_STROKE, _BLACK), (-_STROKE, _WHITE)) if w.ink else ((0.0, colours.second),):
            pattern = w.blank()
            for kind, measure in ((1, _patch), (2, _stripes), (3, _spots)):
                chosen = np.flatnonzero(sheet.factors.pattern == kind)
                if len(chosen):
                    part = w.where(chosen)
                    pattern[chosen] = part.coverage(measure(part, animal), grow)
            pattern *= inside
            w.lay(pattern, colour)
        animal.marks(w, colours, inside)
        _blush(w, animal, colours)
        shade = w.slope(0.05, 0.14, 0.0)
        shade /= w.unit
        np.clip(shade, 0, 1, out=shade)
        shade *= inside
        w.shadow(shade, colours.line)


def _patch(w: _Window, animal: _Animal) -> np.ndarray:
    side = w.factors.side
    return w.ellipse(side * animal.eye[0], animal.eye[1], 0.37, 0.44, 0.35 * side)


def _stripes(w: _Window, animal: _Animal) -> np.ndarray:
    d = w.leaf(0, -0.74, 0.105, 0.40)
    for side in (-1.0, 1.0):
        for u, v, width, length, angle in (
            (0.34, -0.72, 0.09, 0.32, 0.15),
            (0.94, 0.06, 0.09, 0.36, 1.45),
            (0.90, 0.38, 0.09, 0.36, 1.75),
        ):
            np.minimum(d, w.leaf(u * side, v, width, length, angle * side), out=d)
    return d


def _spots(w: _Window, animal: _Animal) -> np.ndarray:
    side = w.factors.side
    u, v, radius = _SPOTS[0]
    d = w.ellipse(u * side, v, radius, radius)
    for u, v, radius in _SPOTS[1:]:
        np.minimum(d, w.ellipse(u * side, v, radius, radius), out=d)
    return d


def _blush(w: _Window, animal: _Animal, colours: _Colours) -> None:
    strength = np.array([0.50, 0.80, 0.40, 0.60], np.float32)[w.factors.expression]
    glow = w.ellipse(0, animal.blush[1], 0.22, 0.16, apart=animal.blush[0])
    glow /= np.float32(-0.18) * w.unit
    np.clip(glow, 0, 1, out=glow)
    glow *= _column(strength)
    w.shadow(glow, colours.blush)


def _paint_lower_face(face: _Sheet, animal: _Animal, colours: _Colours) -> None:
    """Muzzle, nose and the mouth of each expression."""
    m, width = animal.mouth, animal.mouth_width
    with face.window(0, 0.48, 0.60) as w:
        animal.muzzle(w, colours)
        lips, hollow, tongue = w.blank(), w.blank(), w.blank()
        calm, happy, sad, surprised = (np.flatnonzero(face.factors.expression == kind) for kind in range(4))
        if len(calm):
            part = w.where(calm)
            lips[calm] = part.coverage(part.arc(0, m, 0.5 * width, 0.10, 0.03, apart=0.5 * width))
        if len(happy):
            part = w.where(happy)
            d = np.maximum(part.ellipse(0, m, 1.15 * width, 0.31), part.slope(0.0, -1.0, m))
            lips[happy], hollow[happy] = part.coverage(d, _LINE), part.coverage(d)
            tongue[happy] = part.coverage(np.maximum(part.ellipse(0, m + 0.30, 0.17, 0.17), d))
        if len(sad):
            part = w.where(sad)
            lips[sad] = part.coverage(part.arc(0, m + 0.15, 0.9 * width, -0.16, 0.034))
        if len(surprised):
            part = w.where(surprised)
            d = part.ellipse(0, m + 0.10, 0.12, 0.15)
            lips[surprised], hollow[surprised] = part.coverage(d, _LINE), part.coverage(d)
        w.lay(lips, _BLACK if w.ink else _INK)
        w.lay(hollow, _WHITE if w.ink else _MOUTH)
        w.shadow(tongue, _TONGUE)
        animal.teeth(w)


def _paint_eyes(face: _Sheet, animal: _Animal, colours: _Colours) -> None:
    """Eyes with lids, gaze and brows, and the tear of the sad."""
    factors = face.factors

    def by_expression(*values: float) -> np.ndarray:
        return np.asarray(np.array(values)[factors.expression])

    white = by_expression(1.0, 1.0, 1.0, 1.13)
    ball = by_expression(1.0, 1.06, 1.0, 0.84)
    lid, lid_slope = by_expression(-0.185, -0.5, -0.10, -0.5), by_expression(0.04, 0.0, 0.60, 0.0)
    cheek = by_expression(0.5, 0.11, 0.5, 0.5)
    brow, brow_slope, brow_bend = (
        by_expression(-0.37, -0.40, -0.37, -0.47),
        by_expression(0.05, 0.08, 0.50, 0.08),
        by_expression(-0.05, -0.08, -0.02, -0.10),
    )
    u, v = animal.eye
    gaze_u, gaze_v = 0.07 * factors.gaze_x, v + 0.075 * factors.gaze_y

    def both(w: _Window, du: float, dv: float, radius: Number) -> np.ndarray:
        """The same circle in both eyes, which look in one direction."""
        d = w.ellipse(gaze_u - u + du, gaze_v + dv, radius, radius)
        np.minimum(d, w.ellipse(gaze_u + u + du, gaze_v + dv, radius, radius), out=d)
        return d

    with face.window(0, v - 0.12, 0.84, 0.66) as w:
        outward = w.slope(1.0, 0.0, 0.0)
        np.abs(outward, out=outward)
        outward -= np.float32(u) * w.unit
        outward *= _column(lid_slope)
        d = w.slope(0.0, -1.0, lid + v)
        d += outward
        np.maximum(d, w.slope(0.0, 1.0, -cheek - v), out=d)
        np.maximum(d, w.ellipse(0.0, v, 0.215 * white, 0.25 * white, apart=u), out=d)
        w.fill(d, _WHITE, colours.line)
        w.fill(np.maximum(both(w, 0.0, 0.0, 0.178 * ball), d), factors.iris, drawn="line")
        w.fill(np.maximum(both(w, 0.0, 0.0, 0.132 * ball), d), _INK, drawn="solid")
        w.fill(np.maximum(both(w, -0.065, -0.075, 0.062), d), _WHITE)
        w.fill(
            w.arc(0.0, v + brow, 0.17, brow_bend, 0.038, apart=u, slant=brow_slope),
            colours.brow,
            drawn="solid",
        )
    sad = face.where(factors.expression == EXPRESSIONS.index("sad"))
    if len(sad):
        u, v = animal.eye[0] + 0.14, animal.eye[1] + 0.34
        with sad.window(u, v, 0.26) as w:
            w.fill(
                w.joined(w.ellipse(u, v + 0.04, 0.085, 0.085), w.leaf(u, v - 0.04, 0.06, 0.16), 0.06),
                _TEAR,
                0.6 * _TEAR,
            )


def _paint_accessories(sheet: _Sheet, face: _Sheet, animal: _Animal) -> None:
    bow = sheet.where(sheet.factors.accessory == ACCESSORIES.index("bow"))
    if len(bow):
        tones, side = _Colours(bow.factors), bow.factors.side
        u, v = 0.56 * side, -0.82
        with bow.window(u, v, 0.52) as w:
            w.fill(w.ellipse(u, v, 0.22, 0.20, 0.45 * side, apart=0.25), tones.accent, tones.accent_line)
            w.fill(w.ellipse(u, v, 0.11, 0.11), tones.accent_dark, tones.accent_line)
    glasses = face.where(face.factors.accessory == ACCESSORIES.index("glasses"))
    if len(glasses):
        tones = _Colours(glasses.factors)
        apart, v = animal.eye
        with glasses.window(0, v, 0.84) as w:
            ring = w.ellipse(0, v, 0.34, 0.34, apart=apart)
            inner = w.coverage(ring)
            np.abs(ring, out=ring)
            ring -= np.float32(0.042) * w.unit
            np.minimum(ring, w.bar(0, v - 0.02, max(apart - 0.33, 0.03), 0.035, 0.03), out=ring)
            w.shadow(np.float32(0.10) * inner, _WHITE)
            w.fill(ring, tones.accent_line, drawn="solid")


def _paint(pixels: np.ndarray, factors: Factors, animal: _Animal, ink: bool) -> None:
    """Paint pictures of one species, (n, 3, size, size)."""
    size = pixels.shape[-1]
    place = (0.5 + factors.x) * size, (_MIDDLE + factors.y) * size, _SPAN * size * factors.scale
    x, y, unit, cos, sin = (a.astype(np.float64) for a in (*place, np.cos(factors.tilt), np.sin(factors.tilt)))
    sheet = _Sheet(pixels, np.arange(len(pixels)), factors, (x, y, unit, cos, sin, _changes(cos, sin, unit)), ink)
    colours = _Colours(factors)
    if ink:
        pixels[...] = 255.5
    else:
        # Lighter towards the top, like a wall in daylight.
        light = np.linspace(0.45, 0.0, size, dtype=np.float32)[:, None]
        ground = 255 * factors.background[:, :, None, None]
        pixels[...] = ground + (255 - ground) * light + 0.5
    _paint_body(sheet, colours)
    animal.ears_behind(sheet, colours)
    _paint_head(sheet, animal, colours)
    # The face turns a little with the gaze, which makes the heads look round.
    face = sheet.moved(0.05 * factors.gaze_x, 0.04 * factors.gaze_y)
    _paint_lower_face(face, animal, colours)
    animal.whiskers(face, colours)
    _paint_eyes(face, animal, colours)
    animal.ears_front(sheet, colours)
    _paint_accessories(sheet, face, animal)


def _pictures(factors: Factors, size: int, ink: bool) -> np.ndarray:
    result = np.empty((len(factors), size, size, 3), np.uint8)
    chunk = max(1, _CHUNK * 64 * 64 // (size * size))
    canvas = np.empty((min(chunk, len(factors)), 3, size, size), np.float32)
    for kind, name in enumerate(SPECIES):
        rows = np.flatnonzero(factors.species == kind)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            pixels = canvas[: len(part)]
            _paint(pixels, factors.take(part), _ANIMALS[name], ink)
            whole = pixels.astype(np.uint8)
            for channel in range(3):  # several times faster than one transposed copy
                result[part, :, :, channel] = whole[:, channel]
    return result


def render(factors: Factors, size: int) -> np.ndarray:
    """Paint the pictures: (N, size, size, 3) uint8 RGB, the same on every call."""
    return _pictures(factors, size, ink=False)


def outline(factors: Factors, size: int) -> np.ndarray:
    """Draw the same heads as black lines on white: (N, size, size, 3) uint8 RGB."""
    return _pictures(factors, size, ink=True)
