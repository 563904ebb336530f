"""The pairs that `benchmarks/pairs.py` writes."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pairs

Split = dict[str, tuple[np.ndarray, np.ndarray]]


def drawing(index: int, size: tuple[int, int]) -> Image.Image:
    """Return a red square on a blue ground, the more to the right the greater ``index`` is."""
    image = Image.new("RGB", size, (0, 0, 200))
    image.paste((250, 0, 0), (8 + index % 8, 8, 20 + index % 8, 24))
    return image


def pairs_of(out: Path, split: str) -> Split:
    """Return both sides of each pair by name."""
    names = sorted(path.name for path in (out / "A" / split).iterdir())
    assert names == sorted(path.name for path in (out / "B" / split).iterdir())
    read = [[np.asarray(Image.open(out / side / split / name)) for side in "AB"] for name in names]
    return {name: (first, second) for name, (first, second) in zip(names, read, strict=True)}


def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Split]:
    images = tmp_path / "images"
    for folder in (images, images / "train", images / "val"):
        folder.mkdir(exist_ok=True)
        for index in range(20):
            drawing(index, (48, 32)).save(folder / f"{index:02}.png")
    monkeypatch.setattr(sys, "argv", ["pairs.py", words[0], str(images), str(tmp_path / "out"), *words[1:]])
    pairs.main()
    return {split: pairs_of(tmp_path / "out", split) for split in ("train", "val")}


def test_outlines_are_black_where_the_colour_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write(tmp_path, monkeypatch, "outlines", "--train", "train", "--val", "val")
    outline, image = made["val"]["00.png"]
    assert image.shape == (32, 48, 3)
    assert (outline[16, [7, 8, 19, 20]] == 0).all()
    assert (outline[16, [0, 13, 30]] == 255).all()


def test_grey_images_of_the_middle_square(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write(tmp_path, monkeypatch, "grey", "--size", "16")
    assert list(made["val"]) == ["00.png", "10.png"]  # every tenth
    assert len(made["train"]) == 18
    grey, image = made["train"]["01.png"]
    assert grey.shape == image.shape == (16, 16, 3)
    assert (grey == grey[:, :, :1]).all()
    assert not (image == image[:, :, :1]).all()
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[:, :, 0] - luma).max() <= 1


def test_coarse_images_have_the_detail_of_few_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write(tmp_path, monkeypatch, "coarse", "--size", "32", "--pixels", "8")
    coarse, image = (side.astype(int) for side in made["val"]["00.png"])
    assert coarse.shape == image.shape == (32, 32, 3)
    steps = [np.abs(np.diff(side, axis=1)).max() for side in (coarse, image)]
    assert steps[0] < steps[1] / 2  # edges are soft
    assert np.abs(coarse.mean((0, 1)) - image.mean((0, 1))).max() < 5


def test_words_that_do_not_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="--train and --val are named together"):
        write(tmp_path, monkeypatch, "grey", "--train", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="has no images"):
        pairs.files(tmp_path / "empty")
