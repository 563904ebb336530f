"""Searches: what a file may say, and that a search survives what happens to it. Training is replaced."""

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from training.stub import SMALL, Place, calls_of, until
from translate.cli import main
from translate.errors import ConfigError, Problems, UserError
from translate.sweeps import search_space

optuna = pytest.importorskip("optuna")


@pytest.fixture
def place(tmp_path: Path, small: list[str]) -> Place:
    return Place(tmp_path)


def space(place: Place, **tree: object) -> list[str]:
    """Return the words of a search."""
    (place.path / "mine.yaml").write_text(yaml.safe_dump({"overrides": SMALL[1:], **tree}, sort_keys=False))
    return ["sweep", "sweep=mine.yaml", SMALL[0]]


def trials(place: Place) -> list[dict[str, str]]:
    with open(place.path / "runs" / "mine" / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_search_for_several_objectives(place: Place) -> None:
    words = space(
        place,
        objectives={"quality": "maximize", "diversity": "maximize"},
        space={"seed": {"low": 0, "high": 6}, "data.batch_size": [4, 8]},
        sampler="random",
        num_trials=5,
        n_jobs=3,
        gpus=[4, 5, 6],
    )
    answer = place.call(*words, "log_every=1")
    assert answer.returncode == 0, answer.stderr
    found = trials(place)
    assert [trial["state"] for trial in found] == ["complete"] * 5
    for trial in found:
        config = yaml.safe_load((place.path / trial["folder"] / "config.yaml").read_text())
        assert (config["seed"], config["log_every"]) == (int(trial["seed"]), 1)
        assert float(trial["quality"]) == config["seed"]
        assert float(trial["diversity"]) == config["data"]["batch_size"] - config["seed"]
    points = [(float(trial["quality"]), float(trial["diversity"])) for trial in found]
    front = {p for p in points if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)}
    lines = (place.path / "runs" / "mine" / "best.md").read_text().splitlines()[2:]
    assert {tuple(map(float, line.split(" | ")[1:3])) for line in lines} == front
    plots = {path.name for path in (place.path / "runs" / "mine").glob("*.png")}
    assert {"pareto_front.png", "history_1.png", "slices_2.png"} <= plots
    used = {calls_of(place.path / trial["folder"])[0][2] for trial in found}
    assert used == {"4", "5", "6"}

    again = place.call(*words, "log_every=1", "sweep.num_trials=6")  # the same study, one trial more
    assert "6 trials: 6 finished" in again.stdout, again.stderr
    assert again.stdout.count("training") == 0
    other = place.call(*words, "log_every=2")
    assert other.returncode == 2
    assert "has other overrides. Fix: write sweep.name=" in other.stderr


def test_trials_are_given_up_and_failures_kept(place: Place) -> None:
    pruner = {"name": "median", "by": "loss", "direction": "minimize", "num_startup": 1}
    values = [1, 13, 55]
    words = space(place, objectives={"quality": "maximize"}, space={"seed": values}, sampler="grid", pruner=pruner)
    answer = place.call(*words, "iterations=100", "sweep.num_trials=3")
    assert answer.returncode == 0, answer.stderr
    found = {int(trial["seed"]): trial for trial in trials(place)}
    assert {seed: trial["state"] for seed, trial in found.items()} == {1: "complete", 13: "fail", 55: "pruned"}
    assert "exit code 1: ZeroDivisionError: unexpected" in found[13]["why"]
    (kept,) = (place.path / found[55]["folder"] / "checkpoints").iterdir()  # SIGTERM, not SIGKILL
    assert int(kept.stem) < 100
    assert "3 trials: 1 finished, 1 pruned, 1 failed" in answer.stdout
    assert (place.path / "runs" / "mine" / "intermediate_values.png").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_search_that_was_ended_goes_on(place: Place, number: int) -> None:
    words = space(place, objectives={"loss": "minimize"}, space={"seed": [7, 3]}, sampler="grid", num_trials=2)
    process = place.start(*words)
    until(lambda: any(place.path.rglob("waiting")))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    (folder,) = (path.parent for path in place.path.rglob("waiting"))
    if number == signal.SIGTERM:
        assert process.returncode == 128 + number, err
        assert "repeat the command to continue" in out
    else:
        os.kill(int(calls_of(folder)[0][0]), signal.SIGKILL)
    again = place.call(*words)
    assert again.returncode == 0, again.stderr
    assert ("continues here" in again.stdout) == (number == signal.SIGKILL)
    found = {int(trial["seed"]): trial for trial in trials(place)}
    assert len(trials(place)) == 2
    assert {trial["state"] for trial in found.values()} == {"complete"}
    assert place.path / found[7]["folder"] == folder
    assert [resumed for _, resumed, _ in calls_of(folder)] == ["False", "True"]


def test_two_commands_share_a_storage(place: Place) -> None:
    words = space(place, objectives={"loss": "minimize"}, space={"seed": [7, 3, 4]}, sampler="grid", num_trials=3)
    words.append("sweep.storage=sqlite:///shared.db")
    first = place.start(*words)
    until(lambda: any(place.path.rglob("waiting")))  # the first command is busy with seed 7
    second = place.call(*words)
    assert second.returncode == 0, second.stderr
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{place.path / 'shared.db'}")
    found = {trial.params["seed"]: trial for trial in study.trials}
    assert {seed: trial.state.name for seed, trial in found.items()} == {7: "RUNNING", 3: "COMPLETE", 4: "COMPLETE"}
    assert len({trial.user_attrs["worker"] for trial in study.trials}) == 2
    first.terminate()
    first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGTERM


# --- files --------------------------------------------------------------------------------------------------


def test_shipped_spaces_are_good(capsys: pytest.CaptureFixture[str]) -> None:
    from translate.config.compose import load

    names = search_space.shipped()
    assert names
    for name in names:
        found = search_space.load(name, {})
        assert found.name == name
        for key, parameter in found.space.items():
            for value in parameter.ends():
                load([*found.overrides, search_space.override(key, value)], scan=False)
    assert main(["sweep", "-h"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Known: {', '.join(names)}" in said


def test_all_problems_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    tree = {
        "objectives": {"a": "up"},
        "space": {
            "b": {"low": 1, "high": 0},
            "c": [],
            "d": {"low": "1e-5", "high": 1},
            "e": {"low": 0, "high": 1, "log": True},
        },
        "sampler": "tpee",
        "num_trials": 0,
        "trials": 3,
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as caught:
        search_space.load(str(tmp_path / "a.yaml"), {"n_job": "1"})
    said = " ".join(map(str, caught.value.problems))
    for part in (
        "sweep: the command line cannot set the key 'n_job'. Did you mean 'n_jobs'?",
        "trials: unknown key",
        "found 'up'",
    ):
        assert part in said
    assert "found 'tpee'" in said
    assert "num_trials: found 0" in said
    tree.update(objectives={"a": "minimize"}, sampler="tpe", num_trials=1)
    del tree["trials"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as caught:
        search_space.load(str(tmp_path / "a.yaml"), {})
    assert len(caught.value.problems) == 4, caught.value.problems
    assert "write 1.0e-5" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sampler": "grid"}, "space.a: a grid needs a list of values or a step"),
        ({"pruner": {"name": "median"}}, "expected null, or a mapping with name, by and direction"),
        (
            {
                "objectives": {"a": "minimize", "b": "minimize"},
                "pruner": {"name": "median", "by": "c", "direction": "minimize"},
            },
            "no trial can be pruned with 2 objectives",
        ),
        ({"space": None}, "space: the value is missing"),
        ({"overrides": ["seed"]}, "expected a list of key=value"),
        ({"overrides": ["+trust=[mine]"]}, "overrides: a file cannot choose code, only the command line can"),
        ({"space": {"plugins": ["[mine]"]}}, "space.plugins: a file cannot choose code, only the command line can"),
    ],
)
def test_what_does_not_go_together(change: dict[str, object], sentence: str) -> None:
    problems: Problems = []
    tree = {"objectives": {"a": "minimize"}, "space": {"a": {"low": 0.0, "high": 1.0}}, **change}
    assert search_space.parse(tree, problems) is None
    assert sentence in " ".join(map(str, problems))


def test_a_grid_has_every_combination() -> None:
    found = search_space.parse(
        {"objectives": {"a": "minimize"}, "space": {"b": [1, None], "c": {"low": 0.0, "high": 0.3, "step": 0.1}}}, []
    )
    assert found is not None
    combinations = list(search_space.grid(found))
    assert len(combinations) == 8
    assert [c["c"] for c in combinations[:4]] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_mistakes_of_the_command_line(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tree = {"objectives": {"a": "minimize"}, "space": {"data.batch_sise": [1, 2]}, "overrides": small[1:]}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(tree))
    for words, sentence in (
        (["sweep"], "sweep: this argument is missing; expected sweep=NAME|FILE.yaml"),
        (["sweep", "sweep=stargan_v2_rate"], "Did you mean 'stargan_v2_rates'?"),
        (["sweep", "sweep=a.yaml", small[0]], "data.batch_sise: unknown key 'batch_sise'. Did you mean 'batch_size'?"),
        (["sweep", "sweep=a.yaml", "sweep.n_job=2"], "unknown argument 'sweep.n_job'. Did you mean 'sweep.n_jobs'?"),
        (["sweep", "sweep=a.yaml", "folder=x"], "every trial has a folder of its own"),
        (
            ["sweep", "sweep=stargan_v2_rates", "sweep.storage=nonsense://x"],
            "sweep.storage=nonsense://x: the storage cannot be used",
        ),
    ):
        assert main(words) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "runs" / "a").exists()


# --- what runs have recorded ---------------------------------------------------------------------------------


def test_lines_are_read_when_they_are_whole(tmp_path: Path) -> None:
    from translate.runs.records import RecordsTail

    path = tmp_path / "metrics.jsonl"
    lines = RecordsTail(path)
    assert lines.new() == []
    path.write_text('{"iteration": 1, "a": 2}\n{"iterat')
    assert lines.new() == [{"iteration": 1, "a": 2}]
    with open(path, "a") as file:
        file.write('ion": 2}\nnonsense\n')
    assert lines.new() == [{"iteration": 2}]
    path.write_text('{"iteration": 1}\n')  # a resumed run has cut it
    assert lines.new() == [{"iteration": 1}]


def test_objectives_are_figures_or_terms(tmp_path: Path) -> None:
    from translate.sweeps.optuna_study import objective

    (tmp_path / "config.yaml").write_text("name: a\nseed: 1\n")
    (tmp_path / "metrics").mkdir()
    for protocol, value in (("clean", 3.0), ("local", 5.0)):
        told = {"protocol": protocol, "checkpoint": "last", "iteration": 9, "networks": "averaged"}
        figures = {"FID, latent": value, f"only {protocol}": value}
        (tmp_path / "metrics" / f"{protocol}_last.json").write_text(json.dumps({**told, "scores": figures}))
    lines = [json.dumps({"iteration": k, "loss": float(k)}) for k in range(1, 41)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert objective(tmp_path, "only local") == 5.0
    assert objective(tmp_path, "clean/FID, latent") == 3.0
    assert objective(tmp_path, "loss") == sum([37, 38, 39, 40]) / 4
    with pytest.raises(UserError, match="several protocols have this score"):
        objective(tmp_path, "FID, latent")
    with pytest.raises(UserError, match="Did you mean 'loss'"):
        objective(tmp_path, "los")


def test_a_trial_of_another_machine_is_lost_after_a_silence() -> None:
    from translate.sweeps import optuna_study

    def trial(worker: str, silence: float) -> "optuna.trial.FrozenTrial":
        import time

        attributes = {"worker": worker, "alive": time.time() - silence}
        return optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=attributes)

    import socket

    gone = subprocess.Popen(["true"])
    gone.wait()
    assert optuna_study._is_lost(trial(f"{socket.gethostname()}:{gone.pid}", 0))
    assert not optuna_study._is_lost(trial(f"{socket.gethostname()}:{os.getppid()}", 0))
    assert not optuna_study._is_lost(trial("elsewhere:1", optuna_study.HEARTBEAT_TIMEOUT / 2))
    assert optuna_study._is_lost(trial("elsewhere:1", optuna_study.HEARTBEAT_TIMEOUT * 2))
