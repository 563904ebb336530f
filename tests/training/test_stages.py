"""An experiment with stages: one command trains run after run, and goes on where it was stopped."""

import json
from pathlib import Path

import pytest

import translate
from training.tiny import RUN, differences, tiny_classifier, tiny_unit
from translate.cli import main
from translate.config.command_line import parse, stages_of
from translate.config.compose import load
from translate.errors import ConfigError, UserError
from translate.runs.checkpoints import newest
from translate.runs.folder import RunFolder
from translate.sweeps import jobs
from translate.sweeps.stages import check, launch

LABELS = [*tiny_classifier.model, "data.labels=domain", "iterations=3"]
IMAGES = [
    *tiny_unit.model,
    "++model.networks.perceptual={name: frozen, weights: '${stage:labels}', role: encoder}",
    "model.weights.generator.perceptual_a=1",
    "iterations=4",
]
FILE = f"""defaults:
  - override /data: critters

data: {{image_size: 32, num_images: 60, num_val_images: 30, batch_size: 4, cache: null, domains: [cat, rabbit]}}

stages:
  labels: {json.dumps(LABELS)}
  images: {json.dumps(IMAGES)}
"""
SMALL = ["experiments=two", *RUN]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with an experiment of two stages."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "two.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stages(*words: str) -> int:
    return main([*SMALL, *words])


def test_stages_are_trained_in_order_and_not_repeated(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stages() == 0
    (folder,) = (place / "runs" / "two").iterdir()
    assert folder.name.endswith("_stages")
    assert {path.parent.name for path in folder.glob("*/config.yaml")} == {"labels", "images"}
    first, second = newest(folder / "labels"), newest(folder / "images")
    assert (first.iteration, second.iteration) == (3, 4)
    perceptual = second.config["model"]["networks"]["perceptual"]
    assert Path(perceptual["weights"]) == RunFolder(Path("runs/two") / folder.name / "labels").checkpoint(3)
    assert (first.config["name"], second.config["name"]) == ("two/labels", "two/images")
    capsys.readouterr()
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert stages() == 0
    assert "2 runs: 2 finished before" in capsys.readouterr().out
    assert written == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    # stopped in the second stage: it alone goes on, to the same end
    RunFolder(folder / "images").checkpoint(4).unlink()
    assert stages() == 0
    assert "2 runs: 1 finished, 1 finished before" in capsys.readouterr().out
    assert differences(second, newest(folder / "images")) == []


def test_a_failed_stage_ends_the_experiment(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stages("folder=here", "stages.labels.model.optimizers.encoder.lr=1e20", "stages.labels.iterations=20") == 1
    assert not (place / "here" / "images").exists()
    out = capsys.readouterr().out
    assert "2 runs: 1 failed, 1 not started" in out
    assert "run 0 (labels) failed, exit code 1: stopped: " in out


def test_words_of_one_stage_and_of_all(place: Path) -> None:
    line = parse([*SMALL, "stages.images.iterations=7", "seed=3", "stages.labels.model.networks.encoder.base_width=6"])
    found = stages_of(line)
    assert found is not None
    configs = check(found, line.overrides)
    assert [config.iterations for config in configs.values()] == [3, 7]
    assert [config.seed for config in configs.values()] == [3, 3]
    assert configs["labels"].model.networks["encoder"]["base_width"] == 6
    frozen = configs["images"].model.networks["perceptual"]
    assert frozen["network"]["base_width"] == 6  # of a run that does not exist yet
    assert frozen["sha256"] is None


def test_one_stage_alone(place: Path) -> None:
    assert load(["experiments=two", "stage=labels", *RUN]).name == "two/labels"
    with pytest.raises(ConfigError, match=r"the run of the stage labels is unknown.*name this stage's by folder=DIR"):
        load(["experiments=two", "stage=images", *RUN])
    with pytest.raises(ConfigError, match="weights: there is no such file or folder; found 'x/labels'"):
        load(["experiments=two", "stage=images", "folder=x/images", *RUN])


def test_python_returns_the_folder_of_the_last_stage(place: Path) -> None:
    words = [*SMALL, "stages.labels.iterations=1", "stages.images.iterations=1"]
    assert translate.train(*words, folder="here") == Path("here/images")
    record = jobs.records(Path("here"))[1]
    assert (record.label, record.state, record.folder) == ("images", "finished", "here/images")
    assert record.overrides[-2:] == ["folder='here/images'", "resume=auto"]
    with pytest.raises(UserError, match="here contains the stages of another command"):
        launch(parse([*words, "folder=here", "seed=4"]), stages_of(parse(SMALL)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["experiments=two"],
            "stages: this experiment has stages; expected one of labels, images. Fix: add stage=NAME",
        ),
        (["experiments=two", "stage=label"], "stage: this experiment has no such stage 'label'. Did you mean 'labels'"),
        (["stage=labels"], "stage: no experiment with stages is chosen; found 'labels'. Fix: add experiments=NAME"),
        (
            ["experiments=two", "stage=labels", "stages.lables.seed=1"],
            "stages.lables.seed: no stage has this key 'lables'. Did you mean 'labels'",
        ),
    ],
)
def test_mistakes_are_one_clear_sentence(place: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(words)
    assert [str(problem).startswith(message) for problem in caught.value.problems] == [True]


def test_problems_of_a_stage_name_it_before_anything_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stages("stages.images.model.weights.generator.cycle_a=much") == 2
    assert "(in the stage images)" in capsys.readouterr().err
    assert stages("-m") == 2
    assert "an experiment with stages is no sweep" in capsys.readouterr().err
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: [a]", "found ['a'], expected a mapping"),
        ("stages: {1a: [seed=1]}", "expected letters and digits"),
        ("stages: {a: seed=1}", "stages.a: in .*expected a list of overrides"),
    ],
)
def test_mistakes_in_the_file(place: Path, text: str, message: str) -> None:
    (place / "experiments" / "two.yaml").write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        stages_of(parse(SMALL))
    assert message.split(".*")[-1] in str(caught.value)
