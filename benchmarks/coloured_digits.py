"""Write the digits of docs/dtn.md: coloured source digits, labelled for f, and grey target digits.

    python benchmarks/coloured_digits.py USPS MNIST OUT --variants 6

USPS and MNIST are folders of gzip-compressed idx files, `<part>-images-idx3-ubyte.gz` and
`<part>-labels-idx1-ubyte.gz`.
The parts are `train` and `test` (or `t10k`); if one part is there, its last fifth is held out. A source digit becomes
`--variants` training images and one held-out image of 32 px. Each has a scale, slant, angle and place of its own, two
distant colours with a gradient, blur and noise. Nothing else is drawn, so SVHN is harder. The target digits are grey
and are not changed.

OUT/labelled has a folder for each digit, as `model=classifier` reads it; OUT/transfer has the domains `coloured` and
`target` with names that begin with the digit. The training images of both roots are the same.
"""

import argparse
import gzip
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SIDE = 32
NOISE = 0.04  # standard deviation at most, for values in [0, 1]
DISTANCE = 0.25  # of the luminances of both colours, at least
LUMINANCE = torch.tensor([0.299, 0.587, 0.114])
Digits = tuple[Tensor, Tensor]
"""Images (N, H, W) in [0, 1], digits bright, and their labels (N,)."""


def read_idx(path: Path) -> np.ndarray:
    """Return the array of unsigned bytes in a gzip-compressed idx file."""
    with gzip.open(path) as file:
        raw = file.read()
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", dimensions, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(tuple(map(int, shape)))


def read_digits(folder: Path) -> dict[str, Digits]:
    """Return the digits of the splits train and val of a folder of idx files."""
    parts = {}
    for name in ("train", "test", "t10k"):
        images = folder / f"{name}-images-idx3-ubyte.gz"
        if images.exists():
            pixels = torch.from_numpy(read_idx(images).copy()).float() / 255
            labels = torch.from_numpy(read_idx(folder / f"{name}-labels-idx1-ubyte.gz").astype(np.int64))
            parts["train" if name == "train" else "val"] = (pixels, labels)
    if not parts:
        raise SystemExit(f"{folder} has no train-images-idx3-ubyte.gz and no t10k-images-idx3-ubyte.gz")
    if len(parts) == 1:
        (images, labels) = next(iter(parts.values()))
        cut = len(images) * 4 // 5
        parts = {"train": (images[:cut], labels[:cut]), "val": (images[cut:], labels[cut:])}
    return parts


def coloured(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Return digits (N, H, W) in random colours, places and shapes: (N, 3, 32, 32) in [0, 1]."""

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(digits), *shape, generator=generator)

    # from a place in the result to one in the digit: scale < 1 in the result is > 1 here
    angle, slant = draw(-0.25, 0.25), draw(-0.2, 0.2)
    scale = 1 / draw(0.6, 1.0)
    rotation = torch.stack([angle.cos(), -angle.sin() + slant, angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    free = (scale - 1)[:, None]  # a small digit has more room
    shift = draw(-1, 1, 2) * free * 0.8
    matrix = torch.cat([rotation * scale[:, None, None], shift[:, :, None]], 2)
    grid = F.affine_grid(matrix, [len(digits), 1, SIDE, SIDE], align_corners=False)
    ink = F.grid_sample(digits[:, None], grid, mode="bilinear", align_corners=False)
    blurred = F.avg_pool2d(F.pad(ink, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = draw(0, 0.6, 1, 1, 1)
    ink = ink * (1 - share) + blurred * share

    background, foreground = draw(0, 1, 3), draw(0, 1, 3)
    while True:
        near = ((background - foreground) @ LUMINANCE).abs() < DISTANCE
        if not near.any():
            break
        foreground[near] = torch.rand(int(near.sum()), 3, generator=generator)
    ramp = torch.linspace(-1, 1, SIDE)
    slope = draw(-0.12, 0.12, 3, 2)
    gradient = slope[:, :, :1, None] * ramp[:, None] + slope[:, :, 1:, None] * ramp
    images = background[:, :, None, None] * (1 - ink) + foreground[:, :, None, None] * ink + gradient
    noise = torch.randn(images.shape, generator=generator) * draw(0, NOISE, 1, 1, 1)
    return (images + noise).clamp(0, 1)


def grey(digits: Tensor) -> Tensor:
    """Return digits (N, H, W) in three equal channels, (N, 3, 32, 32) in [0, 1]."""
    images = F.interpolate(digits[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)
    return images.expand(-1, 3, -1, -1)


def write(images: Tensor, labels: Tensor, variant: int, transfer: Path, labelled: Path | None) -> None:
    """Write images (N, 3, 32, 32) under names that begin with the digit, and links to them by digit."""
    transfer.mkdir(parents=True, exist_ok=True)
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for row, (image, digit) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        path = transfer / f"{digit}_{row:05}_{variant}.png"
        Image.fromarray(image).save(path)
        if labelled is not None:
            (labelled / str(digit)).mkdir(parents=True, exist_ok=True)
            os.link(path, labelled / str(digit) / path.name)


def main() -> None:
    """Write both roots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--variants", type=int, default=6, help="training images of a source digit")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.out.exists():
        raise SystemExit(f"{arguments.out} exists")
    generator = torch.Generator().manual_seed(arguments.seed)
    labelled, transfer = arguments.out / "labelled", arguments.out / "transfer"
    for split, (digits, labels) in read_digits(arguments.source).items():
        for variant in range(arguments.variants if split == "train" else 1):
            images = coloured(digits, generator)
            write(images, labels, variant, transfer / split / "coloured", labelled / split)
    for split, (digits, labels) in read_digits(arguments.target).items():
        write(grey(digits), labels, 0, transfer / split / "target", None)


if __name__ == "__main__":
    main()
