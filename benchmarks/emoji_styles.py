"""Measure a model of several drawing styles against the true answers: the same emoji, drawn by the other hand.

    python benchmarks/emoji_styles.py RUN [RUN ...] --drawings DRAWINGS [--grid FILE]

A run translates between the styles that are its domains, or its labels of StarGAN v1. DRAWINGS is the root of the data
set emoji: a folder for each style with train/ and val/, where equal names are the same emoji. Every ordered pair of
styles is measured on all held-out names, at the run's image size: PSNR, SSIM, the share of pixels whose channels are
all within 16 levels of 255, grain and speckle. StarGAN v2 translates by the mean style of a domain, or with ``--style
source`` by what the target's style encoder reads from the source itself, whose colours it keeps.

A classifier of styles is trained here, on the training images: neither a run nor its images made it. ``style`` is the
share of translations that it takes for the target's. The rows ``source`` and ``real`` are the images as they are, and
the true answers. ``--grid`` draws held-out emoji of each style at the left, and their translations to all styles.
"""

import argparse
import statistics
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import translate
from translate.data.datasets.emoji import Emoji
from translate.inference.grids import Grid
from translate.inference.images import to_images
from translate.inference.translator import StyleArguments, Translator
from translate.metrics.grain import Grain, eight_bits
from translate.metrics.paired import PixelAccuracyPaired, PsnrPaired, SsimPaired
from translate.sizes import SizeLike

EPOCHS, BATCH = 6, 32
SHOWN = 12  # rows of the grid
SCORES = ("PSNR", "SSIM", "pixel accuracy", "style", "grain", "speckle")
Split = dict[str, Tensor]
"""The images (N, 3, S, S) in [-1, 1] of each style; item k is the same emoji in all of them."""


def read(root: Path, styles: Sequence[str], split: str, size: SizeLike) -> Split:
    """Return the emoji of the names that all styles have."""
    files = Emoji(str(root), split=split, domains=styles)
    images = to_images([root / name for name in files.names], size, "none")
    return dict(zip(styles, images.chunk(len(styles)), strict=True))


def classifier(images: Split) -> nn.Module:
    """Return a network that tells the styles apart, trained on images that are shifted, mirrored and recoloured."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 24), (24, 48), (48, 96), (96, 96)):
        layers += [nn.Conv2d(before, after, 5, padding=2), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, len(images)))
    x = torch.cat(list(images.values()))
    y = torch.arange(len(images)).repeat_interleave(len(x) // len(images))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    steps = EPOCHS * len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,))
        batch = x[chosen].roll(tuple(torch.randint(-4, 5, (2,)).tolist()), (2, 3))
        batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
        gains = 1 + 0.1 * torch.randn(BATCH, 3, 1, 1)
        optimizer.zero_grad()
        F.cross_entropy(network(1 - (1 - batch) * gains), y[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def measured(images: Tensor, sources: Tensor, answers: Tensor, target: int, judge: nn.Module) -> list[float]:
    """Return the scores of translations against the true answers, in the order of `SCORES`."""
    x, y = eight_bits(images), eight_bits(answers)
    noise = Grain(None).read([images], sources)[:, 1:3].nanmean(0)
    return [
        *(float(metric.read(x, y).mean()) for metric in (PsnrPaired(), SsimPaired(), PixelAccuracyPaired())),
        float((judge(images).argmax(1) == target).double().mean()),
        *noise.tolist(),
    ]


def translated(translator: Translator, images: Tensor, target: str, by: str = "mean") -> Tensor:
    """Return images translated to a style; StarGAN v2 ``by`` the mean style, or that of the source."""
    style: StyleArguments = {}
    if translator.about.model == "stargan_v2":
        style = {"psi": 0.0, "seed": 0} if by == "mean" else {"reference": images}
    return cast(Tensor, translator.translate(images, target=target, **style))


def row(name: str, scores: Sequence[float]) -> str:
    """Return a row of the table."""
    return f"| {name} | " + " | ".join(f"{score:.3f}" for score in scores) + " |"


def grid_of(translator: Translator, held_out: Split, by: str) -> Grid:
    """Return a grid: a source at the left, its translations to all styles, then the true drawings of all styles."""
    styles = list(held_out)
    count = len(held_out[styles[0]])
    rows, left = [], []
    for place in range(SHOWN):
        own, name = styles[place % len(styles)], place * count // SHOWN
        source = held_out[own][name]
        left.append(source)
        answers = [held_out[style][name] for style in styles]
        rows.append([*(translated(translator, source[None], style, by)[0] for style in styles), *answers])
    return Grid(rows, left=left, column_labels=[*styles, *(f"true {style}" for style in styles)])


def main() -> None:
    """Train the classifier, print a table for each run, and draw the grid."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", help="run folders, weights files, or names of weights")
    parser.add_argument("--drawings", required=True, type=Path)
    parser.add_argument("--style", choices=("mean", "source"), default="mean", help="of StarGAN v2")
    parser.add_argument("--grid", type=Path)
    args = parser.parse_args()
    translators = [translate.load(run) for run in args.runs]
    about = translators[0].about
    styles = about.domains or tuple(about.label_sets[0]["names"])
    size = about.image_size
    judge = classifier(read(args.drawings, styles, "train", size))
    held_out = read(args.drawings, styles, "val", size)
    pairs = list(permutations(styles, 2))
    rows: dict[str, list[list[float]]] = {"source": [], **{run: [] for run in args.runs}, "real": []}
    for source, target in pairs:
        x, y = held_out[source], held_out[target]
        outputs = [x, *(translated(translator, x, target, args.style) for translator in translators), y]
        for name, images in zip(rows, outputs, strict=True):
            rows[name].append(measured(images, x, y, styles.index(target), judge))
    for title, chosen in [
        ("mean over pairs", range(len(pairs))),
        *((" to ".join(p), [k]) for k, p in enumerate(pairs)),
    ]:
        print(f"\n{title}\n\n| | " + " | ".join(SCORES) + " |\n| --- |" + " --- |" * len(SCORES))
        for name, values in rows.items():
            print(row(name, [statistics.mean(values[k][place] for k in chosen) for place in range(len(SCORES))]))
    if args.grid:
        Image.fromarray(grid_of(translators[0], held_out, args.style).pixels()).save(args.grid)


if __name__ == "__main__":
    main()
