"""`apply output=ADDRESS`: the same files as in a folder, whole, with their records, made once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from stores import object_store
from translate.cli import USER_MISTAKE, main
from translate.downloads.fetch import RetryPolicy
from translate.downloads.remote import open_folder
from translate.errors import UserError
from translate.inference import outputs
from translate.inference.outputs import RemoteOutput
from translate.inference.records import FILE

Out = pytest.CaptureFixture[str]
ADDRESS = "memory://made/here"
NAMES = [f"deep/{number}.png" for number in range(3)]
WORDS = ["apply", "input=photos", "target=cat", "resolution=model"]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with object_store() as address:
        yield address


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with three small photographs, and with an empty store in memory."""
    MemoryFileSystem.store.clear()
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        add(name, number)
    return tmp_path / "photos"


def add(name: str, seed: int) -> None:
    path = Path("photos") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).save(path)


def content(address: str) -> dict[str, bytes]:
    folder = open_folder(address, "output")
    return {name: folder.filesystem.cat_file(f"{folder.root}/{name}") for name in folder.sizes()}


def records(files: dict[str, bytes]) -> dict[str, Any]:
    lines = [json.loads(line) for line in files[FILE].splitlines()]
    assert len({line["output"] for line in lines}) == len(lines)
    return {line["output"]: line for line in lines}


@pytest.mark.parametrize("kind", ["memory", "s3", "file"])
def test_an_address_gets_the_files_of_a_folder(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: Out
) -> None:
    address = {"memory": ADDRESS, "file": f"file://{tmp_path}/made"}.get(kind) or ""
    address = address or f"{request.getfixturevalue('store')}/{tmp_path.name}"
    assert main([*WORDS, "output=local"]) == 0
    assert main([*WORDS, f"output={address}"]) == 0
    said = capsys.readouterr().out
    assert f"3 translations in {tmp_path / 'made' if kind == 'file' else address} (" in said
    files = content(address)
    assert sorted(files) == [*NAMES, FILE]
    assert all(files[name] == (Path("local") / name).read_bytes() for name in NAMES)
    local = {FILE: (Path("local") / FILE).read_bytes()}
    assert records(files) == records(local)

    add("new.png", 9)
    assert main([*WORDS, f"output={address}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 translation in ")
    assert "3 were there already" in said
    assert sorted(content(address)) == [*NAMES, "new.png", FILE]
    assert sorted(records(content(address))) == [*NAMES, "new.png"]


def test_files_of_another_origin_are_not_touched(capsys: Out) -> None:
    MemoryFileSystem().pipe_file("/made/here/deep/1.png", b"mine")
    assert main([*WORDS, f"output={ADDRESS}"]) == USER_MISTAKE
    assert "output: these files are there and have other settings or another origin; found deep/1.png" in (
        capsys.readouterr().err
    )
    assert content(ADDRESS) == {"deep/1.png": b"mine"}
    assert main([*WORDS, f"output={ADDRESS}", "overwrite=true"]) == 0
    assert content(ADDRESS)["deep/1.png"] != b"mine"
    before = content(ADDRESS)
    assert main([*WORDS, f"output={ADDRESS}", "format=jpg"]) == 0
    assert {name: data for name, data in content(ADDRESS).items() if name in NAMES} == {n: before[n] for n in NAMES}


def test_wherever_it_ends_the_same_command_makes_the_rest(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    """The third translation cannot be copied: what is there has its record, and no part of it is there."""
    put = MemoryFileSystem.put_file

    def failing(self: MemoryFileSystem, path: str, place: str, **options: Any) -> None:
        if "2.png" in place:
            put(self, path, place, **options)  # the bytes are on their way, the connection breaks
            raise PermissionError("no")
        put(self, path, place, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", failing)
    assert main([*WORDS, f"output={ADDRESS}"]) == USER_MISTAKE
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == (
        f"{ADDRESS}: the folder cannot be used (PermissionError: no). "
        "Fix: check the address, the connection and the credentials"
    )
    files = content(ADDRESS)
    assert "deep/2.png" not in files
    assert set(files) - {FILE} <= set(records(files))
    monkeypatch.setattr(MemoryFileSystem, "put_file", put)
    assert main([*WORDS, f"output={ADDRESS}"]) == 0
    assert sorted(content(ADDRESS)) == [*NAMES, FILE]


def test_an_address_that_cannot_be_written_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    def failing(*words: Any, **options: Any) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(MemoryFileSystem, "put_file", failing)
    monkeypatch.setattr("translate.inference.apply._Worker.run", lambda *words: pytest.fail("it worked"))
    assert main([*WORDS, f"output={ADDRESS}"]) == USER_MISTAKE
    assert "PermissionError: read only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*WORDS, "output=gs://a/b"], "output: addresses of the kind gs need a package"),
        ([*WORDS, "output=nonsense://a/b"], "output: unknown kind of address 'nonsense'"),
        (["apply", f"output={ADDRESS}"], "input: this argument is missing; expected input=FILE, FOLDER or PATTERN for"),
        (["grid", "input=photos", "output=s3://a/b.png"], "output: found 's3://a/b.png', expected a path on this"),
        (["stylize", "output=sftp://me:word@host/b"], "output: found 'sftp://host/b', expected a path on this"),
    ],
)
def test_mistakes(words: list[str], said: str, tmp_path: Path, capsys: Out) -> None:
    assert main(words) == USER_MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_records_go_first_and_failures_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "AT_LEAST", 2)
    folder = tmp_path / "made"
    folder.mkdir()
    remote = open_folder(ADDRESS, "output")
    order: list[str] = []
    failures = [ConnectionError("reset"), ConnectionError("reset")]
    put = remote.filesystem.put_file

    def recorded(path: str, place: str, **options: Any) -> None:
        if "0.png" in place and failures:
            raise failures.pop()
        put(path, place, **options)
        order.append(place.rpartition("/")[2].removesuffix(".unfinished"))

    monkeypatch.setattr(remote.filesystem, "put_file", recorded)
    output = RemoteOutput(remote, folder, RetryPolicy(delays=(0.0, 0.0)))
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"image")
        with (folder / FILE).open("a") as file:
            file.write(f"{number}\n")
        output.add(f"{number}.png", 5)
    assert order[0] == FILE
    assert set(order[1:]) == {"0.png", "1.png"}
    assert content(ADDRESS)[FILE] == b"0\n1\n"
    output.finish()
    assert order[3:] == [FILE, "2.png"]
    assert [path.name for path in folder.iterdir()] == [FILE], "what is copied is removed here"
    assert "1.png" in output
    assert "3.png" not in output


def test_after_an_error_no_copy_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = open_folder(ADDRESS, "output")
    calls: list[str] = []

    def failing(path: str, place: str, **options: Any) -> None:
        calls.append(place)
        raise ConnectionError("reset")

    monkeypatch.setattr(remote.filesystem, "put_file", failing)
    output = RemoteOutput(remote, tmp_path, RetryPolicy(delays=(60.0,)))
    with pytest.raises(ZeroDivisionError), output.hurrying():
        raise ZeroDivisionError
    with pytest.raises(UserError, match="ConnectionError"):
        output.finish()
    assert len(calls) == 1
