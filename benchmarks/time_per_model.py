"""Measure the time of an iteration of the models, as a ratio to CycleGAN: the small presets, or the official sizes.

    python benchmarks/time_per_model.py [ROUNDS] [official] [OVERRIDE ...]

Small presets train at 32 px, batch 8, on the built-in data. "official" takes the widths of the papers at 128 px, batch
1. All run on one thread. The models take turns of one iteration, and the time is the processor time of this process, so
other programs change little; the time is the median over rounds. An iteration is a whole round of updates, so a model
with more updates does more in it. Models that need the weights of another run (DTN, later stages of IcGAN and DIAT) are
not in the list, and models that cannot take these images or batches are left out.
"""

import statistics
import sys
import time
from typing import Any

import torch

from translate.config.compose import load
from translate.errors import UserError
from translate.models.base import TranslationModel
from translate.training import build

SMALL = (
    *("cyclegan_small", "cut_small", "dclgan_small", "stargan_v1_small", "stargan_v2_small", "pix2pix_small"),
    *("unit_small", "combogan_small", "xgan_small", "diat_small", "diat_a_small", "srresnet_small", "srgan_small"),
    *("fast_style_small", "icgan", "autoencoder", "classifier"),  # the last three have one size
)
OFFICIAL = (
    *("cyclegan", "cut", "fastcut", "dclgan", "stargan_v1", "stargan_v2", "pix2pix", "unit", "unit_paper", "combogan"),
    *("xgan", "icgan", "diat", "srresnet"),
)
"""Presets; the first one is that of the ratio."""
COMMON = ("metrics=none", "trainer=cpu", "trainer.threads=1", "data.num_images=60", "data.num_val_images=12")
PAIRS = ("critters_outlines", "critters")  # the first for models that need pairs
SMALL_IMAGES = ("data.image_size=32", "data.batch_size=8", "data.cache=null")
OFFICIAL_IMAGES = ("data.image_size=128", "data.batch_size=1", "data.cache=null")


def made(name: str, sizes: tuple[str, ...], overrides: list[str]) -> tuple[TranslationModel, Any] | None:
    """Return a model that has trained once, and a batch for it; None where it cannot take these images or batches."""
    for data in PAIRS if name.startswith("pix2pix") else reversed(PAIRS):
        try:
            config = load([f"model={name}", f"data={data}", *COMMON, *sizes, *overrides])
            loaded = build.build_data(config)
            model, batch = build.build_model(config), loaded.augment(loaded.iterations()[0])
            model.training_step(batch, 0)  # creates optimizers and warms up
            return model, batch
        except UserError as error:
            reason = str(error).splitlines()[0]
    print(f"{name} is left out: {reason}", file=sys.stderr)
    return None


def main() -> None:
    """Measure and print a table."""
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdigit() else 5
    is_official = "official" in words
    overrides = [word for word in words if word != "official"]
    torch.set_num_threads(1)
    names, sizes = (OFFICIAL, OFFICIAL_IMAGES) if is_official else (SMALL, SMALL_IMAGES)
    models = {name: pair for name in names if (pair := made(name, sizes, overrides))}
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, (model, batch) in models.items():
            begin = time.process_time()
            model.training_step(batch, 0)
            times[name].append(time.process_time() - begin)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| model | ms | ratio |\n| --- | ---: | ---: |")
    for name, seconds in medians.items():
        print(f"| `{name}` | {1000 * seconds:.0f} | {seconds / medians[names[0]]:.2f} |")


if __name__ == "__main__":
    main()
