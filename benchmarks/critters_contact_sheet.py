"""Draw a contact sheet of the built-in world, to be looked at.

    python benchmarks/critters_contact_sheet.py critters.png

Upper half, one row a species: left, heads at 64 px, enlarged three times without smoothing; right, others
at 192 px. Lower half, one row a species: expressions, patterns and accessories, one change at a time. Last
row: drawings.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from translate.data.synthetic.factors import ACCESSORIES, EXPRESSIONS, PATTERNS, SPECIES, draw
from translate.data.synthetic.painting import outline, render

TILE = 192
COLUMNS = len(EXPRESSIONS) + len(PATTERNS) - 1 + len(ACCESSORIES) - 1


def grid(images: np.ndarray, columns: int, gap: int = 4) -> np.ndarray:
    """Lay (N, H, W, 3) images out row by row on white."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet


def enlarge(images: np.ndarray, times: int) -> np.ndarray:
    """Repeat every pixel."""
    return images.repeat(times, axis=1).repeat(times, axis=2)


def contact_sheet(seed: int = 0) -> np.ndarray:
    """Return the whole sheet, (H, W, 3) uint8."""
    kinds = range(len(SPECIES))
    half = COLUMNS // 2
    rows = []
    for kind in kinds:
        factors = draw(seed, np.arange(COLUMNS) + 1000 * kind, np.full(COLUMNS, kind))
        small, large = factors.take(slice(half)), factors.take(slice(half, None))
        rows.append(np.concatenate([enlarge(render(small, 64), TILE // 64), render(large, TILE)]))
    still = {"x": 0, "y": 0, "tilt": 0.05, "gaze_x": 0.3, "gaze_y": 0.1, "scale": 1}
    for kind in kinds:
        base = draw(seed, np.full(COLUMNS, 7 * kind + 3), np.full(COLUMNS, kind)).replace(**still)
        expression, pattern, accessory = np.zeros((3, COLUMNS), np.int64)
        expression[: len(EXPRESSIONS)] = np.arange(len(EXPRESSIONS))
        pattern[len(EXPRESSIONS) :][: len(PATTERNS) - 1] = np.arange(1, len(PATTERNS))
        accessory[-len(ACCESSORIES) + 1 :] = np.arange(1, len(ACCESSORIES))
        rows.append(render(base.replace(expression=expression, pattern=pattern, accessory=accessory), TILE))
    indices = np.arange(COLUMNS)
    rows.append(outline(draw(seed, indices, indices % len(SPECIES)), TILE))
    return grid(np.concatenate(rows), COLUMNS)


def main() -> None:
    """Write the sheet to the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=Path("critters.png"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sheet = Image.fromarray(contact_sheet(options.seed))
    sheet.quantize(256, dither=Image.Dither.NONE).save(options.file, optimize=True)  # a third of the size
    names = ", ".join(EXPRESSIONS + PATTERNS[1:] + ACCESSORIES[1:])
    print(f"{options.file}: rows are {', '.join(SPECIES)}, twice; the columns of the lower half are {names}")


if __name__ == "__main__":
    main()
