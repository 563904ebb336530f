"""Measure what a run of fast style transfer has learned, on held-out images.

    python benchmarks/style_scores.py RUN [COUNT]

Rows: the sources as they are, the initialized network, and the trained one (the moving average, if the run keeps one).
Columns: the terms of the training loss without weights, the loss, and the structural similarity to the source. For the
style image itself the style term is 0.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from translate.config.resume import resumed
from translate.metrics.content import SsimSourceLocal
from translate.models.fast_style import FastStyle
from translate.runs import checkpoints
from translate.training import build

COUNT = 48
BATCH = 8


@torch.no_grad()
def scores(model: FastStyle, x: Tensor, y: Tensor) -> dict[str, float]:
    """Return the terms, the loss and the similarity of translations y (B, 3, H, W) of images x, means over batches."""
    rows = []
    for sources, outputs in zip(x.split(BATCH), y.split(BATCH), strict=True):
        model.terms.clear()
        loss = model.transformer_loss(sources, outputs)
        terms = {name.removeprefix("transformer/"): value for name, value in model.terms.items()}
        rows.append({**terms, "loss": loss, "SSIM": SsimSourceLocal().read([outputs], sources).mean()})
    return {name: torch.stack([row[name] for row in rows]).mean().item() for name in rows[0]}


@torch.no_grad()
def translated(model: FastStyle, x: Tensor) -> Tensor:
    """Return the translations by the network that is used after training, clipped as `apply` does."""
    target = torch.zeros(BATCH, dtype=torch.int64)
    return torch.cat([model.translate(part, target[: len(part)]).clamp(-1, 1) for part in x.split(BATCH)])


def main() -> None:
    """Print the table of a run."""
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else COUNT
    config = resumed(run, [])
    data, model = build.build_data(config), build.build_model(config)
    assert isinstance(model, FastStyle), f"{run} is a run of {config.model.name}"
    x = data.held_out(count).image
    rows = {"source": scores(model, x, x), "untrained": scores(model, x, translated(model, x))}
    checkpoints.restore_networks(model, checkpoints.newest(run))
    rows["translations"] = scores(model, x, translated(model, x))
    print(f"{run}, iteration {checkpoints.newest(run).iteration}, {len(x)} held-out images")
    print(f"{'':14}" + "".join(f"{name:>12}" for name in rows["source"]))
    for label, row in rows.items():
        print(f"{label:14}" + "".join(f"{value:12.5g}" for value in row.values()))


if __name__ == "__main__":
    main()
