"""The script that measures a model of several styles knows true answers, and draws what it measured."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import emoji_styles

from translate.data.datasets.critters import Critters

NAMES = {"train": 8, "val": 4}


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    """Return styles of drawings, equal names the same animal: species in the place of the hands that draw."""
    for split, count in NAMES.items():
        for style in ("bear", "cat", "rabbit"):
            folder = tmp_path / "drawings" / style / split
            folder.mkdir(parents=True)
            world = Critters(count, count, split=split, domains=[style])
            for name, pixels in enumerate(world.read_many(np.arange(count), 64)):
                Image.fromarray(pixels).save(folder / f"{name}.png")
    return tmp_path / "drawings"


@pytest.mark.parametrize("style", ["mean", "source"])
def test_true_answers_are_best(
    style: str, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "grid.png"
    words = ["critters", "--drawings", str(drawings), "--style", style, "--grid", str(grid)]
    monkeypatch.setattr(sys, "argv", ["emoji_styles.py", *words])
    emoji_styles.main()
    said = capsys.readouterr().out
    mean, *pairs = said.split(" to ")
    assert len(pairs) == 6
    rows = {
        cells[0]: [float(cell) for cell in cells[1:]]
        for cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in mean.splitlines() if "|" in line)
        if cells[0] in ("source", "critters", "real")
    }
    assert rows["real"][:3] == [100.0, 1.0, 1.0]
    assert rows["source"][0] < 100
    assert rows["critters"][0] < 100
    with Image.open(grid) as image:
        assert image.width > 7 * 64
