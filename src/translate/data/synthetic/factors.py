"""The factors of the built-in world, a pure function of (seed, index), and the attributes that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from translate.data.philox import uniform
from translate.data.streams import SYNTHETIC_WORLD

WORLD_VERSION = 1
"""Increases whenever an image or a factor of any index changes."""

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

_COLUMNS = 40


@dataclass(frozen=True)
class Factors:
    """All that an image depends on; every array has one row an image.

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
        """Return the rows at ``indices`` (n,), in this order."""
        chosen = indices if isinstance(indices, slice) else np.asarray(indices)
        if isinstance(chosen, np.ndarray) and not chosen.size:
            chosen = chosen.astype(np.int64)  # an empty list has no type of its own
        return type(self)(**{name: values[chosen] for name, values in vars(self).items()})

    def replace(self, **values: np.ndarray | float | int) -> Self:
        """Return a copy with some factors replaced; each value is broadcast to the shape of its factor."""
        changed = dict(vars(self))
        for name, value in values.items():
            old = changed[name]
            changed[name] = np.broadcast_to(np.asarray(value, dtype=old.dtype), old.shape).copy()
        return type(self)(**changed)

    @classmethod
    def concatenate(cls, tables: Iterable[Factors]) -> Self:
        """Return the rows of several tables, one after the other."""
        tables = list(tables)
        return cls(
            **{field.name: np.concatenate([getattr(table, field.name) for table in tables]) for field in fields(cls)}
        )


def _oklch(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """Return sRGB (N, 3) float32, clipped to [0, 1], from OKLCH (Ottosson 2020; hue in degrees)."""
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


def _pick(u: np.ndarray, *probabilities: float) -> np.ndarray:
    """Return indices (N,) int64 with these probabilities, which sum to 1, from uniform numbers (N,)."""
    return np.searchsorted(np.cumsum(probabilities)[:-1], u, side="right").astype(np.int64)


def _hue(u: np.ndarray) -> np.ndarray:
    """Return hues in degrees from uniform numbers (N,), without greenish yellows, which look sickly in shade."""
    return (128 + 327 * u) % 360


def _light(hue: np.ndarray) -> np.ndarray:
    """Return the relative lightness of a vivid hue in [-1, 1]: yellow is light, violet is dark."""
    return np.asarray(np.cos(np.radians(hue - 95)))


def _coats(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the main and the second colour (N, 3) from uniform numbers (N, 8)."""
    natural = _NATURAL[(u[:, 0] * len(_NATURAL)).astype(np.int64)]
    hue = _hue(u[:, 1])
    vivid = np.stack([0.73 + 0.11 * _light(hue), 0.125 + 0.03 * u[:, 2], hue], axis=-1)
    lch = np.where(u[:, 3:4] < 0.42, natural + (u[:, 4:7] - 0.5) * (0.07, 0.02, 16), vivid)
    lightness, chroma, hue = lch.T
    coat = _oklch(lightness, chroma.clip(0), hue)
    # A pale tint of the coat or a cream; on a pale coat a caramel or a pink, for contrast.
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

    ``indices`` (N,) are integers >= 0. ``species`` (N,) replaces the drawn species and changes nothing else.
    """
    u = uniform(seed, SYNTHETIC_WORLD, np.asarray(indices), _COLUMNS)

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
    """Return the table of the binary ATTRIBUTES (N, A) uint8, 0 or 1."""
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
