"""The command `evaluate`, and measuring while a run trains: same scores in one process and in two."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.tiny import TINY, train
from translate.cli import USER_MISTAKE, main
from translate.commands.evaluate import NOT_STORED
from translate.downloads.remote import open_folder
from translate.files.writing import atomic_write
from translate.metrics.classifier import Local
from translate.runs import checkpoints
from translate.runs import scores as scores_files
from translate.runs.folder import RunFolder

FEATURES = ["metrics=[local,local_features]", "metrics.local.num_iterations=4", "metrics.local.num_sources=6"]


def scores(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics" / f"{name}.json").read_text())
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was measured every second iteration."""
    folder = tmp_path_factory.mktemp("runs") / "measured"
    train(folder, *FEATURES, "iterations=4", "evaluate_every=2", "best=FID", "checkpoint_every=2", "keep_checkpoints=9")
    return folder


def test_a_run_is_measured_while_it_trains(run: Path) -> None:
    names = sorted(path.stem for path in (run / "metrics").glob("*.json"))
    assert names == ["best", "local_000002", "local_000004", "local_last"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    recorded = {line["iteration"]: line for line in lines if "local/FID, latent" in line}
    assert set(recorded) == {2, 4}
    for iteration, line in recorded.items():
        found = scores(run, f"local_{iteration:06d}")
        assert found["iteration"] == iteration
        assert found["networks"] == "ema"
        assert line["local/FID, latent"] == found["scores"]["FID, latent"]
    assert scores(run, "local_last")["scores"]["FID, latent"] == recorded[4]["local/FID, latent"]
    last = scores(run, "local_last")
    assert list(last["columns"]) == ["source", "untrained", "real"]
    assert all("FID, latent" in column for column in last["columns"].values())
    assert {"domain accuracy, latent", "FID, latent"} <= set(last["scores"])
    assert not (run / "metrics.json").exists()


def test_the_best_checkpoint_is_kept(run: Path) -> None:
    def fid(iteration: int) -> float:
        found = scores(run, f"local_{iteration:06d}")["scores"]
        return float((found["FID, latent"] + found["FID, reference"]) / 2)

    best = min((2, 4), key=fid)
    noted = scores(run, "best")
    assert (noted["iteration"], noted["value"]) == (best, fid(best))
    kept = checkpoints.read(RunFolder(run).best_checkpoint)
    assert kept.iteration == best
    same = checkpoints.read(RunFolder(run).checkpoint(best))
    assert all(tensor.equal(same.tensors[name]) for name, tensor in kept.tensors.items())
    assert checkpoints.newest(run).iteration == 4  # the best one is not taken for the newest


@pytest.mark.parametrize("checkpoint", ["2", "best", "last"])
def test_the_command_finds_what_training_found(
    run: Path, checkpoint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    expected = {"2": 2, "best": scores(run, "best")["iteration"], "last": 4}[checkpoint]
    copy = tmp_path / "copy"  # without the scores, so that they are computed again
    (copy / "checkpoints").mkdir(parents=True)
    for path in [run / "config.yaml", *(run / "checkpoints").iterdir()]:
        (copy / path.relative_to(run)).write_bytes(path.read_bytes())
    words = ["evaluate", f"run={copy}", f"checkpoint={checkpoint}", *FEATURES, "batch_size=3", "cache=null"]
    assert main(words) == 0
    said = capsys.readouterr().out
    name = {"2": "000002"}.get(checkpoint, checkpoint)
    assert f"protocol local, checkpoint {name} (iteration {expected}), ema networks" in said
    found, before = scores(copy, f"local_{name}"), scores(run, f"local_{expected:06d}")
    assert found["scores"] == pytest.approx(before["scores"], rel=1e-3, abs=1e-3)
    assert found["environment"]["seed"] == 0


def test_two_processes_measure_what_one_does(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "checkpoints").mkdir(parents=True)
    for path in [run / "config.yaml", RunFolder(run).checkpoint(4)]:
        (copy / path.relative_to(run)).write_bytes(path.read_bytes())
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "translate"]
    words = ["evaluate", f"run={copy}", *FEATURES, "cache=null", "device=cpu"]
    done = subprocess.run([*launch, *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("protocol local, checkpoint last") == 1
    found, before = scores(copy, "local_last"), scores(run, "local_last")
    assert found["scores"] == pytest.approx(before["scores"], rel=1e-6, abs=1e-6)
    assert [r["translations"] for r in found["tasks"].values()] == [r["translations"] for r in before["tasks"].values()]


def test_two_training_processes_measure_together(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    overrides = [o for o in TINY if not o.startswith(("trainer", "metrics"))]
    command = [
        sys.executable,
        "-m",
        "translate",
        *overrides,
        "trainer=ddp_cpu",
        "trainer.threads=1",
    ]
    done = subprocess.run(
        [*command, *FEATURES, f"folder={folder}", "iterations=2", "evaluate_every=2", "best=FID"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    together = scores(folder, "local_000002")
    (folder / "metrics" / "local_000002.json").unlink()
    (folder / "metrics" / "local_last.json").unlink()
    assert main(["evaluate", f"run={folder}", *FEATURES, "cache=null"]) == 0
    alone = scores(folder, "local_last")
    assert alone["model"] == together["model"]
    assert alone["scores"] == pytest.approx(together["scores"], rel=1e-3, abs=1e-3)


def test_a_killed_evaluation_is_made_up_for_when_the_run_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.tiny import go_on

    place = run / "metrics" / "local_000004.json"
    before = json.loads(place.read_text())
    for name in ("local_000004", "local_last"):
        (run / "metrics" / f"{name}.json").unlink()
    go_on(run, "iterations=5")
    found = json.loads(place.read_text())
    assert found["scores"] == pytest.approx(before["scores"])
    assert scores(run, "local_last")["iteration"] == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=nowhere"], "nowhere is not there; expected a run folder"),
        (["run=RUN", "checkpoint=9"], "no checkpoint of iteration 9; expected one of 2, 4"),
        (["run=RUN", "checkpoint=first"], "expected last, best or an iteration"),
        (["run=RUN", "metrics=locale"], "metrics=locale: unknown option 'locale'. Did you mean 'local'?"),
        (["run=RUN", "metrics=none"], "metrics: no metric is chosen"),
        (["run=RUN", "batchsize=2"], "evaluate: unknown argument 'batchsize'. Did you mean 'batch_size'?"),
        (["run=RUN", "metrics.local.num_source=2"], "num_source"),
        (["run=RUN", "root=/"], "root: data=critters has no folder"),
        (["run=RUN", "device=abacus"], "device: this device cannot be used here"),
        ([], "run: this argument is missing; expected run=RUN_FOLDER"),
    ],
)
def test_mistakes_are_said(run: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *(word.replace("RUN", str(run)) for word in words)]) == USER_MISTAKE
    assert said in capsys.readouterr().err


def test_the_classifier_of_a_run_is_the_configured_one(run: Path) -> None:
    found = scores(run, "local_last")["metrics"]
    assert found["fid_local"]["classifier"]["num_iterations"] == 4 != Local().num_iterations


def without_scores(run: Path, copy: Path) -> Path:
    """Return a copy of a run that was not evaluated."""
    (copy / "checkpoints").mkdir(parents=True)
    for path in [run / "config.yaml", RunFolder(run).choose()[1]]:
        (copy / path.relative_to(run)).write_bytes(path.read_bytes())
    return copy


def test_scores_that_cannot_be_stored_are_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = without_scores(run, tmp_path / "copy")
    before = sorted(copy.rglob("*"))

    def write(path: Path, *rest: Any, **settings: Any) -> None:
        if path.is_relative_to(copy):
            raise OSError(30, "Read-only file system", str(path))
        atomic_write(path, *rest, **settings)

    monkeypatch.setattr(scores_files, "atomic_write", write)
    monkeypatch.setattr(Path, "mkdir", lambda self, *rest, **settings: None)  # the folder metrics/ is not made either
    words = ["evaluate", f"run={copy}", *FEATURES, "batch_size=3", "cache=null"]
    assert main(words) == NOT_STORED
    said = capsys.readouterr()
    assert f"checkpoint last (iteration {RunFolder(run).newest_iteration()}), ema networks" in said.out
    assert "\nFID, latent " in said.out
    assert "local_last.json: the scores are not stored (Read-only file system). Fix: output=FOLDER" in said.err
    assert said.err.count("cannot be written (Read-only file system): scores are shown") == 1
    assert sorted(copy.rglob("*")) == before


def test_scores_go_to_another_folder_and_are_found_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, output = without_scores(run, tmp_path / "copy"), tmp_path / "scores"
    before = sorted(copy.rglob("*"))
    words = ["evaluate", f"run={copy}", *FEATURES, "batch_size=3", "cache=null", f"output={output}"]
    for _ in range(2):  # computed, then found
        assert main(words) == 0
        assert str(output / "metrics" / "local_last.json") in capsys.readouterr().out
    assert scores(output, "local_last")["iteration"] == RunFolder(run).newest_iteration()
    assert sorted(copy.rglob("*")) == before


def test_scores_of_a_run_at_an_address_go_to_an_address(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path / "cache"))
    there = open_folder("memory://evaluated/run", "run")
    for path in without_scores(run, tmp_path / "copy").rglob("*"):
        if path.is_file():
            there.store(path, path.relative_to(tmp_path / "copy").as_posix())
    words = [*FEATURES, "batch_size=3", "cache=null", "output=memory://evaluated/scores"]
    assert main(["evaluate", "run=memory://evaluated/run", *words]) == 0
    stored = json.loads(open_folder("memory://evaluated/scores", "output").text("metrics/local_last.json"))
    assert stored["iteration"] == RunFolder(run).newest_iteration()
    assert "FID, latent" in stored["scores"]
    assert "\nmemory://evaluated/scores/metrics/local_last.json" in capsys.readouterr().out
    assert main(["evaluate", "run=memory://evaluated/none", *words]) == USER_MISTAKE
    assert "run: memory://evaluated/none holds no run" in capsys.readouterr().err
