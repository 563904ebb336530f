"""The command `doctor`: the installation, runs of every state, and the measured cost."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image

from training.tiny import tiny
from translate.cli import USER_MISTAKE, main
from translate.doctor import installation
from translate.doctor.report import Report
from translate.doctor.run.terms import trend
from translate.errors import Problem
from translate.runs import environment
from translate.runs.claim import LOCK_FILE
from translate.training import run as training

Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of six iterations that has ended by itself."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = tiny("iterations=6", "sample_every=3", "checkpoint_every=3")
    assert training.train(config, folder) == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, to change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def examined(run: Path) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the report, and all findings as text."""
    path = run.parent / "report.json"
    code = main(["doctor", f"run={run}", f"json={path}"])
    report = json.loads(path.read_text())
    findings = [each for section in report["sections"] for each in section["findings"]]
    text = "\n".join(f"{each['severity']}: {each['text']} {each['names']} Fix: {each['fix']}" for each in findings)
    return code, report, text


def facts(report: dict[str, Any]) -> dict[str, str]:
    return {name: value for section in report["sections"] for name, value in section["facts"].items()}


def rewrite(run: Path, **changes: list[float]) -> None:
    """Replace the records by as many as the values of each term; other terms keep their last value."""
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    count = len(next(iter(changes.values())))
    lines = [{**last, **{k: v[n] for k, v in changes.items()}, "iteration": n + 1} for n in range(count)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


# --- runs ----------------------------------------------------------------------------------------------------


def test_a_finished_run(run: Path, capsys: Out) -> None:
    code, report, findings = examined(run)
    assert code == 0
    assert "problem:" not in findings
    assert facts(report)["state"] == "finished"
    assert facts(report)["last checkpoint"] == "iteration 6 of 6"
    assert "generator/latent/cycle" in facts(report)
    assert report["command"] == f"python -m translate export run={run}"
    assert capsys.readouterr().out.startswith(f"{run}: 0 problems")


def test_a_stopped_run_is_continued(run: Path) -> None:
    (run / "checkpoints" / "000006.safetensors").unlink()
    code, report, findings = examined(run)
    assert code == 0
    assert "the run stopped at iteration 6 of 6" in findings
    assert report["command"] == f"python -m translate resume={run}"
    (run / "checkpoints" / "000003.safetensors").unlink()
    code, _, findings = examined(run)
    assert code == 1
    assert "problem: the run has no checkpoint" in findings


def test_a_running_run(run: Path) -> None:
    (run / "checkpoints" / "000006.safetensors").unlink()
    with FileLock(run / LOCK_FILE):
        _, report, findings = examined(run)
    assert facts(report)["state"] == "running"
    assert "the run stopped" not in findings


def test_values_that_are_not_finite(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a real failure is read."""
    shutil.rmtree(run)
    config = tiny("iterations=6", "model.optimizers.generator.lr=1e20")
    assert training.train(config, run) == training.FAILED
    code, report, findings = examined(run)
    assert code == 1
    assert facts(report)["state"] == "failed"
    assert "became NaN or infinite" in findings
    assert "model.optimizers.generator.lr=5e+19" in findings
    assert "model.gradient_clip=1" in findings


def test_an_error_of_the_program_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback is in log.txt, and the run did not just stop."""
    run = tmp_path / "run"

    def broken(*arguments: object, **named: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(training, "_announce", broken)
    with pytest.raises(KeyError):
        training.train(tiny("iterations=6"), run)
    code, report, findings = examined(run)
    assert (code, facts(report)["state"]) == (1, "failed")
    assert "problem: failed: KeyError: 'a mistake of ours'" in findings
    assert "Traceback" in (run / "log.txt").read_text()


def test_a_failed_run_that_was_continued_is_finished(run: Path) -> None:
    log = run / "log.txt"
    log.write_text("2026-01-31 12:00:00,000 ERROR failed: KeyError: 'x'\n" + log.read_text())
    _, report, findings = examined(run)
    assert (facts(report)["state"], "KeyError" in findings) == ("finished", False)


def test_collapse_and_balance(run: Path) -> None:
    rewrite(
        run,
        **{
            "generator/latent/diversity": [-0.2] * 4 + [-0.001] * 8,
            "accuracy/discriminator/latent": [0.8] * 4 + [1.0] * 8,
            "accuracy/discriminator/reference": [0.5] * 12,
        },
    )
    code, _, findings = examined(run)
    assert code == 1
    assert "problem: possible mode collapse" in findings
    assert "model.weights.generator.diversity.start=6 or model.optimizers.mapping.lr=0.002" in findings
    assert "so the generator gets little signal" in findings
    assert "model.optimizers.discriminator.lr=0.00025 or model.weights.discriminator.r1=2" in findings
    assert "which is near chance" in findings
    assert "model.optimizers.discriminator.lr=0.001" in findings


def test_losses_that_grow_and_gradients_that_jump(run: Path) -> None:
    rewrite(
        run,
        **{
            "generator/latent/style": [1.0] * 10 + [100.0] * 2,
            "generator/latent/cycle": [0.1 * n for n in range(1, 13)],
            "gradient_norm/generator": [2.0] * 11 + [90.0],
            "iterations_per_second": [10.0] * 9 + [1.0] * 3,
        },
    )
    code, _, findings = examined(run)
    assert code == 0
    assert "generator/latent/style has grown from 1 to 100: training diverges" in findings
    assert "generator/latent/cycle rises" in findings
    assert "model.weights.generator.cycle=3" in findings
    assert "gradient_norm/generator reached 45 times its median at iteration 12" in findings
    assert "model.gradient_clip=10" in findings
    assert "10% of its usual speed" in findings


@pytest.mark.parametrize(
    ("values", "word"),
    [([1.0] * 20, "flat"), ([20.0 - n for n in range(20)], "falling"), ([1.0 + n for n in range(20)], "rising"),
     ([1.0, 3.0] * 10, "flat"), ([5.0] * 3 + [1.0] * 17, "flat")],
)  # fmt: skip
def test_trends(values: list[float], word: str) -> None:
    assert trend(values) == word


def test_samples_without_content_or_change(run: Path) -> None:
    grids = sorted((run / "samples").glob("*_latent.png"))
    assert len(grids) == 2
    shutil.copy(grids[0], grids[1])
    size = Image.open(grids[1]).size
    for path in (run / "samples").glob("*_reference.png"):
        Image.new("RGB", size, (90, 90, 90)).save(path)
    code, _, findings = examined(run)
    assert code == 1
    assert "the grid 'latent' has not changed" in findings
    assert "000006_reference.png has a single colour" in findings


def test_scores_that_were_better(run: Path) -> None:
    (run / "metrics").mkdir(exist_ok=True)
    for iteration, value in ((3, 10.0), (6, 20.0)):
        tree = {"protocol": "clean", "checkpoint": f"{iteration:06d}", "iteration": iteration, "networks": "ema"}
        content = json.dumps({**tree, "scores": {"FID": value}, "better": {"FID": "lower"}})
        (run / "metrics" / f"clean_{iteration:06d}.json").write_text(content)
    _, report, findings = examined(run)
    assert facts(report)["clean: FID"] == "20 at iteration 6"
    assert "clean: FID was 10 at iteration 3 and is 20" in findings


def test_versions_and_data_that_have_changed(run: Path) -> None:
    noted = json.loads((run / "environment.json").read_text())
    noted["packages"]["torch"] = "1.0"
    (run / "environment.json").write_text(json.dumps(noted))
    data = json.loads((run / "data.json").read_text())
    data["train"]["fingerprint"] = "other"
    (run / "data.json").write_text(json.dumps(data))
    _, _, findings = examined(run)
    assert "torch 1.0, now " in findings
    assert "the train images differ" in findings


def test_a_damaged_configuration_is_a_sentence(run: Path, capsys: Out) -> None:
    (run / "config.yaml").write_text("model: [")
    assert main(["doctor", f"run={run}"]) == USER_MISTAKE
    assert "config.yaml:1: this is not YAML" in capsys.readouterr().err


# --- installation --------------------------------------------------------------------------------------------


def test_the_installation(capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for word in ("torch ", "CPU ", "video ", "complete", "GB free"):
        assert word in said


def test_what_an_installation_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = environment.version
    monkeypatch.setattr(environment, "version", lambda name: None if name in ("numpy", "onnx") else real(name))
    monkeypatch.setattr(environment, "shared_package", lambda: Problem("'x' is in the way", fix="pip uninstall x"))
    monkeypatch.setattr(installation, "is_writable", lambda folder: False)
    report = Report("installation")
    installation.examine(report, tmp_path / "cache")
    problems = {each.text: each.fix for each in report.findings("problem")}
    assert problems["the package numpy is missing"] == "pip install translate-gan"
    assert problems["'x' is in the way"] == "pip uninstall x"
    assert any(text.startswith("no permission to write") for text in problems)
    onnx = next(value for section in report.sections for name, value in section.facts if name == "onnx")
    assert onnx.startswith("missing: onnx")


# --- the command ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "shown"), [("iterations=500", "500 iterations in"), ("budget=2h", "in 2:00:00")])
def test_the_cost_is_measured(length: str, shown: str, capsys: Out) -> None:
    words = ["model=stargan_v2_small", "data=critters", "data.num_images=40", "data.num_val_images=30", length]
    small = ["data.image_size=32", "data.batch_size=2", "model.networks.generator.base_width=4", "trainer=cpu"]
    main(["doctor", *words, *small])
    said = capsys.readouterr().out
    assert "an iteration" in said
    assert shown in said
    assert "GB at the peak" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "doctor: there is no folder nowhere. Fix: give a folder of images"),
        (["run=nowhere"], "run: nowhere is not there"),
        (["run=x", "data=folder"], "doctor: expected one of FOLDER, run=RUN_FOLDER and data=..."),
        (["data=folder", "data.root=nowhere"], "data.root: there is no folder"),
        (["data=fodler"], "unknown option 'fodler'. Did you mean 'folder'?"),
        (["data=critters", "data.colour=red"], "data.colour: unknown key 'colour'"),
        (["json=nowhere/report.json"], "json: the folder nowhere does not exist"),
    ],
)
def test_mistakes_are_sentences(
    words: list[str], sentence: str, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", *words]) == USER_MISTAKE
    assert sentence in capsys.readouterr().err
