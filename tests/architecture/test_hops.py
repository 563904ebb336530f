"""A single run: six calls of ours from the command line to the step; composed once, its data set opened once."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

import translate
from training.tiny import TINY
from translate.cli import main
from translate.config import compose
from translate.data.datasets.critters import Critters
from translate.models.stargan_v2 import StarGANv2

OURS = str(Path(translate.__file__).parent)
MAX_CALLS = 6


def test_a_single_run_takes_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks: list[list[str]] = []
    step, compose_once, open_dataset = StarGANv2.step, compose.hydra_compose, Critters.__init__
    composed: list[Any] = []
    opened: list[str] = []

    def spy_step(model: StarGANv2, batch: Any) -> None:
        frames = [f"{f.filename.removeprefix(OURS)}:{f.name}" for f in traceback.extract_stack() if OURS in f.filename]
        stacks.append(frames)
        step(model, batch)

    def spy_compose(*words: Any, **settings: Any) -> Any:
        composed.append(words)
        return compose_once(*words, **settings)

    def spy_open(dataset: Critters, *arguments: Any, **settings: Any) -> None:
        opened.append(settings["split"])
        open_dataset(dataset, *arguments, **settings)

    monkeypatch.setattr(StarGANv2, "step", spy_step)
    monkeypatch.setattr(compose, "hydra_compose", spy_compose)
    monkeypatch.setattr(Critters, "__init__", spy_open)
    words = [*TINY, "iterations=1", f"folder={tmp_path / 'run'}"]
    assert main(words) == 0
    frames = stacks[0]
    assert frames[0].endswith("cli.py:main")
    calls = [*frames[1:], "step"]  # the spy stands for the step
    assert len(calls) <= MAX_CALLS, "\n".join(frames)
    assert len(composed) == 1
    assert sorted(opened) == ["train", "val"]
    command = json.loads((tmp_path / "run" / "environment.json").read_text())["command"]
    assert command == ["python", "-m", "translate", *words], "the command as it was typed"
