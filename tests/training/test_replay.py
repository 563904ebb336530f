"""A stretch of a run is trained again: equal to the bit, unless the run says something else than what it computed."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.in_turn import call
from training.tiny import RUN, go_on, tiny, tiny_pix2pix, train
from translate.cli import main
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.runs.machine import machine
from translate.runs.stretch import stretch_of
from translate.training import run as training

Out = pytest.CaptureFixture[str]
EVERY = ["log_every=2", "checkpoint_every=4", "keep_checkpoints=9"]
SCORES = ["metrics=local", "metrics.local.num_iterations=2", "metrics.local.num_sources=3"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of eight iterations with checkpoints at 4 and 8."""
    folder = tmp_path_factory.mktemp("recorded") / "run"
    train(folder, *EVERY, "iterations=8")
    return folder


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, to be changed."""
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def content(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def replay(capsys: Out, folder: Path, *words: str) -> tuple[int, str]:
    """Return the exit code, and what is printed on stdout; a UserError is on stderr."""
    code = main(["replay", f"run={folder}", *words])
    captured = capsys.readouterr()
    return code, captured.out or captured.err


def change_weight(path: Path, by: float) -> str:
    """Change a number of a checkpoint, with right checksums; return the name of the tensor."""
    checkpoint = checkpoints.read(path)
    name = next(name for name in checkpoint.tensors if name.startswith("network.generator"))
    checkpoint.tensors[name] = checkpoint.tensors[name].clone()
    checkpoint.tensors[name].view(-1)[0] += by
    checkpoints.write(checkpoint, path)
    return name


def change_records(folder: Path, change: Callable[[list[dict]], object]) -> None:
    lines = list(RunFolder(folder).records())
    change(lines)
    RunFolder(folder).metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


# --- a run that says the truth ---------------------------------------------------------------------------------


def test_the_last_stretch_is_equal_to_the_bit(recorded: Path, tmp_path: Path, capsys: Out) -> None:
    before = content(recorded)
    code, out = replay(capsys, recorded, f"output={tmp_path / 'again'}")
    assert code == 0, out
    assert "iterations 5 to 8" in out
    assert "trained again from the checkpoint of iteration 4" in out
    assert "equal to the bit" in out
    assert content(recorded) == before
    again = checkpoints.newest(tmp_path / "again")
    assert again.iteration == 8
    terms = next(line for line in out.splitlines() if line.startswith("terms"))
    names = [name for name in next(RunFolder(recorded).records()) if "second" not in name and name != "iteration"]
    assert terms.split()[1:4] == ["2", str(2 * len(names)), "0"]
    tensors = next(line for line in out.splitlines() if line.startswith("tensors"))
    assert tensors.split()[1:4] == ["1", f"{len(again.tensors):,}", "0"]


def test_the_beginning_needs_no_checkpoint(run: Path, capsys: Out) -> None:
    RunFolder(run).checkpoint(4).unlink()
    code, out = replay(capsys, run, "to=6")
    assert code == 0, out
    assert "iterations 1 to 6" in out
    assert "from the beginning" in out
    assert "equal to the bit" in out


def test_a_resume_that_cut_a_record_short_is_no_difference(tmp_path: Path, capsys: Out) -> None:
    """The record of iteration 4 is a mean over one iteration in the run, and over two in the replay."""
    folder = tmp_path / "run"
    train(folder, *EVERY, "iterations=3")
    go_on(folder, "iterations=8")
    assert [start for start, _ in RunFolder(folder).machines()] == [0, 3]
    code, out = replay(capsys, folder, "from=0", "to=8")
    assert code == 0, out
    assert next(line for line in out.splitlines() if line.startswith("terms")).split()[1] == "3"
    assert next(line for line in out.splitlines() if line.startswith("tensors")).split()[1] == "3"
    code, out = replay(capsys, folder, "from=3", "to=8")
    assert code == 0, out
    assert next(line for line in out.splitlines() if line.startswith("terms")).split()[1] == "3", "both were cut"


def test_recorded_scores_are_no_terms(run: Path, capsys: Out) -> None:
    """Scores of an evaluation stand in a record of their own, after that of the terms or without one."""

    def change(lines: list[dict]) -> None:
        lines[:] = [each for line in lines for each in (line, {"iteration": line["iteration"], "local/FID": 3.0})]
        lines.append({"iteration": 7, "local/FID": 2.0})

    _, before = replay(capsys, run)
    change_records(run, change)
    code, out = replay(capsys, run)
    assert code == 0, out
    terms = [next(line for line in text.splitlines() if line.startswith("terms")) for text in (before, out)]
    assert terms[0] == terms[1]
    (run / "machines.json").unlink()
    assert replay(capsys, run)[0] == 0


def test_a_record_without_speeds_is_missing(run: Path, capsys: Out) -> None:
    """A changed record cannot hide as scores."""

    def change(lines: list[dict]) -> None:
        (line,) = (line for line in lines if line["iteration"] == 6)
        line["generator/latent/cycle"] *= 2
        del line["iterations_per_second"], line["images_per_second"]

    change_records(run, change)
    code, out = replay(capsys, run)
    assert code == 1
    assert "at iteration 6 first" in out


def test_a_run_that_was_evaluated_while_it_trained(tmp_path: Path, capsys: Out) -> None:
    folder = tmp_path / "run"
    train(folder, *EVERY, "iterations=4", "checkpoint_every=2", "evaluate_every=1", *SCORES)
    assert any("local/" in name for line in RunFolder(folder).records() for name in line)
    code, out = replay(capsys, folder)
    assert code == 0, out
    assert "equal to the bit" in out


def test_data_may_be_elsewhere(tmp_path: Path, capsys: Out) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        place = tmp_path / "data" / split
        place.mkdir(parents=True)
        for number in range(6):
            Image.fromarray(rng.integers(0, 256, (32, 64, 3), np.uint8)).save(place / f"{number}.png")
    data = ["data=paired", f"data.root={tmp_path / 'data'}", "data.image_size=32", "data.batch_size=2"]
    folder = tmp_path / "run"
    config = tiny_pix2pix.on([*data, "data.cache=null"], *EVERY, "iterations=2")
    assert training.train(config, folder) == 0
    (tmp_path / "data").rename(tmp_path / "moved")
    assert replay(capsys, folder)[0] == 2
    assert replay(capsys, folder, f"data.root={tmp_path / 'moved'}")[0] == 0


@pytest.mark.slow
def test_two_processes_replay_two(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [word for word in RUN if not word.startswith("trainer")]
    words += ["trainer=ddp_cpu", "trainer.threads=1", *EVERY, "checkpoint_every=1", "iterations=2"]
    call(tmp_path, "-m", "translate", *tiny.model, *tiny.data, *words, f"folder={folder}")
    assert RunFolder(folder).machines()[0][1]["processes"] == 2
    assert "equal to the bit" in call(tmp_path, "-m", "translate", "replay", f"run={folder}")


# --- a run that does not ---------------------------------------------------------------------------------------


def test_a_changed_term_is_found(run: Path, capsys: Out) -> None:
    def change(lines: list[dict]) -> None:
        (line,) = (line for line in lines if line["iteration"] == 6)
        line["generator/latent/cycle"] *= 1 + 1e-12

    change_records(run, change)
    code, out = replay(capsys, run)
    assert code == 1
    assert "generator/latent/cycle, iteration 6" in out
    assert "the run differs from its replay, at iteration 6 first" in out


@pytest.mark.parametrize("change", [lambda lines: lines.pop(-2), lambda lines: lines[-2].pop("generator/latent/cycle")])
def test_a_missing_record_or_term_is_found(run: Path, capsys: Out, change: Callable[[list[dict]], object]) -> None:
    change_records(run, change)
    code, out = replay(capsys, run)
    assert code == 1
    assert "at iteration 6 first" in out


def test_a_changed_weight_is_found(run: Path, capsys: Out) -> None:
    name = change_weight(RunFolder(run).checkpoint(8), by=1e-6)
    code, out = replay(capsys, run)
    assert code == 1
    assert f"iteration 8 ({name})" in out
    assert next(line for line in out.splitlines() if line.startswith("terms")).split()[3] == "0"


def test_a_changed_beginning_is_found_in_the_terms(run: Path, capsys: Out) -> None:
    change_weight(RunFolder(run).checkpoint(4), by=0.5)
    code, out = replay(capsys, run)
    assert code == 1
    assert "at iteration 6 first" in out


def test_a_best_checkpoint_is_compared_too(run: Path, capsys: Out) -> None:
    folder = RunFolder(run)
    shutil.copy(folder.checkpoint(8), folder.best_checkpoint)
    folder.scores.mkdir(exist_ok=True)
    (folder.scores / "best.json").write_text(json.dumps({"score": "FID", "value": 1.0, "iteration": 8}))
    assert replay(capsys, run)[0] == 0
    change_weight(folder.best_checkpoint, by=1e-6)
    assert replay(capsys, run)[0] == 1


# --- other machines --------------------------------------------------------------------------------------------


def test_another_machine_is_compared_within_bounds(run: Path, capsys: Out) -> None:
    folder = RunFolder(run)
    folder.note_machine(0, {**folder.machines()[0][1], "threads": 96})
    change_weight(folder.checkpoint(8), by=1e-6)
    code, out = replay(capsys, run)
    assert code == 0, out
    assert "bits may differ: threads 96, now 1" in out
    assert "equal within the bounds" in out
    checkpoint = checkpoints.read(folder.checkpoint(8))
    other = {n: torch.randn_like(t) if n.startswith("network.gen") else t for n, t in checkpoint.tensors.items()}
    checkpoints.write(replace(checkpoint, tensors=other), folder.checkpoint(8))
    code, out = replay(capsys, run)
    assert code == 1
    assert "iteration 8 (network.generator)" in out


def test_other_means_are_found_on_another_machine(run: Path, capsys: Out) -> None:
    (run / "machines.json").unlink()
    change_records(run, lambda lines: [line.update({"generator/latent/cycle": 9.0}) for line in lines[-2:]])
    code, out = replay(capsys, run)
    assert code == 1
    assert "iteration 8 (generator/latent/cycle)" in out
    change_records(run, lambda lines: lines.pop())
    assert replay(capsys, run)[0] == 1


def test_a_run_of_an_earlier_version_has_no_kind_of_machine(run: Path, capsys: Out) -> None:
    (run / "machines.json").unlink()
    code, out = replay(capsys, run)
    assert code == 0, out
    assert "bits may differ: the run has not recorded its kind of machine" in out


def test_settings_of_the_trainer_may_change_bits(run: Path, capsys: Out) -> None:
    code, out = replay(capsys, run, "trainer.convolutions=library")
    assert code == 0, out
    assert "bits may differ: trainer.convolutions fast, now library" in out


def test_the_kind_of_machine() -> None:
    kind = machine(torch.device("cpu"), 2)
    assert kind["device"] == "cpu"
    assert kind["processes"] == 2
    assert kind["threads"] == torch.get_num_threads()
    assert kind["torch"] == torch.__version__
    assert all(kind[key] for key in ("processor", "instructions", "numpy", "pillow"))


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["from=3"], "holds no checkpoint of iteration 3 or before; found 3, expected 0, which is the beginning"),
        (["from=8"], "from: the stretch has no iteration; found 8, expected less than to=8"),
        (["to=9"], "to: the run has not come so far; found 9, expected at most 8"),
        (["from=4", "to=5"], "to: the run has recorded nothing in this stretch"),
        (["seed=3"], "unknown argument 'seed'"),
        (["data.batch_size=2"], "data.batch_size: a replay keeps what its results depend on; found 2, expected 4"),
        (["trainer.precision=bf16-mixed"], "trainer.precision: a replay keeps what its results depend on"),
        (["data=emoji"], "data=emoji: a resumed run keeps its data"),
    ],
)
def test_mistakes(recorded: Path, capsys: Out, words: list[str], sentence: str) -> None:
    code, out = replay(capsys, recorded, *words)
    assert code == 2
    assert sentence in out


def test_other_folders_are_refused(recorded: Path, tmp_path: Path, capsys: Out) -> None:
    assert "run: " in replay(capsys, tmp_path / "nothing")[1]
    before = content(recorded)
    code, out = replay(capsys, recorded, f"output={recorded}")
    assert code == 2
    assert "output: " in out
    assert "is not empty" in out
    assert content(recorded) == before


def test_a_run_without_iterations_has_no_stretch(run: Path, capsys: Out) -> None:
    for path in RunFolder(run).checkpoints().values():
        path.unlink()
    assert stretch_of(RunFolder(run)).end == 8, "the records reach so far"
    RunFolder(run).metrics.unlink()
    assert "has trained nothing yet" in replay(capsys, run)[1]


def test_a_stretch_with_changed_settings_is_refused(run: Path, capsys: Out) -> None:
    path = RunFolder(run).checkpoint(4)
    checkpoint = checkpoints.read(path)
    checkpoint.config["seed"] = 5
    checkpoints.write(checkpoint, path)
    code, out = replay(capsys, run, "from=0", "to=8")
    assert code == 2
    assert "the run was resumed with another seed after iteration 4" in out
    assert "Fix: to=4 or from=4" in out


def test_processes_that_were_started_before_are_refused(
    recorded: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, out = replay(capsys, recorded)
    assert code == 2
    assert "start one process" in out
