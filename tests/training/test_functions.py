"""`translate.train` and `translate.evaluate`: the commands as functions."""

import json
import sys
from pathlib import Path

import pytest

import translate
from training.tiny import TINY
from translate.commands.functions import RunFailed
from translate.errors import ConfigError, UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("functions") / "run"
    argv = list(sys.argv)
    result = translate.train(*TINY, iterations=2, folder=place, data={"batch_size": 2})
    assert sys.argv == argv
    return result


def test_training_returns_the_run_folder(folder: Path) -> None:
    assert (folder / "config.yaml").is_file()
    assert "batch_size: 2" in (folder / "config.yaml").read_text()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["iteration"] == 2
    translator = translate.load(folder)
    assert translator.about.iteration == 2


def test_a_run_goes_on(folder: Path) -> None:
    assert translate.train(resume=folder, iterations=3) == folder
    assert translate.load(folder).about.iteration == 3


def test_scores_are_returned_by_protocol(folder: Path) -> None:
    scores = translate.evaluate(folder, metrics=["local"], batch_size=8, device="cpu", cache=None)
    assert set(scores) == {"local"}
    assert scores["local"]
    assert all(isinstance(value, float) for value in scores["local"].values())
    assert list((folder / "metrics").glob("local_*.json"))


def test_mistakes_are_errors_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 problems"):
        translate.train(*TINY, seed="a", trainer={"devces": 1}, folder=tmp_path / "run")
    with pytest.raises(UserError, match="only a single run"):
        translate.train("-m", "seed=1,2")
    with pytest.raises(UserError, match="words are texts"):
        translate.train(3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="data: found object, expected a text"):
        translate.train(data=object())
    with pytest.raises(UserError, match="is not there; expected a run folder"):
        translate.evaluate(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_stops_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="stopped with exit code 1") as caught:
        translate.train(
            *TINY, "model.optimizers.generator.lr=1e20", iterations=20, folder=tmp_path / "run", log_every=1
        )
    assert caught.value.code == 1
    assert caught.value.folder == tmp_path / "run"
