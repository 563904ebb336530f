"""Write pairs of outlines and drawings, as pix2pix takes them, from folders of drawings.

    python benchmarks/outlines.py DRAWINGS OUT [train=train/noto] [val=val/noto]

DRAWINGS has the folders ``train`` and ``val`` name. OUT gets A/train and A/val, the outlines, black on white, and
B/train and B/val, links to the drawings: `python -m translate model=pix2pix_small data=paired data.root=OUT`. A pixel
belongs to an outline where a channel changes by more than a tenth of its range from one neighbour to the opposite one.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

THRESHOLD = 26
"""Of 255: the change of a channel over two pixels that makes an outline."""


def outlines(image: Image.Image) -> Image.Image:
    """Return the outlines of an image, black on white, of its size."""
    pixels = np.pad(np.asarray(image.convert("RGB"), np.int16), ((1, 1), (1, 1), (0, 0)), "edge")
    across = np.abs(pixels[1:-1, 2:] - pixels[1:-1, :-2])
    down = np.abs(pixels[2:, 1:-1] - pixels[:-2, 1:-1])
    return Image.fromarray(np.where(np.maximum(across, down).max(2) > THRESHOLD, 0, 255).astype(np.uint8))


def main() -> None:
    """Write both sides of each split."""
    drawings, out = (Path(word) for word in sys.argv[1:3])
    folders = {"train": "train/noto", "val": "val/noto"}
    for word in sys.argv[3:]:
        split, _, folder = word.partition("=")
        if split not in folders:
            raise SystemExit(f"unknown word {word!r}; known: {', '.join(f'{each}=' for each in folders)}")
        folders[split] = folder
    for split, folder in folders.items():
        (out / "A" / split).mkdir(parents=True, exist_ok=True)
        (out / "B").mkdir(parents=True, exist_ok=True)
        (out / "B" / split).symlink_to((drawings / folder).resolve())
        paths = sorted((drawings / folder).glob("*.png"))
        for path in paths:
            with Image.open(path) as image:
                outlines(image).save(out / "A" / split / path.name)
        print(f"{out / 'A' / split}: {len(paths)} outlines")


if __name__ == "__main__":
    main()
