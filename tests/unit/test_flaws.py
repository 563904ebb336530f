"""Images that are black, of one colour or saturated are noticed by a number, and said once."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from training.tiny import tiny, train
from translate.data.flaws import KINDS, common_flaw, flaw_of
from translate.models.stargan_v2 import StarGANv2
from translate.training.callbacks.sampling import Sampling

NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
BLACK, GREY = np.full_like(NOISE, 3), np.full_like(NOISE, 90)
EXTREME = np.where(NOISE > 128, 255, 0).astype(np.uint8)
HALF = np.concatenate([NOISE[:8], EXTREME[8:]])


@pytest.mark.parametrize(
    ("pixels", "flaw"), [(NOISE, ""), (BLACK, "black"), (GREY, "constant"), (EXTREME, "saturated"), (HALF, "")]
)
def test_flaws_of_an_image(pixels: np.ndarray, flaw: str) -> None:
    assert flaw_of(pixels) == flaw
    assert flaw_of(pixels.astype(np.float32)) == flaw
    assert flaw_of(pixels[:0]) == ""


def test_a_flaw_that_real_images_have_too_is_none() -> None:
    assert common_flaw([GREY, NOISE, NOISE], [NOISE] * 5) == ("constant", 1 / 3)
    assert common_flaw([GREY, *[NOISE] * 3], [NOISE] * 5) == ("", 0.0)  # too few
    assert common_flaw([EXTREME] * 3, [EXTREME, *[NOISE] * 4]) == ("", 0.0)  # drawings are so
    assert common_flaw([], []) == ("", 0.0)


@pytest.mark.parametrize(("value", "kind"), [(-1.0, "black"), (0.2, "constant"), (float("nan"), "black")])
def test_a_grid_of_such_images_is_said_once_for_each_kind(
    value: float, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def translate(self: StarGANv2, x: torch.Tensor, *args: Any, **style: Any) -> torch.Tensor:
        return torch.full_like(x, value)

    monkeypatch.setattr(StarGANv2, "translate", translate)
    train(tmp_path, "iterations=2", "sample_every=1")
    said = capfd.readouterr().err
    assert said.count(f".png are {KINDS[kind]}, and the held-out images are not") == 1
    assert "iteration 1: " in said
    assert "samples/000001_" in said


def test_good_grids_are_not_named(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    sampling = Sampling(None, SimpleNamespace(), 1, 1, SimpleNamespace())  # type: ignore[arg-type]
    images = torch.from_numpy(NOISE).permute(2, 0, 1).float() / 127.5 - 1
    sampling._fixed = SimpleNamespace(image=images[None])  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING, logger="translate"):
        sampling._warn_of_flaws(1, {"grid": SimpleNamespace(rows=[[images, None]])})  # type: ignore[dict-item]
    assert caplog.records == []
    assert tiny().sample_every is None
