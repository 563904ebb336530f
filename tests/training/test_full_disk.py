"""A disk becomes full while a file is written: one sentence with its path, nothing half-written, nothing lost."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from full_disk import REASON, full_disk, full_during
from training.tiny import go_on, tiny, train
from translate.cli import USER_MISTAKE, main
from translate.errors import UserError
from translate.export import onnx, torch_export, weights
from translate.files import writing
from translate.inference import grids, video
from translate.inference.apply import _Worker
from translate.runs import folder as folders
from translate.runs.folder import RunFolder
from translate.runs.places import SHIPPED
from translate.runs.records import append_record, read_records
from translate.training import run as training
from translate.weights import format
from translate.weights.published import detect

Out = pytest.CaptureFixture[str]
EVERY = ["checkpoint_every=1", "iterations=3"]


def stopped(folder: Path, *overrides: str) -> str:
    """Train until the disk is full; return the sentence."""
    with pytest.raises(UserError) as raised:
        training.train(tiny(*EVERY, *overrides), folder, None, list(overrides))
    return str(raised.value)


def unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(writing.UNFINISHED)]


@pytest.mark.parametrize(
    ("method", "limit", "name"),
    [
        ("save_image", 100, "samples/000002_"),
        pytest.param("append", 100, "metrics.jsonl", marks=pytest.mark.slow),
    ],
)
def test_a_file_of_a_run(method: str, limit: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        full_during(patch, RunFolder, method, limit, call=2 if method == "append" else 4)
        said = stopped(tmp_path, "sample_every=1")
    assert said.startswith(f"{tmp_path / name}")
    assert f": {REASON}; the checkpoint of iteration " in said
    assert said.endswith(f"Fix: free space; continue by: python -m translate resume={tmp_path}")
    assert unfinished(tmp_path) == []
    run = RunFolder(tmp_path)
    assert [record["iteration"] for record in run.records()][:1] == [1]
    assert all(Image.open(path).size for path in run.samples.glob("*.png"))
    assert go_on(tmp_path).iteration == 3
    assert [record["iteration"] for record in run.records()] == [1, 2, 3]


def test_a_log_that_cannot_be_written_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    full_during(monkeypatch, folders.LogFile, "emit", call=3)
    full_during(monkeypatch, folders.LogFile, "close")
    train(tmp_path, "iterations=1")
    said = capsys.readouterr().err
    assert said.count("log.txt: cannot be written (File too large), so the log lacks lines") == 1
    assert "Traceback" not in said
    assert "Logging error" not in said


def test_an_error_of_the_program_in_a_message_of_the_log_is_shown(tmp_path: Path, capsys: Out) -> None:
    handler = folders.LogFile(tmp_path / "log.txt")
    handler.handle(logging.LogRecord("translate", logging.INFO, "", 0, "%d of %d", (1,), None))
    assert "not enough arguments" in capsys.readouterr().err
    handler.close()


def test_a_record_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_record(path, {"iteration": 1, "term": 0.5})
    before = path.read_bytes()
    with full_disk(len(before) + 5), pytest.raises(OSError, match=REASON) as raised:
        append_record(path, {"iteration": 2, "term": 0.5})
    assert raised.value.filename == str(path)
    assert path.read_bytes() == before
    append_record(path, {"iteration": 2, "term": 0.25})
    assert [record["iteration"] for record in read_records(path)] == [1, 2]


# --- commands -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with two small photographs."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        (tmp_path / "photos").mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path


def refused(capsys: Out, *words: str) -> str:
    assert main(list(words)) == USER_MISTAKE
    (line,) = [line for line in capsys.readouterr().err.splitlines() if REASON in line]
    return line


def test_translations(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    words = ["apply", "input=photos", "output=out", "target=cat", "resolution=model"]
    with monkeypatch.context() as patch:
        full_during(patch, _Worker, "_write", limit=1500)
        assert refused(capsys, *words) == f"out/0.png: cannot be written: {REASON}"
    assert unfinished(place / "out") == []
    assert main(words) == 0
    assert sorted(path.name for path in (place / "out").iterdir()) == ["0.png", "1.png", "translations.jsonl"]


def test_records_of_translations(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    """The image is there and its record is not: `overwrite` is the way on, as for any file of unknown origin."""
    words = ["apply", "input=photos/0.png", "output=out", "target=cat", "resolution=model"]
    with monkeypatch.context() as patch:
        full_during(patch, writing, "append_whole")
        patch.setattr("translate.inference.records.append_whole", writing.append_whole)
        assert refused(capsys, *words) == f"out/translations.jsonl: cannot be written ({REASON})"
    assert (place / "out" / "translations.jsonl").read_bytes() == b""
    assert main([*words, "overwrite=true"]) == 0


@pytest.mark.parametrize(
    ("words", "owner", "name", "path"),
    [
        (["export", "weights=critters", "to=w.safetensors"], weights, "write", "w.safetensors"),
        (["export", "weights=critters", "to=o", "format=official"], detect, "atomic_write", "o: cannot be written"),
        (["import", "weights=c.safetensors", "to=w.safetensors"], format, "write", "w.safetensors"),
        (["grid", "input=photos", "output=w.png", "target=[cat]"], grids, "save", "w.png"),
        (["grid", "input=photos", "output=w.webp", "target=[cat]"], grids, "save", "w.webp"),
        (["video", "input=photos/0.png", "output=w.gif", "steps=1"], video, "write", "w.gif"),
        (["video", "input=photos/0.png", "output=w.mp4", "steps=1"], video, "write", "w.mp4"),
        pytest.param(
            ["export", "weights=critters", "to=o", "format=onnx", "graphs=[mapping]"],
            onnx,
            "write",
            "o: ",
            marks=pytest.mark.slow,
        ),
        (
            ["export", "weights=critters", "to=o", "format=torch_export", "graphs=[mapping]"],
            torch_export,
            "write",
            "o: ",
        ),
    ],
)
def test_files_of_commands(
    words: list[str], owner: Any, name: str, path: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    shutil.copy(SHIPPED / "critters.safetensors", "c.safetensors")
    full_during(monkeypatch, owner, name, limit=100)
    assert main(words) == USER_MISTAKE
    line = capsys.readouterr().err.splitlines()[-1]
    assert path in line
    assert REASON in line or "the film was not written to its end" in line
    assert not list(place.glob("w.*"))
    assert not list(place.glob("o/*"))
