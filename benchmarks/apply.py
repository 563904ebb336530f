"""Measure `apply`: the difference that tiles make, a folder of many files, and one large image.

    python benchmarks/apply.py tiles                     # a tiled translation against one without tiles
    python benchmarks/apply.py tiles --image photo.jpg --weights latest_net_G.pth
    python benchmarks/apply.py folder                    # 2,000 files: memory and speed
    python benchmarks/apply.py large                     # one image of 100 megapixels
    python benchmarks/apply.py large --megapixels 25

Without ``--weights``, `tiles` and `large` have a residual generator of 8 channels with random weights, and `folder` the
weights that ship with the package. Images are smooth noise in JPEG files. Memory is the largest resident set of the
process that runs the command, and that of the same command on one small image is beside it.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from translate.inference import tiling
from translate.inference.sizes import SizeRule
from translate.inference.torch_engine import TorchEngine
from translate.inference.translator import Translator, load
from translate.weights.format import Weights, build

TILE = 512 * 512  # pixels of a tile
SMALL = 50  # files of the run to which the memory of many is compared

CHILD = """
import json, resource, sys, time
from translate.cli import main
begin = time.perf_counter()
code = main(json.loads(sys.argv[1]))
print(json.dumps([code, time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    tiles = kinds.add_parser("tiles", help="the difference to a translation without tiles")
    tiles.add_argument("--image", type=Path, help="an image of 1,400 x 1,100 pixels or so; default smooth noise")
    folder = kinds.add_parser("folder", help="many files")
    folder.add_argument("--files", type=int, default=2_000)
    folder.add_argument("--weights", default="critters", help="as of the command apply")
    large = kinds.add_parser("large", help="one large image")
    large.add_argument("--megapixels", type=float, default=100)
    for each in (tiles, large):
        each.add_argument("--weights", help="of a fully convolutional network")
    asked = parser.parse_args()
    measures: dict[str, Callable[[argparse.Namespace], None]] = {
        "tiles": measure_tiles,
        "folder": measure_folder,
        "large": measure_large,
    }
    measures[asked.kind](asked)


# --- tiles --------------------------------------------------------------------------------------------------


def measure_tiles(asked: argparse.Namespace) -> None:
    """Print how far a tiled translation is from one without tiles, within overlaps of tiles and elsewhere.

    A step is the difference of the two translations' differences between neighbours in a row: a seam would raise it.
    """
    if asked.weights is None:
        translators = {f"{norm} norm": network(norm) for norm in ("instance", "batch")}
    else:
        translators = {asked.weights: load(asked.weights)}
    images = {"smooth noise": noise(1_100, 1_400, 40), "coarse pattern": noise(1_100, 1_400, 400)}
    if asked.image is not None:
        images = {asked.image.name: np.asarray(Image.open(asked.image).convert("RGB"))}
    heads = ("network", "image", "tiles", "mean", "elsewhere", "greatest", "elsewhere", "mean step", "elsewhere")
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    for name, translator in translators.items():
        for image, pixels in images.items():
            print(f"| {name} | {image} | {' | '.join(compared(translator.engine, pixels))} |", flush=True)


def compared(engine: TorchEngine, pixels: np.ndarray) -> list[str]:
    """Return the columns of one image: each measure in overlaps, and elsewhere."""
    if engine.sizes is None:
        sys.exit("these networks know one size, so images are not tiled")
    target = np.array([engine.reachable[0]])

    def run(x: np.ndarray) -> np.ndarray:
        return engine.translate(x[None], target)[0]

    whole = tiling.whole(run, pixels, engine.sizes, 10**9, deep=True)
    tiled = tiling.whole(run, pixels, engine.sizes, TILE, deep=True)
    overlaps, tiles = overlaps_of(pixels, engine.sizes)
    difference = np.abs(tiled - whole)
    steps = np.abs(np.diff(tiled, axis=1) - np.diff(whole, axis=1))
    measures = (
        *(part.mean() for part in (difference[overlaps], difference[~overlaps])),
        *(part.max() for part in (difference[overlaps], difference[~overlaps])),
        *(part.mean() for part in (steps[overlaps[:, 1:]], steps[~overlaps[:, 1:]])),
    )
    return [str(tiles), *(f"{measure:.2f}" for measure in measures)]


def overlaps_of(pixels: np.ndarray, rule: SizeRule) -> tuple[np.ndarray, int]:
    """Return which pixels (H, W) of an image several tiles share, and the number of tiles."""
    height, width = pixels.shape[:2]
    tiles = tiling.Tiles.of(np.arange(rule.up(height)), np.arange(rule.up(width)), rule, TILE)
    counts = np.zeros((tiles.tops[-1] + tiles.height, tiles.lefts[-1] + tiles.width), int)
    for top in tiles.tops:
        for left in tiles.lefts:
            counts[top : top + tiles.height, left : left + tiles.width] += 1
    return counts[:height, :width] > 1, len(tiles.tops) * len(tiles.lefts)


# --- files --------------------------------------------------------------------------------------------------


def measure_folder(asked: argparse.Namespace) -> None:
    """Print the memory and the speed of many files, beside those of few."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        contents = [jpeg(noise(490, 670, 40, seed)) for seed in range(16)]
        print("| files | MB | files/s |\n| --- | --- | --- |")
        for count in (SMALL, asked.files):
            for number in range(count):
                (photos / f"{number:06d}.jpg").write_bytes(contents[number % len(contents)])
            words = [f"weights={asked.weights}", f"input={photos}", f"output={folder}/out_{count}"]
            seconds, megabytes = measured([*words, "seed=0", *first_target(asked.weights)])
            print(f"| {count:,} | {megabytes:.0f} | {count / seconds:.1f} |", flush=True)


def measure_large(asked: argparse.Namespace) -> None:
    """Print the memory and the time of one large image, beside those of a small one."""
    with tempfile.TemporaryDirectory() as folder:
        weights = asked.weights
        if weights is None:
            weights = f"{folder}/network.safetensors"
            network().save(weights)
        side = round((asked.megapixels * 1e6) ** 0.5)
        print("| image | MB | s |\n| --- | --- | --- |")
        for height, width in ((256, 256), (side, side)):
            path = Path(folder) / f"{width}.jpg"
            path.write_bytes(jpeg(noise(height, width, 64)))
            words = [f"weights={weights}", f"input={path}", f"output={folder}/out", *first_target(weights)]
            seconds, megabytes = measured(words)
            print(f"| {width:,} x {height:,} | {megabytes:.0f} | {seconds:.1f} |", flush=True)


def first_target(weights: str) -> list[str]:
    """Return the word for one target, so that an image has one translation."""
    translator = load(weights)
    names = translator.labels if translator.takes_labels else translator.domains
    reachable = translator.translation.reachable(len(names))
    return [f"target={names[reachable[0]]}"]


def measured(words: list[str]) -> tuple[float, float]:
    """Return the seconds of the command `apply` with these words, and the largest resident set in MB (10^6 bytes)."""
    command = [sys.executable, "-c", CHILD, json.dumps(["apply", "device=cpu", *words])]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        sys.exit(answer.stderr)
    code, seconds, kilobytes = json.loads(answer.stdout.splitlines()[-1])
    if code != 0:
        sys.exit(answer.stdout + answer.stderr)
    return seconds, kilobytes * 1024 / 1e6


def network(norm: str = "instance") -> Translator:
    """Return a translator with random weights; that with batch norm has no statistics of an image."""
    node = {"name": "resnet_generator", "base_width": 8, "num_blocks": 9, "norm": norm}
    torch.manual_seed(0)
    generator = build(node).train()
    with torch.no_grad():
        for _ in range(100):  # running statistics are those of an image
            generator(torch.from_numpy(tiling.to_input(noise(256, 256, 40)))[None])
    tensors = {f"network.generator_ab.{name}": tensor for name, tensor in generator.state_dict().items()}
    arguments = {"statistics": "running"}
    return Translator(Weights(tensors, "cyclegan", {"generator_ab": node}, 256, arguments, domains=("a", "b")))


def noise(height: int, width: int, cell: int, seed: int = 0) -> np.ndarray:
    """Return smooth noise (H, W, 3) uint8 whose colours change over ``cell`` pixels."""
    small = np.random.default_rng(seed).integers(0, 256, (height // cell + 2, width // cell + 2, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(pixels: np.ndarray) -> bytes:
    """Return pixels as a JPEG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG")
    return content.getvalue()


if __name__ == "__main__":
    main()
