"""The script that measures droplets knows a bright spot from noise, and reads every block of a generator."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import droplets

from training.tiny import RUN, tiny
from translate.training import run


def test_a_spot_carries_the_deviation() -> None:
    features = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    share, peak = droplets.share_of_outermost(features)
    assert 0.03 < share < 0.05
    assert 3 < peak < 5
    features[:, :, 10:12, 20:22] += 100
    share, peak = droplets.share_of_outermost(features)
    assert share > 0.8
    assert peak > 20


@pytest.mark.parametrize("name", ["stargan_v2_generator", "stargan_v2_modulated_generator"])
def test_every_block_has_a_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(*RUN, "iterations=1", "metrics=none", f"model.networks.generator.name={name}")
    assert run.train(config, tmp_path, None, []) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["droplets.py", str(tmp_path)])
    droplets.main()
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows == ["after", "---", "encode.0", "encode.1", "decode.0", "decode.1"]
