"""Paint images from factors: the parts that all heads have, in the order of painting."""

from __future__ import annotations

import numpy as np

from translate.data.synthetic.animals import ANIMALS, Animal
from translate.data.synthetic.colours import BLACK, INK, MOUTH, TEAR, TONGUE, WHITE, Colours
from translate.data.synthetic.factors import ACCESSORIES, EXPRESSIONS, SPECIES, Factors
from translate.data.synthetic.forms import Number, to_pixels
from translate.data.synthetic.sheet import LINE, SPAN, STROKE, Sheet, Window, column
from translate.sizes import ImageSize, SizeLike

_MIDDLE = 0.57  # height of the head's centre, at y = 0
_CHUNK = 64  # images of 64 px painted together: enough to amortize the interpreter


def _paint_body(sheet: Sheet, colours: Colours) -> None:
    """Paint the shoulders, which do not tilt with the head, and the scarf."""
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
        tones = Colours(scarf.factors)
        with scarf.window(0, 0.38, 0.90, 0.70) as w:
            w.fill(w.bar(0.30, 0.58, 0.16, 0.40, 0.06, -0.12), tones.accent_dark, tones.accent_line)
            w.fill(w.arc(0, 0.02, 0.60, 0.18, 0.20), tones.accent, tones.accent_line)


_SPOTS = (  # u, v, radius
    (-0.36, -0.60, 0.15), (0.08, -0.68, 0.11), (0.46, -0.56, 0.14), (0.86, -0.12, 0.13),
    (-0.84, -0.16, 0.12), (-0.74, 0.42, 0.14), (0.70, 0.48, 0.12),
)  # fmt: skip


def _paint_head(sheet: Sheet, animal: Animal, colours: Colours) -> None:
    """Paint the head with its pattern, cut by the outline, and the colours of the face."""
    with sheet.window(0, 0, animal.reach) as w:
        d = animal.head(w)
        inside = w.coverage(d)
        w.fill(d, colours.coat, colours.line)
        for grow, colour in ((STROKE, BLACK), (-STROKE, WHITE)) if w.ink else ((0.0, colours.second),):
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


def _patch(w: Window, animal: Animal) -> np.ndarray:
    side = w.factors.side
    return w.ellipse(side * animal.eye[0], animal.eye[1], 0.37, 0.44, 0.35 * side)


def _stripes(w: Window, animal: Animal) -> np.ndarray:
    d = w.leaf(0, -0.74, 0.105, 0.40)
    for side in (-1.0, 1.0):
        for u, v, width, length, angle in (
            (0.34, -0.72, 0.09, 0.32, 0.15),
            (0.94, 0.06, 0.09, 0.36, 1.45),
            (0.90, 0.38, 0.09, 0.36, 1.75),
        ):
            np.minimum(d, w.leaf(u * side, v, width, length, angle * side), out=d)
    return d


def _spots(w: Window, animal: Animal) -> np.ndarray:
    side = w.factors.side
    u, v, radius = _SPOTS[0]
    d = w.ellipse(u * side, v, radius, radius)
    for u, v, radius in _SPOTS[1:]:
        np.minimum(d, w.ellipse(u * side, v, radius, radius), out=d)
    return d


def _blush(w: Window, animal: Animal, colours: Colours) -> None:
    strength = np.array([0.50, 0.80, 0.40, 0.60], np.float32)[w.factors.expression]
    glow = w.ellipse(0, animal.blush[1], 0.22, 0.16, apart=animal.blush[0])
    glow /= np.float32(-0.18) * w.unit
    np.clip(glow, 0, 1, out=glow)
    glow *= column(strength)
    w.shadow(glow, colours.blush)


def _paint_lower_face(face: Sheet, animal: Animal, colours: Colours) -> None:
    """Paint muzzle, nose, and the mouth of each expression."""
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
            lips[happy], hollow[happy] = part.coverage(d, LINE), part.coverage(d)
            tongue[happy] = part.coverage(np.maximum(part.ellipse(0, m + 0.30, 0.17, 0.17), d))
        if len(sad):
            part = w.where(sad)
            lips[sad] = part.coverage(part.arc(0, m + 0.15, 0.9 * width, -0.16, 0.034))
        if len(surprised):
            part = w.where(surprised)
            d = part.ellipse(0, m + 0.10, 0.12, 0.15)
            lips[surprised], hollow[surprised] = part.coverage(d, LINE), part.coverage(d)
        w.lay(lips, BLACK if w.ink else INK)
        w.lay(hollow, WHITE if w.ink else MOUTH)
        w.shadow(tongue, TONGUE)
        animal.teeth(w)


def _paint_eyes(face: Sheet, animal: Animal, colours: Colours) -> None:
    """Paint eyes with lids, gaze and brows, and the tear of a sad face."""
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

    def both(w: Window, du: float, dv: float, radius: Number) -> np.ndarray:
        """Return the distance to the same circle in both eyes, which look in one direction."""
        d = w.ellipse(gaze_u - u + du, gaze_v + dv, radius, radius)
        np.minimum(d, w.ellipse(gaze_u + u + du, gaze_v + dv, radius, radius), out=d)
        return d

    with face.window(0, v - 0.12, 0.84, 0.66) as w:
        outward = w.slope(1.0, 0.0, 0.0)
        np.abs(outward, out=outward)
        outward -= np.float32(u) * w.unit
        outward *= column(lid_slope)
        d = w.slope(0.0, -1.0, lid + v)
        d += outward
        np.maximum(d, w.slope(0.0, 1.0, -cheek - v), out=d)
        np.maximum(d, w.ellipse(0.0, v, 0.215 * white, 0.25 * white, apart=u), out=d)
        w.fill(d, WHITE, colours.line)
        w.fill(np.maximum(both(w, 0.0, 0.0, 0.178 * ball), d), factors.iris, drawn="line")
        w.fill(np.maximum(both(w, 0.0, 0.0, 0.132 * ball), d), INK, drawn="solid")
        w.fill(np.maximum(both(w, -0.065, -0.075, 0.062), d), WHITE)
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
                TEAR,
                0.6 * TEAR,
            )


def _paint_accessories(sheet: Sheet, face: Sheet, animal: Animal) -> None:
    bow = sheet.where(sheet.factors.accessory == ACCESSORIES.index("bow"))
    if len(bow):
        tones, side = Colours(bow.factors), bow.factors.side
        u, v = 0.56 * side, -0.82
        with bow.window(u, v, 0.52) as w:
            w.fill(w.ellipse(u, v, 0.22, 0.20, 0.45 * side, apart=0.25), tones.accent, tones.accent_line)
            w.fill(w.ellipse(u, v, 0.11, 0.11), tones.accent_dark, tones.accent_line)
    glasses = face.where(face.factors.accessory == ACCESSORIES.index("glasses"))
    if len(glasses):
        tones = Colours(glasses.factors)
        apart, v = animal.eye
        with glasses.window(0, v, 0.84) as w:
            ring = w.ellipse(0, v, 0.34, 0.34, apart=apart)
            inner = w.coverage(ring)
            np.abs(ring, out=ring)
            ring -= np.float32(0.042) * w.unit
            np.minimum(ring, w.bar(0, v - 0.02, max(apart - 0.33, 0.03), 0.035, 0.03), out=ring)
            w.shadow(np.float32(0.10) * inner, WHITE)
            w.fill(ring, tones.accent_line, drawn="solid")


def _paint(pixels: np.ndarray, factors: Factors, animal: Animal, ink: bool) -> None:
    """Paint images of one species (n, 3, H, W) float32, in place; heads are as large as the shorter side allows."""
    height, width = pixels.shape[-2:]
    place = (0.5 + factors.x) * width, (_MIDDLE + factors.y) * height, SPAN * min(height, width) * factors.scale
    x, y, unit, cos, sin = (a.astype(np.float64) for a in (*place, np.cos(factors.tilt), np.sin(factors.tilt)))
    sheet = Sheet(pixels, np.arange(len(pixels)), factors, (x, y, unit, cos, sin, to_pixels(cos, sin, unit)), ink)
    colours = Colours(factors)
    if ink:
        pixels[...] = 255.5
    else:
        # Lighter towards the top, like a wall in daylight.
        light = np.linspace(0.45, 0.0, height, dtype=np.float32)[:, None]
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


def _images(factors: Factors, size: ImageSize, ink: bool) -> np.ndarray:
    result = np.empty((len(factors), *size, 3), np.uint8)
    chunk = max(1, _CHUNK * 64 * 64 // size.area)
    canvas = np.empty((min(chunk, len(factors)), 3, *size), np.float32)
    for kind, name in enumerate(SPECIES):
        rows = np.flatnonzero(factors.species == kind)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            pixels = canvas[: len(part)]
            _paint(pixels, factors.take(part), ANIMALS[name], ink)
            whole = pixels.astype(np.uint8)
            for channel in range(3):  # several times faster than one transposed copy
                result[part, :, :, channel] = whole[:, channel]
    return result


def render(factors: Factors, size: SizeLike) -> np.ndarray:
    """Return the painted images (N, H, W, 3) uint8 RGB, the same at every call."""
    return _images(factors, ImageSize.of(size), ink=False)


def outline(factors: Factors, size: SizeLike) -> np.ndarray:
    """Return the same heads as black lines on white (N, H, W, 3) uint8 RGB."""
    return _images(factors, ImageSize.of(size), ink=True)
