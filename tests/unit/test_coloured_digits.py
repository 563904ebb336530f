"""The digits of docs/dtn.md that `benchmarks/coloured_digits.py` writes."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import coloured_digits


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.tobytes()))


def write_digits(folder: Path, part: str, count: int, side: int) -> None:
    folder.mkdir(exist_ok=True)
    images = np.zeros((count, side, side), np.uint8)
    images[:, side // 4 : -side // 4, side // 3 : -side // 3] = 255
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)


def test_roots_of_both_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_digits(tmp_path / "usps", "train", 20, 16)
    write_digits(tmp_path / "usps", "test", 10, 16)
    write_digits(tmp_path / "mnist", "t10k", 20, 28)
    words = [str(tmp_path / name) for name in ("usps", "mnist", "out")]
    monkeypatch.setattr(sys, "argv", ["coloured_digits.py", *words, "--variants", "2"])
    coloured_digits.main()
    counts = {
        split: {domain: len(list((tmp_path / "out/transfer" / split / domain).iterdir())) for domain in domains}
        for split, domains in (("train", ("coloured", "target")), ("val", ("coloured", "target")))
    }
    assert counts == {"train": {"coloured": 40, "target": 16}, "val": {"coloured": 10, "target": 4}}
    for path in (tmp_path / "out/labelled").rglob("*.png"):
        assert path.name[0] == path.parent.name  # the folder is the digit
    pixels = np.asarray(Image.open(next((tmp_path / "out/transfer/train/target").iterdir())))
    assert pixels.shape == (32, 32, 3)
    assert (pixels == pixels[:, :, :1]).all()


def test_colours_of_digit_and_background_are_distant() -> None:
    ink = torch.zeros(64, 16, 16)
    ink[:, 4:12, 4:12] = 1
    images = coloured_digits.coloured(ink, torch.Generator().manual_seed(0))
    assert images.shape == (64, 3, 32, 32)
    assert images.min() >= 0
    assert images.max() <= 1
    luminance = torch.einsum("nchw,c->nhw", images, coloured_digits.LUMINANCE)
    difference = luminance[:, 15:17, 15:17].mean((1, 2)) - luminance[:, :2].mean((1, 2))
    assert (difference.abs() > 0.1).float().mean() > 0.9
    assert 0.2 < (difference > 0).float().mean() < 0.8  # digits brighter and darker than their background
