"""Files that commands read beside runs and weights, with any damage: obeyed, or refused in a sentence."""

import json
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.battery import PLACES, Damage, assert_answered, call, damages, draw_image
from properties.budget import examples

SWEEP = """
objectives: {"style followed (R2), reference": maximize}
overrides: [model=stargan_v2_small, data.num_images=12, data.num_val_images=6]
space:
  model.optimizers.generator.lr: {low: 1.0e-4, high: 1.0e-2, log: true}
  model.optimizers.mapping.lr: [1.0e-4, 1.0e-3]
sampler: tpe
pruner: {name: median, by: generator/latent/style, direction: minimize, warmup: 200}
num_trials: 2
"""
PAPER = """
source: somebody
protocol: clean
rows:
  'a/*': {FID: 3.5, KID: {value: 1, spread: 0.5}}
"""
EXPERIMENT = """
# @package _global_
defaults: [{override /model: stargan_v2_small}, {override /data: critters}]
data: {num_images: 12, num_val_images: 6}
seed: 3
"""
SMALL_RUN = {
    "name": "a/b",
    "seed": 0,
    "model": {"name": "m"},
    "iterations": 10,
}
SCORES = {"protocol": "clean", "checkpoint": "last", "iteration": 10, "networks": "ema", "scores": {"FID": 3.0}}

ATTRIBUTES = "4\nMale Smiling\n" + "".join(f"{n}.png {n % 2 * 2 - 1} {n // 2 * 2 - 1}\n" for n in range(4))

COMMANDS = {
    "sweep.yaml": "sweep sweep=sweep.yaml",
    "paper.yaml": "table run paper=paper.yaml to=tables",
    "conf/experiments/mine.yaml": "show experiments=mine -cd conf",
    "celeba/list_attr_celeba.txt": "show data=celeba data.root=celeba model=stargan_v1_small data.image_size=32",
    "celeba/2.png": "doctor celeba measure=false",
    "pair/train/cat/1.png": "doctor data=folder data.root=pair measure=false",
    "out/translations.jsonl": "apply input=image.png output=out target=cat device=cpu",
    "image.png": "apply input=image.png output=again target=cat device=cpu overwrite=true",
    "photos/a.png": "grid input=image.png reference=photos output=grid.png device=cpu side=64",
    "users.txt": "serve auth=users.txt open=false",
    "my_lab.py": "list networks plugins=[my_lab]",
    "mean.npz": "align input=image.png output=aligned weights=wing.ckpt mean=mean.npz",
    "wing.ckpt": "align input=image.png output=aligned weights=wing.ckpt mean=mean.npz",
    "graph.onnx": "apply weights=graph.onnx input=image.png output=onnx",
}
"""A file, and the command that reads it."""

STRUCTURED = ("sweep.yaml", "paper.yaml", "conf/experiments/mine.yaml", "out/translations.jsonl")


def write_files(place: Path) -> None:
    """Write all files and folders that the commands read, undamaged."""
    for folder in ("celeba/images", "conf/experiments", "photos", "run/metrics", "pair/train/cat", "pair/train/dog"):
        (place / folder).mkdir(parents=True)
    for folder in ("pair/val/cat", "pair/val/dog"):
        (place / folder).mkdir(parents=True)
    (place / "sweep.yaml").write_text(SWEEP)
    (place / "paper.yaml").write_text(PAPER)
    (place / "conf/experiments/mine.yaml").write_text(EXPERIMENT)
    (place / "celeba/list_attr_celeba.txt").write_text(ATTRIBUTES)
    (place / "run/config.yaml").write_text(json.dumps(SMALL_RUN))
    (place / "run/metrics/clean_last.json").write_text(json.dumps(SCORES))
    (place / "users.txt").write_text("me:secret\n")
    (place / "my_lab.py").write_text("from translate.registry.registry import NETWORKS\n")
    for name in ("wing.ckpt", "mean.npz", "graph.onnx"):
        (place / name).write_bytes(bytes(range(200)))
    for number in range(4):
        draw_image(place / f"celeba/images/{number}.png")
        draw_image(place / f"celeba/{number}.png")
    for folder in ("photos", "pair/train/cat", "pair/train/dog", "pair/val/cat", "pair/val/dog"):
        for name in ("a", "1"):
            draw_image(place / folder / f"{name}.png")
    draw_image(place / "image.png")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("files") / "all"
    place.mkdir()
    write_files(place)
    with chdir(place), pytest.MonkeyPatch.context() as patch:
        patch.setattr("translate.sweeps.optuna_study.StudyRunner.run", lambda self: 0)
        patch.setattr("translate.serving.server.server", _interrupted)
        assert call(COMMANDS["out/translations.jsonl"].split()).code == 0
        yield place


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def try_command(files: Path, name: str, befall: Damage) -> None:
    with TemporaryDirectory() as folder:
        place = Path(shutil.copytree(files, Path(folder) / "place"))
        befall(place / name)
        with chdir(place), pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(place))
            words = COMMANDS[name].split()
            assert_answered(call(words), words, (0, 1, 2))


@examples(25)
@given(st.sampled_from(STRUCTURED), damages(structured=True))
def test_damaged_texts(files: Path, name: str, befall: Damage) -> None:
    try_command(files, name, befall)


@examples(25)
@given(st.sampled_from([name for name in COMMANDS if name not in STRUCTURED]), damages(structured=False))
def test_damaged_files(files: Path, name: str, befall: Damage) -> None:
    try_command(files, name, befall)


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a link to itself"])
@pytest.mark.parametrize("name", COMMANDS)
def test_something_else_in_the_place_of_a_file(files: Path, name: str, kind: str) -> None:
    try_command(files, name, PLACES[kind])
