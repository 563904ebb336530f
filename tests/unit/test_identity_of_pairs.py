"""The script that asks another network whether translations show what their true partners show."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import identity_of_pairs

from translate.data.datasets.critters import Critters

COUNT = 6


def rows(text: str) -> dict[str, float]:
    """Return the identity of each row of the printed table."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    return {name: float(value) for name, value in cells}


def test_a_copy_of_the_partner_is_nearer_than_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = Critters(COUNT, COUNT, split="val").read_many(np.arange(COUNT), 32)
    for side, images in (("A", pixels[::-1]), ("B", pixels)):  # each animal has another one as its source
        (tmp_path / side / "val").mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / side / "val" / f"{number}.png")

    def translate(sources: Tensor) -> Tensor:
        return sources.flip(0)

    translator = SimpleNamespace(about=SimpleNamespace(image_size=32), translate=translate)
    monkeypatch.setattr(identity_of_pairs.translate, "load", lambda run: translator)
    monkeypatch.setattr(sys, "argv", ["identity_of_pairs.py", "RUN", str(tmp_path)])
    identity_of_pairs.main()
    said = capsys.readouterr().out
    assert said.startswith(f"| {COUNT} pairs | identity (gradients) |")
    found = rows(said)
    assert found["translation"] == 0
    assert 0.7 < found["source"] < 1.5


def test_one_pair_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in "AB":
        (tmp_path / side / "val").mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / side / "val" / "0.png")
    monkeypatch.setattr(identity_of_pairs.translate, "load", lambda run: SimpleNamespace())
    monkeypatch.setattr(sys, "argv", ["identity_of_pairs.py", "RUN", str(tmp_path)])
    with pytest.raises(SystemExit, match="has 1 images, and identity needs two"):
        identity_of_pairs.main()
