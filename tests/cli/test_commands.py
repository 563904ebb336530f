"""Commands as a user meets them: what they print, how they end, one sentence for every mistake."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate import __version__
from translate.cli import MODULES, USER_MISTAKE, commands, main
from translate.commands.arguments import INTERNAL_GROUPS
from translate.config.search_path import groups
from translate.registry.registry import REGISTRIES

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder; nothing may be left in it."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def picture(path: Path, size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(str(path))).integers(0, 255, (size, size, 3), np.uint8)).save(path)
    return path


def refused(out: Out, *words: str) -> str:
    """Return the one sentence with which these words are refused."""
    assert main(words) == USER_MISTAKE
    said = out.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


# --- help and version ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["-h", "--help", "help"])
def test_overview_names_every_command(capsys: Out, word: str) -> None:
    assert main([word]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for command in commands():
        assert (f"\n  {command.name} " in said.out) == (not command.hidden)
        assert command.hidden or command.summary in said.out


def test_version(capsys: Out) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"translate-gan {__version__}\n"


def test_help_without_a_command_is_the_training_commands(capsys: Out) -> None:
    assert main(["seed=3", "--help"]) == 0
    said = capsys.readouterr().out
    assert "[train]" in said
    assert all(f"  {group} " in said for group in groups() if group not in INTERNAL_GROUPS)


def test_unknown_commands_are_answered_with_a_near_one(capsys: Out) -> None:
    assert "unknown command 'shwo'. Did you mean 'show'?" in refused(capsys, "shwo")
    said = refused(capsys, "zebra")
    known = said.partition("Known: ")[2].partition(" and ")[0].split(", ")
    assert set(known) < set(MODULES) - {"join"}  # which is not for typing
    assert "key=value" in said


# --- list ---------------------------------------------------------------------------------------------------


def test_list_names_everything(capsys: Out) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for kind, registry in REGISTRIES.items():
        assert kind in said
        assert all(name in said for name in registry.names())
    for group, options in groups().items():
        assert group in said
        assert all(option in said for option in options)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_list_of_a_kind_gives_summary_and_arguments(capsys: Out, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("COLUMNS", "10000")
    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    for entry in REGISTRIES[kind].index().values():
        at = lines.index(entry.name)
        assert lines[at + 1].strip() == entry.summary
        assert lines[at + 2].strip().startswith("(")
    assert not any(re.search(r"\bsplit:", line) for line in lines)  # what the program hands in is not the user's


@pytest.mark.parametrize("group", [group for group in groups() if group not in REGISTRIES])
def test_list_of_a_group_names_its_options(capsys: Out, group: str) -> None:
    assert main(["list", group]) == 0
    said = capsys.readouterr().out
    assert all(f"{option}\n" in said for option in groups()[group])


def test_list_of_several(capsys: Out) -> None:
    assert main(["list", "losses", "trainer"]) == 0
    said = capsys.readouterr().out
    assert "non_saturating" in said
    assert "ddp_cpu" in said


def test_list_refuses_what_there_is_not(capsys: Out) -> None:
    assert "list: unknown kind 'loses'. Did you mean 'losses'?" in refused(capsys, "list", "loses")
    assert "the package 'no_such_lab' does not exist" in refused(capsys, "list", "plugins=[no_such_lab]")


# --- show ---------------------------------------------------------------------------------------------------


def test_show_resolves_everything(capsys: Out) -> None:
    assert main(["show", "data.domains=[cat,fox]", "iterations=7"]) == 0
    said = capsys.readouterr().out
    assert "iterations: 7\n" in said
    assert "num_domains: 2\n" in said
    assert "${" not in said
    assert "???" not in said


def test_show_a_run(capsys: Out, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 3  # kept as it is\n")
    assert main(["show", f"run={run}"]) == 0
    assert capsys.readouterr().out == "seed: 3  # kept as it is\n"
    assert "the configuration of a run takes no overrides" in refused(capsys, "show", f"run={run}", "seed=4")


def test_show_refuses_folders_without_a_configuration(capsys: Out, tmp_path: Path) -> None:
    said = refused(capsys, "show", f"run={tmp_path}")
    assert f"{tmp_path} is a folder without config.yaml" in said
    assert "config.yaml" in said


def test_join_needs_a_run_folder(capsys: Out) -> None:
    assert "expected run=RUN_FOLDER" in refused(capsys, "join")


# --- data that cannot serve: one sentence each, before training starts ---------------------------------------


def folder_words(root: Path, *more: str) -> tuple[str, ...]:
    return ("data=folder", f"data.root={root}", "data.image_size=32", "data.cache=null", "metrics=none", *more)


def test_missing_root(capsys: Out, tmp_path: Path, place: Path) -> None:
    picture(tmp_path / "photos" / "cat" / "1.png")
    assert "there is no folder" in (said := refused(capsys, *folder_words(tmp_path / "photoz")))
    assert "photos, which has the nearest name" in said
    assert list(place.iterdir()) == []


def test_root_is_a_file(capsys: Out, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    assert "a.png, expected a folder" in refused(capsys, *folder_words(path))


def test_root_without_class_folders(capsys: Out, tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "photos" / f"{number}.png")
    said = refused(capsys, *folder_words(tmp_path / "photos"))
    assert "3 image files" in said
    assert "expected one folder for each domain" in said


def test_a_single_domain(capsys: Out, tmp_path: Path, place: Path) -> None:
    for number in range(3):
        picture(tmp_path / "photos" / "cat" / f"{number}.png")
    said = refused(capsys, *folder_words(tmp_path / "photos"))
    assert "only 'cat'" in said
    assert list(place.iterdir()) == []


def test_an_empty_domain(capsys: Out, tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "photos" / "cat" / f"{number}.png")
    (tmp_path / "photos" / "dog").mkdir()
    assert "domain 'dog' is empty" in refused(capsys, *folder_words(tmp_path / "photos"))


def test_parts_of_different_domains(capsys: Out, tmp_path: Path) -> None:
    for part, domains in (("train", ("cat", "dog")), ("val", ("cat", "fox"))):
        for domain in domains:
            picture(tmp_path / "photos" / part / domain / "1.png")
    said = refused(capsys, *folder_words(tmp_path / "photos"))
    assert "differ between train/ and val/" in said
    assert "dog not in val/" in said
    assert "fox not in train/" in said


def test_a_domain_that_is_not_there(capsys: Out, tmp_path: Path) -> None:
    for domain in ("cat", "dog"):
        for number in range(2):
            picture(tmp_path / "photos" / domain / f"{number}.png")
    said = refused(capsys, *folder_words(tmp_path / "photos", "data.domains=[cat,dgo]"))
    assert "no domain 'dgo'. Did you mean 'dog'?" in said


def test_an_image_size_that_the_network_cannot_take(capsys: Out) -> None:
    said = refused(capsys, "data.image_size=48")
    assert "found 48" in said
    assert "power of two" in said


def test_a_root_must_be_given(capsys: Out) -> None:
    assert "data.root: the value is missing" in refused(capsys, "data=folder")


def test_a_folder_that_is_not_empty_is_not_written_into(capsys: Out, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    said = refused(capsys, f"folder={tmp_path / 'taken'}", "metrics=none")
    assert "is not empty" in said
    assert f"resume={tmp_path / 'taken'}" in said
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["letter.txt"]


def test_several_mistakes_are_said_at_once(capsys: Out) -> None:
    assert main(["seed=a", "data.image_size=48", "trainer.devces=1"]) == USER_MISTAKE
    said = capsys.readouterr().err
    assert said.startswith("3 problems:\n")
    assert len(said.splitlines()) == 4


def python(*words: str, place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "translate", *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_too_many_bad_images_stop_a_run_with_one_sentence(tmp_path: Path, place: Path) -> None:
    for domain in ("cat", "dog"):
        for number in range(4):
            picture(tmp_path / "photos" / domain / f"{number}.png")
    (tmp_path / "photos" / "dog" / "9.png").write_bytes(b"no image at all")
    answer = python(*folder_words(tmp_path / "photos", "trainer=cpu", "iterations=1"), place=place)
    assert answer.returncode == USER_MISTAKE, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "9.png" in answer.stderr
    assert "data.max_bad_fraction" in answer.stderr.splitlines()[-1]


def test_a_reader_that_goes_away_is_no_mistake(place: Path) -> None:
    command = f"{sys.executable} -m translate list networks | head -n 1"
    answer = subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, text=True, timeout=60, check=False)
    assert answer.stdout.count("\n") == 1
    assert "Traceback" not in answer.stderr
    assert "BrokenPipe" not in answer.stderr
