"""Draw what several runs make of the same sources: at the left the sources, then a column or two for each run.

    python benchmarks/ablation_grid.py docs/images/ablation.png runs/a runs/b ...

The target is the domain after the source's own. Models that take codes are given two, the same for all of them; others
have one column.
"""

import sys
from pathlib import Path

from PIL import Image
from torch import Tensor

import translate
from translate import build
from translate.config.check import check
from translate.config.schema import read_yaml
from translate.grids import enlarged, grid, to_bytes

NUM_SOURCES = 6


def main() -> None:
    """Draw."""
    target, first, *others = map(Path, sys.argv[1:])
    data = build.build_data(check(read_yaml(first / "config.yaml")))
    held_out = data.held_out(NUM_SOURCES)
    names = [data.domains[(int(d) + 1) % len(data.domains)] for d in held_out.domain]
    columns: list[list[Tensor]] = []
    for folder in (first, *others):
        translator = translate.load(folder)
        for seed in (0, 1):
            if translator.guides:
                columns.append(list(translator.translate(held_out.image, target=names, seed=seed)))
            elif seed == 0:
                columns.append(list(translator.translate(held_out.image, target=names)))
    picture = grid(list(zip(*columns, strict=True)), left=list(held_out.image))
    Image.fromarray(to_bytes(enlarged(picture)).numpy()).save(target)


if __name__ == "__main__":
    main()
