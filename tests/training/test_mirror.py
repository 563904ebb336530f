"""Runs that are copied to an address while they train, and go on from there on another machine."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stores import object_store
from training.tiny import TINY, differences, train
from translate.cli import command, main
from translate.commands.arguments import parse
from translate.config.schema import read_yaml
from translate.downloads.remote import RemoteFolder, open_folder
from translate.runs import checkpoints, remote_runs
from translate.runs.checkpoints import Checkpoint
from translate.runs.mirror import Mirror
from translate.tables import run_scores

ADDRESS = "memory://store/run"
STEPS = ["checkpoint_every=2", "sample_every=2"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return train(tmp_path_factory.mktemp("whole") / "run", "iterations=6", *STEPS)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MemoryFileSystem.store.clear()
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path / "cache"))


def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path / "another"))


def names(address: str) -> set[str]:
    return set(open_folder(address, "folder").sizes())


def at(address: str) -> Checkpoint:
    return checkpoints.newest(remote_runs.local_folder(address))


def begin(*words: str) -> int:
    return main([*TINY, *STEPS, f"folder={ADDRESS}", *words])


def test_a_run_is_copied_and_continues_on_another_machine_to_the_bit(
    whole: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert begin("iterations=4") == 0
    copied = names(ADDRESS)
    assert {"config.yaml", "environment.json", "metrics.jsonl", "log.txt", "overrides.txt"} <= copied
    assert {name for name in copied if name.startswith("checkpoints/")} == {
        f"checkpoints/00000{iteration}.safetensors" for iteration in (2, 4)
    }
    assert "samples/000004_latent.png" in copied
    local = remote_runs.local_folder(ADDRESS)
    assert read_yaml(local / "config.yaml")["folder"] == ADDRESS
    another_machine(tmp_path, monkeypatch)
    assert remote_runs.local_folder(ADDRESS) != local
    assert run_scores.folders([ADDRESS]) == [remote_runs.local_folder(ADDRESS)]
    assert parse(command("apply"), [f"run={ADDRESS}"]).run == str(remote_runs.local_folder(ADDRESS))
    assert main([f"resume={ADDRESS}", "iterations=6"]) == 0
    assert differences(whole, at(ADDRESS)) == []
    assert {name for name in names(ADDRESS) if name.startswith("checkpoints/")} == {
        f"checkpoints/00000{iteration}.safetensors" for iteration in (4, 6)
    }
    assert open_folder(ADDRESS, "run").text("metrics.jsonl").count("\n") == 6


def test_an_address_with_a_run_is_refused_or_continued_by_auto(
    whole: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert begin("iterations=2") == 0
    another_machine(tmp_path, monkeypatch)
    assert begin("iterations=6") == 2
    assert (
        f"folder: {ADDRESS} is not empty. Fix: name a new folder, or write resume={ADDRESS}" in capfd.readouterr().err
    )
    assert begin("iterations=6", "resume=auto") == 0
    assert differences(whole, at(ADDRESS)) == []


def test_a_checkpoint_that_is_cut_short_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert begin("iterations=4") == 0
    place = "/store/run/checkpoints/000004.safetensors"
    content = MemoryFileSystem().cat_file(place)
    MemoryFileSystem().pipe_file(place, content[: len(content) // 2])
    another_machine(tmp_path, monkeypatch)
    assert checkpoints.newest(remote_runs.fetch(ADDRESS, "resume")).iteration == 2


def test_newer_local_state_is_not_replaced_and_another_run_is_not_either(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert begin("iterations=2") == 0
    folder = remote_runs.local_folder(ADDRESS)
    monkeypatch.setattr(Mirror, "_copy_all", lambda self: None)  # the store does not get what follows
    assert main([f"resume={folder}", "iterations=4"]) == 0
    monkeypatch.undo()
    monkeypatch.setenv("TRANSLATE_CACHE", str(folder.parents[3]))
    assert names(ADDRESS) & {"checkpoints/000004.safetensors"} == set()
    assert checkpoints.newest(remote_runs.fetch(ADDRESS, "resume")).iteration == 4
    (folder / "environment.json").write_text("{}")
    assert main([f"resume={ADDRESS}"]) == 2
    assert f"holds another run than {ADDRESS}. Fix: move or delete" in capfd.readouterr().err


def test_a_run_that_names_a_foreign_address_is_not_copied_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert begin("iterations=2") == 0
    downloaded = tmp_path / "downloaded"
    shutil.copytree(remote_runs.local_folder(ADDRESS), downloaded)
    MemoryFileSystem.store.clear()
    assert main([f"resume={downloaded}", "iterations=3"]) == 0
    assert names(ADDRESS) == set()
    assert read_yaml(downloaded / "config.yaml")["folder"] == str(downloaded)


def test_copies_that_fail_at_the_end_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    honest = RemoteFolder.store

    def store(self: RemoteFolder, path: Path, name: str, *rest: object) -> None:
        if name.startswith("checkpoints/"):
            raise PermissionError("no")
        honest(self, path, name)

    monkeypatch.setattr(RemoteFolder, "store", store)
    assert begin("iterations=2") == 2
    said = capfd.readouterr().err
    assert "the run is whole in" in said
    assert "Fix: repeat the copying by: python -m translate resume=" in said
    assert at(ADDRESS).iteration == 2


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with object_store() as address:
        yield address


def test_a_signal_copies_the_last_state_to_an_object_store_and_shows_no_secret(
    whole: Checkpoint, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = store.replace("s3://", "s3://user:password@")
    command = [sys.executable, "-m", "translate", *TINY, *STEPS, "iterations=1000", f"folder={secret}/run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ) as run:
        end = time.monotonic() + 120
        while not remote_runs.numbered(names(f"{store}/run")) and time.monotonic() < end:
            time.sleep(0.2)
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=120)
    assert run.returncode == 128 + signal.SIGTERM, said
    assert f"continue by: python -m translate resume={store}/run" in said
    assert "not all files were copied" not in said
    local = remote_runs.local_folder(f"{store}/run")
    texts = {path.name: path.read_bytes() for path in local.rglob("*") if path.is_file()}
    assert [name for name, text in {"output": said.encode(), **texts}.items() if b"password" in text] == []
    reached = at(f"{store}/run").iteration
    another_machine(tmp_path, monkeypatch)
    copied = checkpoints.newest(remote_runs.fetch(f"{store}/run", "resume"))
    assert copied.iteration == reached
    assert differences(checkpoints.read(local / "checkpoints" / f"{reached:06d}.safetensors"), copied) == []
