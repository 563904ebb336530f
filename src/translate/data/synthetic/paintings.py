"""Paintings drawn by program, as style images: a pure function of (kind, size, seed)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from translate.data.philox import uniform
from translate.data.streams import SYNTHETIC_PAINTINGS
from translate.errors import UserError

SIDE = 256
"""Pixels of the longer side unless another is asked for."""

PALETTES = {
    "strokes": ((18, 32, 84), (34, 70, 140), (76, 128, 186), (150, 190, 208), (246, 210, 92), (232, 150, 40)),
    "mosaic": ((196, 60, 44), (226, 138, 52), (240, 204, 110), (44, 112, 118), (30, 60, 92), (236, 228, 206)),
    "waves": ((20, 44, 78), (52, 100, 140), (128, 174, 190), (232, 226, 200), (190, 96, 62), (92, 40, 44)),
    "dots": ((54, 112, 60), (140, 176, 64), (236, 206, 80), (216, 96, 70), (92, 90, 160), (236, 226, 204)),
}
"""The colours of each kind, red, green, blue in 0..255, neighbours beside each other in the painting."""


class Canvas:
    """Pixels (H, W, 3) float64 in 0..255, with random numbers of their own."""

    def __init__(self, kind: str, height: int, width: int, seed: int, palette: np.ndarray) -> None:
        self.height, self.width, self.palette = height, width, palette
        self.pixels = np.empty((height, width, 3))
        self.y, self.x = np.mgrid[0:height, 0:width] + 0.5
        self.unit = max(height, width) / SIDE  # pixels of a pixel at the default size
        self.seed, self._used = seed, list(PALETTES).index(kind) << 32

    def draw(self, count: int, columns: int) -> np.ndarray:
        """Return uniform numbers (count, columns) in [0, 1), new ones at every call."""
        positions = self._used + np.arange(count)
        self._used += count
        return uniform(self.seed, SYNTHETIC_PAINTINGS, positions, columns)

    def colours(self, place: np.ndarray, jitter: np.ndarray, amount: float = 26.0) -> np.ndarray:
        """Return colours (n, 3) at places (n,) of the palette in [0, 1], with jitter (n, 3) in [0, 1)."""
        last = len(self.palette) - 1
        index = np.clip(np.rint(place * last), 0, last).astype(np.int64)
        return np.clip(self.palette[index] + amount * (jitter - 0.5) * 2, 0, 255)

    def field(self, x: np.ndarray, y: np.ndarray, waves: np.ndarray) -> np.ndarray:
        """Return a smooth field in [0, 1] at places: a sum of few waves (k, 4), given by uniform numbers."""
        total = np.zeros(np.shape(x))
        for frequency, angle, phase, _ in waves:
            direction = 2 * np.pi * angle
            along = (np.cos(direction) * x + np.sin(direction) * y) / (SIDE * self.unit)
            total += np.sin(2 * np.pi * ((0.6 + 1.6 * frequency) * along + phase))
        return np.asarray(0.5 + 0.5 * np.tanh(1.2 * total / np.sqrt(len(waves))))

    def lay(self, top: int, left: int, cover: np.ndarray, colour: np.ndarray) -> None:
        """Blend a colour (3,) or (h, w, 3) over the pixels from (top, left), as ``cover`` (h, w) in [0, 1] says."""
        part = self.pixels[top : top + cover.shape[0], left : left + cover.shape[1]]
        part += cover[:, :, None] * (colour - part)


def _strokes(canvas: Canvas) -> None:
    """Paint short strokes with bristles along a flow of whirls."""
    whirls, waves = canvas.draw(5, 4), canvas.draw(4, 4)
    canvas.pixels[:] = canvas.palette[1]
    step = 5.5 * canvas.unit
    rows, columns = np.meshgrid(np.arange(0, canvas.height, step), np.arange(0, canvas.width, step), indexing="ij")
    for layer in range(2):
        u = canvas.draw(rows.size, 10)
        y, x = rows.ravel() + step * (u[:, 0] * 2 - 0.5), columns.ravel() + step * (u[:, 1] * 2 - 0.5)
        angle = 2.2 * canvas.field(x, y, waves[:2]) - 0.6
        weight = np.zeros_like(x)
        for row, column, size, turn in whirls:
            dy, dx = y - row * canvas.height, x - column * canvas.width
            near = np.exp(-(dx**2 + dy**2) / (2 * ((30 + 40 * size) * canvas.unit) ** 2))
            around = np.arctan2(dy, dx) + np.pi / 2 + (0.5 if turn < 0.5 else -0.2)
            angle = angle + (near > weight) * near * (around - angle)
            weight = np.maximum(weight, near)
        place = 0.72 * canvas.field(x, y, waves[2:]) + 0.6 * weight**3 + 0.16 * (u[:, 2] - 0.5)
        colours = canvas.colours(place, u[:, 3:6])
        length = (9 + 8 * u[:, 6]) * canvas.unit * (1.3 - 0.4 * layer)
        width = (2.0 + 1.2 * u[:, 7]) * canvas.unit * (1.4 - 0.5 * layer)
        for number in np.argsort(u[:, 8], kind="stable"):
            _stroke(canvas, y[number], x[number], angle[number], length[number], width[number], colours[number])


def _stroke(canvas: Canvas, y: float, x: float, angle: float, length: float, width: float, colour: np.ndarray) -> None:
    """Lay one stroke: a bar with round ends, lighter and darker along its bristles."""
    reach = int(np.ceil(length / 2 + width + 1))
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    ys, xs = (
        canvas.y[top : int(y) + reach, left : int(x) + reach],
        canvas.x[top : int(y) + reach, left : int(x) + reach],
    )
    if not ys.size:
        return
    along = np.cos(angle) * (xs - x) + np.sin(angle) * (ys - y)
    across = np.cos(angle) * (ys - y) - np.sin(angle) * (xs - x)
    beyond = np.maximum(np.abs(along) - length / 2, 0)
    cover = np.clip(width - np.hypot(beyond, across) + 0.5, 0, 1)
    bristles = 1 + 0.16 * np.sin(across * (4.4 / width) + y)
    canvas.lay(top, left, cover, np.clip(colour * bristles[:, :, None], 0, 255))


def _mosaic(canvas: Canvas) -> None:
    """Paint stones around jittered centres, with dark joints between them."""
    waves = canvas.draw(4, 4)
    side = 15.0 * canvas.unit
    rows, columns = int(canvas.height / side) + 3, int(canvas.width / side) + 3
    u = canvas.draw(rows * columns, 6).reshape(rows, columns, 6)
    cy = (np.arange(rows)[:, None] - 1 + 0.15 + 0.7 * u[:, :, 0]) * side
    cx = (np.arange(columns)[None] - 1 + 0.15 + 0.7 * u[:, :, 1]) * side
    place = canvas.field(cx, cy, waves) + 0.35 * (u[:, :, 2] - 0.5)
    colours = canvas.colours(place.ravel(), u[:, :, 3:6].reshape(-1, 3)).reshape(rows, columns, 3)
    row, column = (canvas.y / side).astype(np.int64) + 1, (canvas.x / side).astype(np.int64) + 1
    first = np.full((canvas.height, canvas.width), np.inf)
    second, owner = first.copy(), np.zeros((canvas.height, canvas.width, 2), np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            i, j = np.clip(row + dy, 0, rows - 1), np.clip(column + dx, 0, columns - 1)
            distance = np.hypot(canvas.y - cy[i, j], canvas.x - cx[i, j])
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            owner[nearer] = np.stack([i, j], axis=-1)[nearer]
            first = np.where(nearer, distance, first)
    stone = colours[owner[..., 0], owner[..., 1]] * (1.06 - 0.012 * first / canvas.unit)[:, :, None]
    joint = np.clip((second - first) / canvas.unit - 1.4, 0, 1)[:, :, None]
    canvas.pixels[:] = joint * stone + (1 - joint) * np.array([38.0, 34, 36])


def _waves(canvas: Canvas) -> None:
    """Paint bands that run in waves, with outlines, as in a woodcut."""
    waves = canvas.draw(4, 4)
    height = 11.0 * canvas.unit
    bend = canvas.field(canvas.x, canvas.y, waves[:2])
    ripple = np.sin(2 * np.pi * (canvas.x / (52 * canvas.unit) + 1.5 * bend))
    level = canvas.y / height + 3.2 * bend + 0.9 * ripple
    band, inside = np.floor(level), level - np.floor(level)
    jitter = canvas.draw(4096, 4)[np.mod(band, 4096).astype(np.int64)]
    place = 0.5 + 0.5 * np.sin(band * 1.7) + 0.2 * (jitter[..., 0] - 0.5)
    colours = canvas.colours(place.ravel(), jitter[..., 1:].reshape(-1, 3)).reshape(*band.shape, 3)
    hatch = 0.93 + 0.07 * np.sign(np.sin(level * 6 * np.pi))
    edge = np.clip(np.minimum(inside, 1 - inside) * 7 - 0.35, 0, 1)[:, :, None]
    canvas.pixels[:] = edge * colours * hatch[:, :, None] + (1 - edge) * np.array([24.0, 26, 40])


def _dots(canvas: Canvas) -> None:
    """Paint small dots of pure colours beside each other."""
    waves = canvas.draw(4, 4)
    canvas.pixels[:] = canvas.palette[-1]
    step = 4.2 * canvas.unit
    rows, columns = np.meshgrid(np.arange(0, canvas.height, step), np.arange(0, canvas.width, step), indexing="ij")
    u = canvas.draw(rows.size, 8)
    y, x = rows.ravel() + step * (u[:, 0] * 1.6 - 0.3), columns.ravel() + step * (u[:, 1] * 1.6 - 0.3)
    place = canvas.field(x, y, waves) + 0.7 * (u[:, 2] - 0.5) * (u[:, 6] < 0.6)
    colours = canvas.colours(place, u[:, 3:6], 18.0)
    radius = (1.6 + 1.3 * u[:, 7]) * canvas.unit
    for number in range(len(x)):
        reach = int(np.ceil(radius[number] + 1))
        top, left = max(0, int(y[number]) - reach), max(0, int(x[number]) - reach)
        window = (slice(top, int(y[number]) + reach + 1), slice(left, int(x[number]) + reach + 1))
        distance = np.hypot(canvas.y[window] - y[number], canvas.x[window] - x[number])
        canvas.lay(top, left, np.clip(radius[number] - distance + 0.5, 0, 1), colours[number])


_KINDS: dict[str, Callable[[Canvas], None]] = {
    "strokes": _strokes,
    "mosaic": _mosaic,
    "waves": _waves,
    "dots": _dots,
}
KINDS = tuple(_KINDS)
"""The names of the paintings."""


def paint(
    kind: str, height: int = SIDE, width: int = SIDE, seed: int = 0, palette: np.ndarray | None = None
) -> np.ndarray:
    """Return a painting (height, width, 3) uint8; UserError for an unknown kind.

    ``palette`` (n, 3) in 0..255 replaces the colours of the kind.
    """
    if kind not in _KINDS:
        raise UserError("unknown painting", found=kind, known=KINDS)
    colours = np.array(PALETTES[kind], np.float64) if palette is None else np.asarray(palette, np.float64)
    canvas = Canvas(kind, height, width, seed, colours)
    _KINDS[kind](canvas)
    return np.rint(canvas.pixels.clip(0, 255)).astype(np.uint8)
