"""Time training iterations against the recipes written plainly: in one process, in turns, on the same random batches.

    python benchmarks/against_plain.py stargan_v2 --size 256 --batch 1
    python benchmarks/against_plain.py stargan_v1 --size 128 --batch 16 --bf16
    python benchmarks/against_plain.py cyclegan --size 128 --batch 1 --rounds 5

The networks have the published widths. The plain side is always float32, without channels-last or fused optimizers.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from plain_cyclegan import PlainCycleGAN
from plain_stargan_v1 import PlainStarGANv1
from plain_stargan_v2 import PlainStarGANv2

from translate import build
from translate.artifacts import environment
from translate.config.compose import load
from translate.data.batches import LabelledBatch, ReferenceBatch, UnpairedBatch
from translate.models.base import TranslationModel

COMMON = [
    "data=critters",
    "data.cache=null",
    "data.num_images=6",
    "data.num_val_images=6",
    "metrics=none",
    "trainer=cpu",
]
OVERRIDES = {
    "stargan_v2": ["model.weights.generator.diversity=1"],
    "stargan_v1": ["data.labels=attributes", "data.attributes=[smiling,glasses,bow,striped,dark_coat]"],
    "cyclegan": [
        "~recipe",
        "data.domains=[cat,rabbit]",
        "model.pool_size=0",
        "model.networks.generator_ab.num_blocks=6",
    ],
}
Pair = tuple[Callable[[int], None], Callable[[int], None]]


def pair(name: str, model: TranslationModel, size: int, batch: int, device: torch.device) -> Pair:
    """Return functions of the iteration that do one, ours and plainly, on the same random batches."""
    states = {role: dict(model.network(role).named_parameters()) for role in model.roles}

    def image(k: int, number: int) -> torch.Tensor:
        return (
            torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(9 * k + number)).tanh().to(device)
        )

    if name == "stargan_v2":
        rates = {"generator": 1e-4, "mapping": 1e-6, "style_encoder": 1e-4, "discriminator": 1e-4}
        v2 = PlainStarGANv2(states, rates, diversity=1.0, decay=0.999)

        def reference_batch(k: int) -> ReferenceBatch:
            draws = torch.Generator().manual_seed(k)
            codes = [torch.randn(batch, 16, generator=draws).to(device) for _ in range(2)]
            domains = [torch.randint(3, (batch,), generator=draws).to(device) for _ in range(2)]
            return ReferenceBatch(image(k, 0), *domains, image(k, 1), image(k, 2), *codes)

        def plain_v2(k: int) -> None:
            b = reference_batch(k)
            v2.step(b.image, b.domain, b.target, (b.code, b.code2), (b.reference, b.reference2))

        return lambda k: model.training_step(reference_batch(k), k), plain_v2
    if name == "stargan_v1":
        v1 = PlainStarGANv1(states, 1e-4, num_critic=5)

        def labels(k: int) -> torch.Tensor:
            draws = torch.rand(2, batch, 5, generator=torch.Generator().manual_seed(k))
            return (draws > 0.5).float().to(device)

        def round_of_five(k: int) -> None:
            for j in range(5 * k, 5 * k + 5):
                model.training_step((LabelledBatch(image(j, 0), *labels(j)),), j)

        def plain_v1(k: int) -> None:
            for j in range(5 * k, 5 * k + 5):
                share = torch.rand(batch, 1, 1, 1, generator=torch.Generator().manual_seed(j)).to(device)
                v1.step(image(j, 0), *labels(j), share)

        return round_of_five, plain_v1
    cyclegan = PlainCycleGAN(states, 2e-4)
    return (
        lambda k: model.training_step(UnpairedBatch(image(k, 0), image(k, 1)), k),
        lambda k: cyclegan.step(image(k, 0), image(k, 1)),
    )


def timed(function: Callable[[int], None], k: int, device: torch.device) -> float:
    """Return the seconds of one call."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    function(k)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=list(OVERRIDES))
    parser.add_argument("--size", type=int, default=128, help="image side in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="our side under bfloat16 autocast")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", help="also write the figures to this file")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    config = load([f"model={asked.model}", *COMMON, *OVERRIDES[asked.model], f"data.image_size={asked.size}"])
    model = build.build_model(config).to(device)
    ours, plain = pair(asked.model, model, asked.size, asked.batch, device)
    cast: Any = torch.autocast(device.type, torch.bfloat16) if asked.bf16 else nullcontext()
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for k in range(asked.rounds + 1):
        for side in ("ours", "plain") if k % 2 else ("plain", "ours"):
            with cast if side == "ours" else nullcontext():
                took = timed(ours if side == "ours" else plain, k, device)
            if k:  # the first round warms up
                seconds[side].append(took)
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["plain"], strict=True)]
    found = {
        "model": asked.model,
        "size": asked.size,
        "batch": asked.batch,
        "precision": "bf16" if asked.bf16 else "float32",
        "seconds": seconds,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "environment": environment(0),
    }
    print(
        f"{asked.model}, {asked.size} px, batch {asked.batch}, {found['precision']}: ours "
        f"{statistics.median(seconds['ours']):.3g} s, plain {statistics.median(seconds['plain']):.3g} s, ratio "
        f"{found['ratio']:.3f} (from {min(ratios):.3f} to {max(ratios):.3f} in {asked.rounds} rounds)"
    )
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)


if __name__ == "__main__":
    main()
