"""`python -m translate download` as a user meets it: lists, refusals, an interrupted download that goes on."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archives import make_zip, tree
from serving import Answer, Server
from translate.cli import USER_MISTAKE, main
from translate.downloads.sources import read_all
from translate.registry import plugins

Out = pytest.CaptureFixture[str]

SOURCE = """\
dots:
  about: dots to be downloaded
  licence: as you like it
  train: [model=painter, data=dots]
  content: [train]
  manual_instructions: null
  files:
    - {{name: dots.zip, urls: ["{url}"], sha256: {sha256}, size: {size}, unpack: zip, folder: .}}
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a server on this machine."""
    with Server() as found:
        yield found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(plugins, "_activated", list(plugins._activated))
    return folder


@pytest.fixture
def archive(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let a plug-in, dot_lab, know of a set that the server has; return its archive."""
    noise = hashlib.shake_128(b"noise").digest(100_000)
    content = make_zip(tmp_path / "dots.zip", ("dots/train/1.png", noise)).read_bytes()
    url = server.serve("dots.zip", Answer(content, headers={"ETag": '"one"'}))
    lab = tmp_path / "lab" / "dot_lab"
    (lab / "sources").mkdir(parents=True)
    (lab / "__init__.py").touch()
    text = SOURCE.format(url=url, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    (lab / "sources" / "dots.yaml").write_text(text)
    monkeypatch.syspath_prepend(str(lab.parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(lab.parent), os.environ.get("PYTHONPATH", "")]))
    return content


def program(*words: str, place: Path) -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "translate", "download", *words)
    return subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


WORDS = ("data=dots", "plugins=[dot_lab]")


def test_the_list_names_everything(place: Path, capsys: Out) -> None:
    assert main(["download"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for name, source in read_all().items():
        assert f"\n{name} " in f"\n{said.out}"
        assert source.about in said.out
        assert " ".join(source.licence.split()) in " ".join(said.out.split())
        assert not source.files or f"datasets/{name}" in said.out
    assert list(place.iterdir()) == []


def test_help_names_everything(capsys: Out) -> None:
    assert main(["download", "-h"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in read_all())
    assert all(f"  {key}" in said for key in ("root=", "data.root=", "mirror=", "keep="))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["horse2zebra"], "data=horse2zebra"),
        (["data=horsezebra"], "data=horsezebra: unknown source 'horsezebra'. Did you mean 'horse2zebra'?"),
        (["data=rafd"], "ask for access at https://rafd.socsci.ru.nl"),
        (
            ["data=market1501", "root=there"],
            "put bounding_box_train, bounding_box_test and query into there/market1501",
        ),
        (["data=afhq", "mirror=nowhere"], "the folder does not exist"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(place: Path, capsys: Out, words: list[str], said: str) -> None:
    assert main(["download", *words]) == USER_MISTAKE
    found = capsys.readouterr()
    assert said in found.err
    assert (found.out, len(found.err.splitlines())) == ("", 1)
    assert list(place.iterdir()) == []


def test_a_set_comes_and_says_how_to_train(place: Path, archive: bytes, capsys: Out) -> None:
    assert main(["download", *WORDS]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "dots is in datasets/dots: 1 files, 100kB",
        "licence: as you like it",
        "to train on it:",
        "  python -m translate model=painter data=dots data.root=datasets/dots",
    ]
    assert "downloading http://127.0.0.1" in said.err
    assert "train/1.png" in tree(place / "datasets" / "dots")
    assert main(["download", *WORDS]) == 0
    assert "already" in capsys.readouterr().out


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_program_goes_on(server: Server, place: Path, archive: bytes, end: signal.Signals) -> None:
    whole = server.answers["dots.zip"][0]
    server.serve("dots.zip", Answer(archive, silent_after=60_000, headers=whole.headers), whole)
    part = place / "datasets" / "downloads" / "dots.zip.part"
    with program(*WORDS, place=place) as first:
        assert server.waiting.wait(30)
        _wait_until(lambda: part.exists() and part.stat().st_size == 60_000)
        first.send_signal(end)
        said = first.communicate(timeout=30)[1]
    if end == signal.SIGINT:
        assert first.returncode == 128 + end
        assert said.endswith("repeat the command to continue\n")
        assert said.count("stopped by SIGINT, nothing is lost; partial files are kept in ") == 1
        assert "Traceback" not in said
    assert part.read_bytes() == archive[:60_000]
    with program(*WORDS, place=place) as second:
        out, said = second.communicate(timeout=30)
    assert second.returncode == 0, said
    assert "dots is in datasets/dots" in out
    assert "from byte 60,000" in said
    assert server.requests[-1][1]["range"] == "bytes=60000-"


def test_two_programs_at_once(server: Server, place: Path, archive: bytes) -> None:
    both = [program(*WORDS, place=place) for _ in range(2)]
    told = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert len(server.requests) == 1
    assert sum("already" in out for out, _ in told) == 1


@pytest.mark.parametrize("words", [["-h"], ["data=rafd"], []])
def test_nothing_heavy_is_imported(words: list[str]) -> None:
    heavy = ("torch", "hydra", "omegaconf", "numpy", "pytorch_lightning", "translate.config.compose")
    code = (
        f"import sys; from translate.cli import main; main(['download', *{words!r}]); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


def _wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
