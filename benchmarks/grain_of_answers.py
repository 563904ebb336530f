"""Measure the grain and the speckle of true answers: what a translation without a fault has on the built-in world.

    python benchmarks/grain_of_answers.py

A true answer is the same animal drawn as another species, in the same place, pose and colours. Its edges, such as the
ears of a rabbit in the flat background of a cat, count as grain. Rows: sources against themselves, true answers, and
true answers with normal noise of deviation 5 of 255; means over all ordered pairs of bear, cat and rabbit.
"""

from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from translate.data.datasets.critters import Critters
from translate.data.synthetic.factors import SPECIES, Factors
from translate.data.synthetic.painting import render
from translate.metrics.grain import Grain

NOISE = 5 / 127.5


def drawn(factors: Factors, size: int) -> Tensor:
    """Return drawings (n, 3, size, size) in [-1, 1]."""
    return torch.from_numpy(render(factors, size)).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    """Print a row for each size and kind of image."""
    data = Critters(split="val")
    each = len(data) // len(data.domains)
    print("| size | images | grain | speckle |\n| ---: | --- | ---: | ---: |")
    for size in (32, 64):
        rows: dict[str, list[Tensor]] = {}
        for a, b in permutations(range(len(data.domains)), 2):
            factors = data.factors.take(np.arange(a * each, (a + 1) * each))
            sources = drawn(factors, size)
            answers = drawn(factors.replace(species=np.full(each, SPECIES.index(data.domains[b]))), size)
            noise = NOISE * torch.randn(answers.shape, generator=torch.Generator().manual_seed(0))
            kinds = {"sources": sources, "true answers": answers, "with noise": (answers + noise).clamp(-1, 1)}
            kinds[f"{data.domains[a]} as {data.domains[b]}"] = answers
            for name, images in kinds.items():
                rows.setdefault(name, []).append(Grain(None).read([images], sources)[:, 1:3].nanmean(0))
        for name, values in rows.items():
            grain, speckle = torch.stack(values).mean(0).tolist()
            print(f"| {size} | {name} | {grain:.2f} | {speckle:.2f} |")


if __name__ == "__main__":
    main()
