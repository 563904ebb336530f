"""Folders of images with links to nowhere, names of any bytes and any length, and places that cannot be read."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from translate.cli import USER_MISTAKE, main
from translate.data import images
from translate.data.images import list_images
from translate.files.writing import LONGEST_NAME, UNFINISHED, atomic_write, beside

Out = pytest.CaptureFixture[str]
LONG = "n" * (LONGEST_NAME - 4) + ".png"
UNREADABLE = ("gone.png", "itself.png")
READABLE = (LONG, "a.png", "\udcff\udcfe.png", "two\nlines.png")
REASONS = {"gone.png": "no such file or directory", "itself.png": "too many levels of symbolic links"}


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a folder ``photos`` of images, and of what is no image."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    (folder / "folder.png").mkdir(parents=True)
    for number, name in enumerate(READABLE):
        Image.new("RGB", (24, 24), (40 * number, 90, 200)).save(folder / "a.tmp", "PNG")
        os.rename(folder / "a.tmp", folder / name)
    os.symlink("nowhere.png", folder / "gone.png")
    os.symlink("itself.png", folder / "itself.png")
    os.symlink("itself", folder / "itself")
    os.symlink(".", folder / "again")
    os.mkfifo(folder / "pipe.png")
    return folder


def test_the_images_of_such_a_folder(photos: Path) -> None:
    assert set(list_images(photos)) == {*READABLE, *UNREADABLE}


def test_apply_translates_what_can_be_read_and_names_the_rest(capsys: Out) -> None:
    words = ["apply", "input=photos", "output=out", "target=cat", "resolution=model"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert said.startswith("4 translations in out (")
    assert [line.strip() for line in said.splitlines()[-2:]] == [
        f"{Path('photos', name)} cannot be read: {REASONS[name]}" for name in UNREADABLE
    ]
    assert {path.name for path in Path("out").iterdir()} == {*READABLE, "translations.jsonl"}
    lines = [json.loads(line) for line in Path("out/translations.jsonl").read_text("utf-8").splitlines()]
    assert {line["output"] for line in lines} == set(READABLE)
    assert main(words) == 1
    assert "4 were there already" in capsys.readouterr().out


def test_names_that_become_too_long_are_known_before_the_work(capsys: Out) -> None:
    for words in (["format=webp"], ["names='{name}_as_cat'"]):
        assert main(["apply", "input=photos", "output=out", "target=cat", *words]) == USER_MISTAKE
        (line,) = capsys.readouterr().err.splitlines()
        key = "input" if words == ["format=webp"] else "names"
        assert line.startswith(f"{key}: the names of translations would have more than 255 bytes; found photos/nnn")
    assert not Path("out").exists()


def test_stylize_reads_the_same_files(capsys: Out) -> None:
    words = ["stylize", "input=photos", "output=out", "evaluations=1", "size=16", "save_every=1"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert said.startswith("4 images in out (")
    for name in UNREADABLE:
        assert f"not read: photos/{name} cannot be read: {REASONS[name]}" in said
    assert {path.name for path in Path("out").iterdir()} == {*READABLE, "translations.jsonl"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grid", "input=photos"], "input: photos/gone.png cannot be read: no such file or directory"),
        (
            ["grid", "input=photos/a.png", "reference=photos", "target=[cat]"],
            "reference: photos/gone.png cannot be read: no",
        ),
        (["video", "input=photos"], "input: photos/gone.png cannot be read: no such file or directory"),
        (["apply", "input=photos/a.png", "reference=photos"], "reference: photos/gone.png cannot be read: no such"),
        (["apply", "input=photos/itself.png"], "input: there is no such file or folder; found 'photos/itself.png'"),
        (["apply", f"input={'n' * 300}.png"], "this place cannot be used (File name too long). Fix: choose a shorter"),
        (
            ["stylize", "style=photos/itself.png"],
            "style: there is no such file; found 'photos/itself.png'",
        ),
    ],
)
def test_one_sentence_each(words: list[str], said: str, capsys: Out) -> None:
    assert main([*words, "output=made.png" if words[0] == "grid" else "output=made.mp4"]) == USER_MISTAKE
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert said in errors[0]
    assert not list(Path().glob("made*"))


@pytest.mark.parametrize("words", [["apply"], ["grid"], ["video"], ["stylize"]])
def test_a_folder_that_cannot_be_listed(words: list[str], capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: Any) -> Iterator[os.DirEntry[str]]:
        if os.fspath(path).endswith("folder.png"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(images.os, "scandir", refusing)
    assert (
        main([*words, "input=photos", "output=made.gif" if words == ["video"] else "output=made.png"]) == USER_MISTAKE
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert line == ("photos/folder.png: this place cannot be used (Permission denied). Fix: check the permissions")


@pytest.mark.parametrize("words", [["doctor"], ["model=stargan_v2_small", "iterations=1", "folder=run"]])
def test_a_data_set_with_such_images(words: list[str], capsys: Out) -> None:
    """Links to nowhere count among the images that cannot be read."""
    Path("other").mkdir()
    for number in range(3):
        Image.new("RGB", (24, 24), (number, 0, 0)).save(f"other/{number}.png")
    code = main([*words, "data=folder", "data.root=.", "data.image_size=32", "data.cache=null"])
    assert code in (1, USER_MISTAKE)
    captured = capsys.readouterr()
    said = " ".join((captured.out + captured.err).replace(" (cannot", " cannot").split())
    assert any(f"photos/{name} cannot be read: {reason}" in said for name, reason in REASONS.items())
    assert "Traceback" not in said


def test_an_unfinished_file_has_a_name_that_fits(tmp_path: Path) -> None:
    atomic_write(tmp_path / LONG, "whole")
    assert (tmp_path / LONG).read_text() == "whole"
    names = [beside(Path(name), ".state").name for name in (LONG, "m" + LONG[1:], "cat.png")]
    assert len(set(names)) == 3
    assert names[2] == "cat.png.state"
    assert all(len(beside(Path(name), UNFINISHED).name) <= LONGEST_NAME for name in names)
