"""Write pairs for pix2pix from folders of images: outlines, grey images, or images of few pixels, and the images.

    python benchmarks/pairs.py outlines DRAWINGS OUT --train train/noto --val val/noto
    python benchmarks/pairs.py grey IMAGES OUT --size 64
    python benchmarks/pairs.py coarse IMAGES OUT --size 64 --pixels 16

OUT gets A/train and A/val, what is made of the images, and B/train and B/val, the images, equal names a pair:
`python -m translate model=pix2pix_small data=paired data.root=OUT`. Without ``--train`` and ``--val``, every tenth
image of IMAGES, sorted by name, is held out. With ``--size`` the middle square of each image is made so many pixels
wide.

outlines: black on white, where a channel changes by more than a tenth of its range from one neighbour to the opposite.
grey: the luma of the image in all three channels. coarse: the image at ``--pixels``, and back to its size, bicubic.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

THRESHOLD = 26
"""Of 255: the change of a channel over two pixels that makes an outline."""
HELD_OUT = 10
"""Every image of this number, where no folder of validation images is named."""


def outlines(image: Image.Image) -> Image.Image:
    """Return the outlines of an image, black on white, of its size."""
    pixels = np.pad(np.asarray(image.convert("RGB"), np.int16), ((1, 1), (1, 1), (0, 0)), "edge")
    across = np.abs(pixels[1:-1, 2:] - pixels[1:-1, :-2])
    down = np.abs(pixels[2:, 1:-1] - pixels[:-2, 1:-1])
    return Image.fromarray(np.where(np.maximum(across, down).max(2) > THRESHOLD, 0, 255).astype(np.uint8))


def grey(image: Image.Image) -> Image.Image:
    """Return the luma of an image, as RGB."""
    return image.convert("L").convert("RGB")


def coarse(image: Image.Image, pixels: int) -> Image.Image:
    """Return an image of the same size that has the detail of one ``pixels`` wide and high; both ways bicubic."""
    return image.resize((pixels, pixels), Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


def paths_of(images: Path, train: str | None, val: str | None) -> dict[str, list[Path]]:
    """Return the files of each split, sorted by name."""
    if train is not None and val is not None:
        return {split: files(images / folder) for split, folder in (("train", train), ("val", val))}
    paths = files(images)
    return {
        "train": [path for index, path in enumerate(paths) if index % HELD_OUT],
        "val": paths[::HELD_OUT],
    }


def files(folder: Path) -> list[Path]:
    """Return the images in a folder, sorted by name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    if not paths:
        raise SystemExit(f"{folder} has no images of the kinds .png, .jpg, .jpeg")
    return paths


def main() -> None:
    """Write both sides of each split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("outlines", "grey", "coarse"))
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", help="the folder in IMAGES of the training images")
    parser.add_argument("--val", help="the folder in IMAGES of the validation images")
    parser.add_argument("--size", type=int, help="the side of the images in pixels; default: their own")
    parser.add_argument("--pixels", type=int, default=16, help="the side of coarse images; default: %(default)s")
    words = parser.parse_args()
    if (words.train is None) != (words.val is None):
        raise SystemExit("--train and --val are named together")
    made: dict[str, Callable[[Image.Image], Image.Image]]
    made = {"outlines": outlines, "grey": grey, "coarse": partial(coarse, pixels=words.pixels)}
    for split, paths in paths_of(words.images, words.train, words.val).items():
        sides = [words.out / side / split for side in "AB"]
        for folder in sides:
            folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            if words.size is not None:
                image = ImageOps.fit(image, (words.size, words.size), Image.Resampling.LANCZOS)
            for folder, side in zip(sides, (made[words.kind](image), image), strict=True):
                side.save(folder / f"{path.stem}.png")
        print(f"{words.out}: {split}, {len(paths)} pairs")


if __name__ == "__main__":
    main()
