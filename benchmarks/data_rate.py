"""Say how many augmented images a second one core makes from the cache, for each augmentation.

    python benchmarks/data_rate.py
    python benchmarks/data_rate.py --size 256 --batch 8

Images are those of the built-in world, decoded once into a cache in a folder that is removed at the end. The time is
that which the process computes for, in one thread, so other work on the machine counts less; that by the clock is told
beside it.
"""

import argparse
import tempfile
import time

import torch

from translate.config.compose import load
from translate.data.batches import RawImages
from translate.training import build

AUGMENTATIONS = ("none", "flip", "resize_crop_flip", "crop_flip")


def num_images(batch: object) -> int:
    """Return how many images a batch holds."""
    if isinstance(batch, RawImages):
        return len(batch.pixels)
    return sum(num_images(value) for value in batch) if isinstance(batch, tuple) else 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="image side in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=500, help="images in the cache")
    parser.add_argument("--batches", type=int, default=40)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for augment in AUGMENTATIONS:
        with tempfile.TemporaryDirectory() as folder:
            config = load(
                [
                    "model=stargan_v2",
                    f"data.image_size={asked.size}",
                    f"data.batch_size={asked.batch}",
                    f"data.num_images={asked.images}",
                    f"data.augment={augment}",
                    f"data.cache={folder}",
                ]
            )
            data = build.build_data(config)
            stream = data.iterations()
            seconds = {"fetching": 0.0, "augmenting": 0.0}
            count, began = 0, 0.0
            for k in range(asked.batches + 2):
                if k == 2:  # the first ones build and warm up
                    count, began, seconds = 0, time.perf_counter(), dict.fromkeys(seconds, 0.0)
                start = time.process_time()
                batch = stream[k]
                middle = time.process_time()
                data.augment(batch)
                seconds["fetching"] += middle - start
                seconds["augmenting"] += time.process_time() - middle
                count += num_images(batch)
            whole = sum(seconds.values())
            print(
                f"{augment}: {count / whole:,.0f} images of {asked.size} px a second of one core "
                f"(fetching {count / seconds['fetching']:,.0f}, augmenting {count / seconds['augmenting']:,.0f}; "
                f"{count / (time.perf_counter() - began):,.0f} by the clock)"
            )


if __name__ == "__main__":
    main()
