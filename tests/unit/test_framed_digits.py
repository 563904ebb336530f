"""The digits of one size and place that `benchmarks/framed_digits.py` writes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import framed_digits

from unit.test_coloured_digits import write_digits


def test_boxes_have_one_size_and_the_middle() -> None:
    digits = torch.zeros(3, 28, 28)
    digits[0, 2:12, 3:8] = 1  # twice as high as wide
    digits[1, 20:24, 4:24] = 0.5  # five times as wide as high, and not as bright
    digits[2, 5:25, 14] = 1  # one pixel wide
    images = framed_digits.framed(digits)
    assert images.shape == (3, 3, 32, 32)
    assert (images == images[:, :1]).all()
    for image, height, width in zip(images[:, 0], (24, 5, 24), (12, 24, 1), strict=True):
        rows, columns = (image.amax(1 - axis).nonzero().flatten() for axis in (0, 1))
        assert (len(rows), len(columns)) == (height, width)
        assert int(rows[0]) == (32 - height) // 2
        assert int(columns[0]) == (32 - width) // 2
    assert images[0].max() == 1
    assert images[1].max() == pytest.approx(0.5)


def test_two_domains_with_digits_in_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_digits(tmp_path / "usps", "train", 20, 16)
    write_digits(tmp_path / "usps", "test", 10, 16)
    write_digits(tmp_path / "mnist", "t10k", 20, 28)
    words = [str(tmp_path / name) for name in ("mnist", "usps", "out")]
    monkeypatch.setattr(sys, "argv", ["framed_digits.py", *words])
    framed_digits.main()
    names = {
        str(folder.relative_to(tmp_path / "out")): sorted(path.name[0] for path in folder.iterdir())
        for folder in (tmp_path / "out").glob("*/*")
    }
    assert {name: len(digits) for name, digits in names.items()} == {
        "train/mnist": 16,
        "test/mnist": 4,
        "train/usps": 20,
        "test/usps": 10,
    }
    assert names["test/usps"] == list("0123456789")
    pixels = np.asarray(Image.open(next((tmp_path / "out/test/usps").iterdir())))
    assert pixels.shape == (32, 32, 3)
    with pytest.raises(SystemExit, match="exists"):
        framed_digits.main()
