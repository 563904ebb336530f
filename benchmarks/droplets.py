"""Measure droplets: few bright pixels that carry the deviation of a channel in the decoder of a StarGAN v2.

    python benchmarks/droplets.py RUN [RUN ...]

Instance norm divides by the deviation of a channel. A decoder can so write bright spots that decide how large all other
features are after the next norm, and they are seen as droplets (Karras et al., StyleGAN2, CVPR 2020, section 2). The
table has, for each part of the generator, the share of a channel's variance that is in the outermost 1/256 of its
pixels: the mean over channels and held-out images of the run, by random codes of the last domain. Normal noise has 0.04
at 64 px; encoders are a comparison from the same run. ``peak`` is the largest distance to the mean, in deviations.
"""

import argparse
from pathlib import Path

from torch import Tensor, nn

import translate
from translate.config.check import check
from translate.config.schema import read_yaml
from translate.training import build

NUM_IMAGES = 24
OUTERMOST = 256
"""One of so many pixels counts as outermost."""


def share_of_outermost(features: Tensor) -> tuple[float, float]:
    """Return the share of the variance in the outermost pixels, and the peak, of features (B, C, H, W)."""
    squares = (features - features.mean((2, 3), keepdim=True)).square().flatten(2)
    count = max(1, squares.shape[2] // OUTERMOST)
    share = squares.topk(count, dim=2).values.sum(2) / squares.sum(2).clamp(min=1e-12)
    peak = (squares.amax(2) / squares.mean(2).clamp(min=1e-12)).sqrt()
    return float(share.mean()), float(peak.mean())


def shares(folder: Path) -> dict[str, tuple[float, float]]:
    """Return the share and the peak after each block of the generator of a run, by the name of the block."""
    held_out = build.build_data(check(read_yaml(folder / "config.yaml"))).held_out(NUM_IMAGES)
    translator = translate.load(folder)
    generator = translator.translation.networks["generator"]
    found: dict[str, tuple[float, float]] = {}

    def after(name: str, block: nn.Module) -> None:
        block.register_forward_hook(lambda _, __, output: found.update({name: share_of_outermost(output)}))

    for part in ("encode", "decode"):
        for number, block in enumerate(generator.get_submodule(part).children()):
            after(f"{part}.{number}", block)
    translator.translate(held_out.image, target=translator.domains[-1], seed=0, batch_size=NUM_IMAGES)
    return found


def main() -> None:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    for folder in parser.parse_args().runs:
        print(f"\n{folder.name}\n\n| after | share of the outermost 1/{OUTERMOST} | peak |\n| --- | ---: | ---: |")
        for name, (share, peak) in shares(folder).items():
            print(f"| {name} | {share:.3f} | {peak:.1f} |")


if __name__ == "__main__":
    main()
