"""Measure whether an iteration of ComboGAN costs the same for 2, 4 and 8 domains: its time, and the memory by kind.

    python benchmarks/domain_cost.py [ROUNDS] [OVERRIDE ...]

The sizes are those of the small preset at 32 px, batch 8, on one thread. The models take turns, so that a busy machine
slows all of them alike; the time is the median over rounds. Memory is what tensors hold at the peak of an iteration:
parameters and optimizer states grow with the number of domains, activations do not.
"""

import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from translate.config.compose import load
from translate.models.base import TranslationModel
from translate.profiling import memory
from translate.training import build

DOMAINS = (2, 4, 8)
WORLD = ("bear", "cat", "dog", "fox", "pig", "rabbit")
SMALL = ("model=combogan_small", "data=critters", "metrics=none", "trainer=cpu", "trainer.threads=1")
TINY_WORLD = ("data.num_images=60", "data.num_val_images=12", "data.cache=null")


def made(count: int, overrides: list[str]) -> tuple[TranslationModel, list[Any]]:
    """Return a model of so many domains and batches of as many pairs; beyond six domains the images repeat."""
    config = load([*SMALL, *TINY_WORLD, f"data.domains=[{','.join(WORLD[:count])}]", *overrides])
    data = build.build_data(config)
    batches = [data.augment(data.iterations()[number]) for number in range(count)]
    pairs = [(number, (number + 1) % count) for number in range(count)]
    networks = {role: {**node, "num_domains": count} for role, node in config.model.networks.items()}
    model = build.build_model(replace(config, model=replace(config.model, networks=networks)))
    return model, [batch._replace(domain_a=a, domain_b=b) for batch, (a, b) in zip(batches, pairs, strict=True)]


def main() -> None:
    """Measure and print a table."""
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdigit() else 10
    torch.set_num_threads(1)
    models = {count: made(count, words) for count in DOMAINS}
    for model, batches in models.values():
        for batch in batches:  # every domain has optimizer states afterwards
            model.training_step(batch, 0)
    times: dict[int, list[float]] = {count: [] for count in DOMAINS}
    for number in range(rounds):
        for count, (model, batches) in models.items():
            begin = time.perf_counter()
            model.training_step(batches[number % count], 0)
            times[count].append(time.perf_counter() - begin)
    least = statistics.median(times[DOMAINS[0]])
    columns = ("domains", "ms", "ratio", "parameters, MB", "optimizers, MB", "activations, MB")
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for count in DOMAINS:
        model, batches = made(count, words)
        peak = memory.measure_peak(model, batches[0], "32-true")
        median = statistics.median(times[count])
        kinds = (memory.PARAMETERS, memory.OPTIMIZERS, memory.ACTIVATIONS)
        numbers = [f"{peak.kinds[kind] / 1e6:.1f}" for kind in kinds]
        print(f"| {count} | {1000 * median:.0f} | {median / least:.2f} | {' | '.join(numbers)} |")


if __name__ == "__main__":
    main()
