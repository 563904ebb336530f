"""Write MNIST and USPS as two domains whose digits have one size and place, for `experiments=cyclegan/digits`.

    python benchmarks/framed_digits.py MNIST USPS OUT

MNIST and USPS are folders of gzip-compressed idx files, see coloured_digits.py. MNIST leaves a border of four pixels
around a digit and USPS none, so a translation would have to shrink or grow. Here the box around the ink of a digit is
made 24 px at its longer side, in the middle of 32 px; what else differs between the two sets stays.

OUT has the folders train/mnist, train/usps, test/mnist and test/usps; names of files begin with the digit.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from coloured_digits import SIDE, read_digits, write
from torch import Tensor

BOX = 24
"""The longer side of a digit in pixels."""
INK = 0.2
"""Where a pixel is ink: more than this part of the brightest one of the digit."""


def framed(digits: Tensor) -> Tensor:
    """Return digits (N, H, W) in [0, 1] with their boxes of one size, in three equal channels, (N, 3, 32, 32)."""
    images = torch.zeros(len(digits), SIDE, SIDE)
    for image, digit in zip(images, digits, strict=True):
        ink = digit > INK * digit.max()
        rows, columns = (ink.any(1 - axis).nonzero().flatten() for axis in (0, 1))
        box = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = BOX / max(box.shape)
        height, width = (max(1, round(side * scale)) for side in box.shape)
        top, left = (SIDE - height) // 2, (SIDE - width) // 2
        image[top : top + height, left : left + width] = F.interpolate(
            box[None, None], (height, width), mode="bicubic", align_corners=False, antialias=True
        )[0, 0]
    return images.clamp(0, 1)[:, None].expand(-1, 3, -1, -1)


def main() -> None:
    """Write both domains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("usps", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.out.exists():
        raise SystemExit(f"{arguments.out} exists")
    for domain, folder in (("mnist", arguments.mnist), ("usps", arguments.usps)):
        for split, (digits, labels) in read_digits(folder).items():
            place = arguments.out / ("train" if split == "train" else "test") / domain
            write(framed(digits), labels, 0, place, None)
            print(f"{place}: {len(digits)} digits")


if __name__ == "__main__":
    main()
