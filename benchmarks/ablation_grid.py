"""Draw what several runs make of the same sources: at the left the sources, then a column or two for each run.

    python benchmarks/ablation_grid.py docs/images/ablation.png runs/a runs/b ...

The target is the domain after the source's own. Models that take codes are given two, the same for all of them; others
have one column. Of models that take attributes the first column changes the first, a second one the last.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

import translate
from translate.config.check import check
from translate.config.schema import read_yaml
from translate.data.batches import HeldOut
from translate.inference.grids import Grid
from translate.training import build

NUM_SOURCES = 6


def targets(held_out: HeldOut, domains: Sequence[str], label_sets: Sequence[dict[str, Any]]) -> list[Any]:
    """Return what images are to become, for each column."""
    if all(labels["kind"] == "classes" for labels in label_sets):
        return [[domains[(int(d) + 1) % len(domains)] for d in held_out.domain]]
    changed = [held_out.label.clone() for _ in range(2)]
    for label, place in zip(changed, (0, -1), strict=True):
        label[:, place] = 1 - label[:, place]
    return changed


def main() -> None:
    """Draw."""
    picture, first, *others = map(Path, sys.argv[1:])
    data = build.build_data(check(read_yaml(first / "config.yaml")))
    held_out = data.held_out(NUM_SOURCES)
    columns: list[list[Tensor]] = []
    for folder in (first, *others):
        translator = translate.load(folder)
        for target in targets(held_out, data.domains, translator.about.label_sets):
            style_inputs: list[dict[str, Any]] = [{"seed": 0}, {"seed": 1}] if translator.style_inputs else [{}]
            columns += [list(translator.translate(held_out.image, target=target, **guide)) for guide in style_inputs]
    grid = Grid(list(zip(*columns, strict=True)), left=list(held_out.image))
    Image.fromarray(grid.pixels()).save(picture)


if __name__ == "__main__":
    main()
