"""The length of a run: a number of iterations, or a budget of time that becomes one."""

from pathlib import Path

import pytest
import yaml

import layouts
from translate.cli import main
from translate.config.check import check
from translate.config.command_line import parse, single_run
from translate.config.compose import load, prepare
from translate.config.length import NOMINAL, UNKNOWN_LENGTH, seconds_of
from translate.config.resume import finished, prepare_resumed, unfinished
from translate.config.schema import read_yaml, to_mapping, to_yaml
from translate.errors import ConfigError, UserError

LR = 'model.optimizers.generator.lr={schedule: linear, start: 1.0, end: 0.0, iterations: "${share:0.5}"}'


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30min", 1800), ("2h", 7200), ("1d", 86400), ("0.5 h", 1800), (" 5min", 300)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "30m", "min", "-1h", "0s", "1h30min", "2 days"])
def test_other_texts_are_one_sentence(text: str, small: list[str]) -> None:
    with pytest.raises(UserError, match="expected a duration such as 90s, 30min, 2h or 1d"):
        seconds_of(text)
    with pytest.raises(ConfigError, match=r"budget: found .*, expected a duration such as 90s, 30min, 2h or 1d"):
        load([*small, f"budget='{text}'"])


def test_a_number_without_a_unit_is_one_sentence(small: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load([*small, "budget=30"])
    assert [str(problem) for problem in caught.value.problems] == [
        "budget: found 30, expected a duration such as 90s, 30min, 2h or 1d"
    ]


def test_a_budget_replaces_the_iterations_of_the_files_and_iterations_the_budget(tmp_path: Path) -> None:
    assert load(["budget=30min"], scan=False).iterations == UNKNOWN_LENGTH
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "timed.yaml").write_text("# @package _global_\niterations: null\nbudget: 2h\n")
    timed = load(["experiments=timed"], str(tmp_path), scan=False)
    assert (timed.iterations, timed.budget) == (UNKNOWN_LENGTH, "2h")
    counted = load(["experiments=timed", "iterations=50"], str(tmp_path), scan=False)
    assert (counted.iterations, counted.budget) == (50, None)


def test_both_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["iterations=50", "budget=30min"], scan=False)
    (problem,) = caught.value.problems
    assert str(problem) == (
        "budget: iterations and budget are two lengths of one run; found budget=30min beside iterations=50, expected "
        "one of the two. Fix: leave out one of the words"
    )
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "both.yaml").write_text("# @package _global_\niterations: 50\nbudget: 2h\n")
    with pytest.raises(ConfigError, match="Fix: set the other key to null in the file"):
        load(["experiments=both"], str(tmp_path), scan=False)
    assert load(["iterations=50", "budget=null"], scan=False).iterations == 50


def test_neither_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="iterations: found None, expected a whole number"):
        load(["iterations=null"], scan=False)


def test_shares_follow_the_number_once_it_is_known(small: list[str]) -> None:
    prepared = prepare([*small, "budget=1h", LR, "checkpoint_every=${share:0.1}"])
    assert prepared.of_length is not None
    assert prepared.config.checkpoint_every == NOMINAL // 10
    fixed = prepared.of_length(60)
    assert (fixed.iterations, fixed.budget, fixed.checkpoint_every) == (60, "1h", 6)
    assert fixed.model.optimizers["generator"]["lr"]["iterations"] == 30
    assert to_mapping(fixed) | {"budget": None} == to_mapping(
        load([*small, "iterations=60", LR, "checkpoint_every=${share:0.1}"])
    )


def test_show_says_how_the_number_is_found(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", *small, "budget=1h"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# budget 1h: the first seconds of a run measure its speed, then iterations is fixed once")
    assert yaml.safe_load(text)["iterations"] is None
    assert main(["show", *small]) == 0
    assert "#" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["benchmark", "sweep"])
def test_commands_that_need_a_number_refuse_a_budget(
    command: str, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep=stargan_v2_rates"] if command == "sweep" else []
    assert main([command, *words, "budget=1h"]) == 2
    assert "budget" in capsys.readouterr().err


def test_the_unknown_number_is_null_in_files(small: list[str], tmp_path: Path) -> None:
    config = load([*small, "budget=1h"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert yaml.safe_load(path.read_text())["iterations"] is None
    assert check(read_yaml(path)) == config


def test_a_saved_run_from_before_budgets_is_read(small: list[str], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    tree = to_mapping(load(small))
    del tree["budget"]
    path.write_text(yaml.safe_dump(tree))
    assert check(read_yaml(path)) == load(small)


def save(folder: Path, iterations: int, *words: str) -> Path:
    """Leave a run folder with a checkpoint, as a run with a budget does that has found its number of iterations."""
    prepared = prepare([*words, "budget=1h", LR])
    assert prepared.of_length is not None
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(prepared.of_length(iterations)))
    (folder / "checkpoints" / f"{iterations // 2:06d}.safetensors").write_bytes(b"")
    return folder


def test_resume_keeps_the_number(small: list[str], tmp_path: Path) -> None:
    folder = save(tmp_path / "run", 60, *small)
    prepared = prepare_resumed(folder, [])
    assert (prepared.config.iterations, prepared.config.budget, prepared.of_length) == (60, "1h", None)
    assert prepared.config.model.optimizers["generator"]["lr"]["iterations"] == 30
    with pytest.raises(ConfigError, match=r"budget=2h: a resumed run keeps its length\. Fix: set iterations=N"):
        prepare_resumed(folder, ["budget=2h"])
    assert prepare_resumed(folder, ["iterations=90"]).config.iterations == 90


def test_auto_finds_a_run_of_the_same_budget_and_keeps_its_number(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "runs" / "a", 60, *small)
    same = prepare([*small, "budget=1h", LR])
    assert unfinished(same.config, tmp_path, same.of_length) == folder
    other = prepare([*small, "budget=2h", LR])
    assert unfinished(other.config, tmp_path, other.of_length) is None
    monkeypatch.chdir(tmp_path)
    ready = single_run(parse([*small, "budget=1h", LR, "resume=auto", f"folder={folder}"]))
    assert (ready.config.iterations, ready.resume_from, ready.of_length) == (60, folder, None)


def test_a_run_with_a_budget_is_finished_at_its_number(small: list[str], tmp_path: Path) -> None:
    words = [*small, "metrics=none"]
    folder = save(tmp_path / "run", 60, *words)
    prepared = prepare([*words, "budget=1h", LR])
    assert not finished(prepared.config, folder, prepared.of_length)
    (folder / "checkpoints" / "000060.safetensors").write_bytes(b"")
    assert finished(prepared.config, folder, prepared.of_length)


@pytest.mark.parametrize(("model", "epochs"), [("cut", 200), ("fastcut", 150), ("dclgan", 200)])
def test_crops_end_where_the_rates_begin_to_fall(model: str, epochs: int, tmp_path: Path) -> None:
    """A number of epochs in ``data`` waits for the data set, and does not keep it from being opened."""
    layouts.folders(tmp_path, {"trainA": 5, "trainB": 4, "testA": 2, "testB": 2}, (40, 40))
    data = load([f"model={model}", "data=horse2zebra", f"data.root={tmp_path}"]).data
    assert (data.epoch_size, data.domains) == (5, ["horse", "zebra"])
    assert data.crop_until == epochs * 5
