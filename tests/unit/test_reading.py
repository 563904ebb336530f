"""Files of anybody are read in one place: regular ones, of bounded size, and every fault is a sentence."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from translate import cli
from translate.errors import ConfigError, Problem, UserError
from translate.files import reading
from translate.files.reading import (
    of_system,
    parse_object,
    read_bytes,
    read_lines,
    read_object,
    read_text,
    require_folder,
)
from translate.files.writing import atomic_write, sha256_of
from translate.runs.folder import RunFolder
from translate.runs.records import append_record, read_records
from translate.runs.saved_config import require_shape

Out = pytest.CaptureFixture[str]

PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, r"the file cannot be read \(No such file or directory\)"),
    "a folder": (lambda path: path.mkdir(), "no file can be read here; found a folder, expected a file"),
    "a pipe": (os.mkfifo, "no file can be read here; found a pipe, expected a file"),
    "a device": (
        lambda path: path.symlink_to("/dev/zero"),
        "no file can be read here; found a device, expected a file",
    ),
    "a link to itself": (
        lambda path: path.symlink_to(path.name),
        r"the file cannot be read \(Too many levels of symbolic links\). Fix: remove the link, which leads to itself",
    ),
    "a dangling link": (lambda path: path.symlink_to("x"), r"the file cannot be read \(No such file or directory\)"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "bytes": read_bytes,
    "text": read_text,
    "object": read_object,
    "lines": lambda path: list(read_lines(path)),
    "digest": sha256_of,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_refused_at_once(place: str, reader: str, tmp_path: Path) -> None:
    make, sentence = PLACES[place]
    path = tmp_path / "file"
    make(path)
    with pytest.raises(UserError, match=sentence) as caught:
        READERS[reader](path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    for reader in READERS.values():
        with pytest.raises(UserError) as caught:
            reader(tmp_path / name)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses nothing to the user of these tests, who may be root, so this is said in its place."""

    def refuse(path: object, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "file").touch()
    monkeypatch.setattr(reading.os, "open", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\). Fix: check the permissions"):
        read_text(tmp_path / "file")


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(40 << 30)
    for reader in (read_bytes, read_text, read_object):
        with pytest.raises(UserError, match=r"too large; found 42,949,672,960 bytes, expected at most 256,000,000"):
            reader(path)
    with pytest.raises(UserError, match=r"file:1: the line is too long"):
        list(read_lines(path))
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(UserError, match="too large"):
        read_bytes(path, 4)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff", "the file is not text; found byte 0xff at position 0, expected UTF-8"),
        (b"[" * 100_000, "this is not JSON (it has too many levels)"),
        (b'{"a": ', "this is not JSON (Expecting value: line 1 column 7 (char 6))"),
        (b'{"a": ' + b"9" * 5000 + b"}", "this is not JSON (Exceeds the limit"),
        (b"[1]", "found a list, expected a mapping in JSON"),
        (b"null", "found null, expected a mapping in JSON"),
        (b"3", "found a number, expected a mapping in JSON"),
    ],
)
def test_what_is_no_mapping_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_object(path, fix="delete it")
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert str(caught.value).endswith("Fix: delete it")
    assert parse_object('{"a": 1}', "here") == {"a": 1}


def test_a_folder_is_required(tmp_path: Path) -> None:
    require_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="found a file, expected a folder"):
        require_folder(tmp_path / "file")


# --- the system ---------------------------------------------------------------------------------------------


def test_errors_about_a_place_are_sentences_and_others_are_not() -> None:
    error = of_system(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300))
    assert error is not None
    assert str(error).endswith("(File name too long). Fix: choose a shorter name") and len(str(error)) < 300
    assert of_system(ConnectionResetError(errno.ECONNRESET, "reset")) is None


def test_a_place_that_cannot_be_used_ends_a_command_in_a_sentence(capsys: Out) -> None:
    assert cli.main(["show", f"run={'x' * 300}"]) == 2
    said = capsys.readouterr().err
    assert "File name too long" in said and "choose a shorter name" in said


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: object) -> str:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(cli, "_answer", fail)
    with pytest.raises(ConnectionResetError):
        cli.main([])


def test_a_new_file_does_not_take_the_place_of_something_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("pipe", "null"):
        with pytest.raises(UserError, match="expected a file"):
            atomic_write(tmp_path / name, "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]
    (tmp_path / "link").symlink_to("nowhere")
    atomic_write(tmp_path / "link", "text")
    assert (tmp_path / "link").read_text() == "text"


@pytest.mark.parametrize("make", [lambda path, victim: path.symlink_to(victim), lambda path, victim: os.mkfifo(path)])
def test_an_unfinished_file_is_not_written_through_a_link_or_pipe(
    make: Callable[[Path, Path], object], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    make(tmp_path / "config.yaml.unfinished", tmp_path / "mine")
    atomic_write(tmp_path / "config.yaml", "theirs")
    assert (tmp_path / "mine").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "mine"]


# --- run folders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.txt", "metrics.jsonl", ".lock", "checkpoints", "samples", "metrics"])
def test_a_run_does_not_write_through_a_link_out_of_its_folder(name: str, tmp_path: Path) -> None:
    run, mine = RunFolder(tmp_path / "run"), tmp_path / "mine"
    run.path.mkdir()
    mine.mkdir() if "." not in name else mine.write_text("mine")
    (run.path / name).symlink_to(mine)
    with pytest.raises(UserError, match="this link leads out of the run folder"), run.claimed(resumes=True):
        pass
    (run.path / name).unlink()
    os.rename(mine, run.path / "inside")
    (run.path / name).symlink_to("inside")
    run.require_inside()


def test_names_that_python_takes_for_numbers_are_no_iterations(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in ("²", "٣", "9" * 200, "000004"):
        (tmp_path / "checkpoints" / f"{name}.safetensors").touch()
    assert list(run.checkpoints()) == [4]
    with pytest.raises(UserError, match="checkpoint: found '²', expected last, best or an iteration"):
        run.choose("²")


def test_a_record_that_was_cut_short_makes_room_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert list(read_records(path)) == []
    append_record(path, {"iteration": 1, "loss": float("nan")})
    whole = path.read_bytes()
    for rest in (b'{"iteration": 2, "lo', b"x" * 200_000, b"[" * 90_000):
        path.write_bytes(whole + rest)
        assert [record["iteration"] for record in read_records(path)] == [1]
        append_record(path, {"iteration": 3})
        assert path.read_bytes() == whole + b'{"iteration": 3}\n'
    path.write_bytes(b"no end")
    append_record(path, {"iteration": 4})
    assert path.read_bytes() == b'{"iteration": 4}\n'


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[1]", b"{}", b'{"iteration": true}', b'{"iteration": [2]}', b"{"])
def test_a_line_that_is_no_record_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"iteration": 1}\n' + line + b'\n{"iteration": 3}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl:2: this line is no record.* Fix: remove line 2"):
        list(read_records(path))


@pytest.mark.parametrize("name", ["metrics.jsonl", "log.txt", ".lock", "data.json"])
def test_a_folder_in_the_place_of_a_file_is_refused_by_every_user_of_a_run(name: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config_file.write_text("seed: 1\n")
    run.require_run()
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name}: no file can be read here; found a folder"):
        run.require_run()
    with pytest.raises(UserError, match="found a folder"), run.claimed(resumes=True):
        pass


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config_file.write_text("seed: 1\n")
    run.samples.touch()
    with pytest.raises(UserError, match="samples: found a file, expected a folder"):
        run.require_run()


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"model": 3}, "has a damaged key model; found a number, expected a mapping"),
        ({"model": {"name": None}}, "has a damaged key model.name; found null, expected a text"),
        ({"seed": "1"}, "has a damaged key seed; found a text, expected a whole number"),
        ({"plugins": [1]}, "has a damaged key plugins; found a list of other values, expected a list of texts or null"),
        ({"model": {"networks": {"g": 1}}}, "has a damaged key model.networks.g; found a number, expected a mapping"),
        ({}, "is not whole; expected the key seed"),
    ],
)
def test_a_saved_configuration_has_a_shape(tree: dict, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        require_shape({"seed": 1, **tree} if tree else tree, "config.yaml", ("seed",))
    assert str(caught.value) == f"config.yaml: the saved configuration {sentence}"


# --- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "finite"),
    [
        (1, True),
        (-2.5, True),
        (10**400, False),
        (float("nan"), False),
        (float("inf"), False),
        (True, False),
        ("1", False),
    ],
)
def test_numbers_that_no_float_holds_are_not_finite(value: object, finite: bool) -> None:
    assert reading.is_finite(value) == finite


def test_a_message_shows_the_ends_of_long_names_and_of_many_problems() -> None:
    said = str(UserError("unknown domain", found="cat", known=["x" * 5000, "y"]))
    assert said == f"unknown domain 'cat'. Known: {'x' * 80}...{'x' * 15}, y"
    lines = str(ConfigError([Problem(key=f"key{k}", found=k) for k in range(70)])).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (52, "70 problems:", "  and 20 more")


@pytest.mark.parametrize("value", ["x" * 10_000, 10**5000, list(range(9999))], ids=["text", "number", "list"])
def test_a_sentence_shows_the_ends_of_a_long_value(value: object) -> None:
    sentence = str(UserError(key="a", found=value, expected="less"))
    assert sentence.startswith("a: found ") and sentence.endswith(", expected less")
    assert len(sentence) < 450
