"""The command serve: what it refuses before a model is loaded, and a server from start to end."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve import models
from serve.client import Client, encoded, pixels
from translate.cli import USER_MISTAKE, main
from translate.commands.serve import credentials
from translate.errors import UserError
from translate.weights.format import write

pytest.importorskip("gradio", reason="the extra demo is not installed")

from translate.serving import server

Out = pytest.CaptureFixture[str]


def refused(out: Out, *words: str) -> str:
    """Return the one sentence with which these words are refused."""
    assert main(["serve", *words]) == USER_MISTAKE
    said = out.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write(models.stargan_v2_weights(), path)
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port on which another program listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("weights=a", "run=b"), "run: it is the same as weights"),
        (("weights=no_such_weights",), "weights: "),
        (("weights=a", "port=x"), "port: found 'x', expected a whole number"),
        (("weights=a", "max_bytes=0"), "max_bytes: found 0, expected at least 1"),
        (("weights=a", "queue=0"), "queue: found 0, expected at least 1"),
        (("weights=critters", "host=0.0.0.0"), "auth: everybody who can reach this machine could use the page"),
        (("weights=critters", "auth=ann"), "auth: a user or a password is missing"),
        (("weights=a", "share=true"), "serve: unknown argument 'share'"),
    ],
)
def test_words(capsys: Out, words: tuple[str, ...], sentence: str) -> None:
    assert refused(capsys, *words).startswith(sentence)


def test_passwords_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text("# of the lab\n\nann:secret\nbob:with:colons\n")
    assert credentials(str(path)) == {"ann": "secret", "bob": "with:colons"}
    assert credentials("ann:secret") == {"ann": "secret"}
    assert credentials(None) == {}
    path.write_text("ann:\n")
    with pytest.raises(UserError) as error:
        credentials(str(path))
    assert error.value.problem.key == "auth"
    assert "secret" not in str(error.value)


def test_a_port_that_is_in_use(capsys: Out, weights: Path, taken: int) -> None:
    said = refused(capsys, f"weights={weights}", f"port={taken}")
    assert said.startswith(f"port: the port {taken} is in use. Fix: choose another one")


def test_the_next_free_port(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_PORT", taken)
    with server.bind("127.0.0.1", None) as listener:
        assert taken < listener.getsockname()[1] < taken + server.NUM_PORTS
    monkeypatch.setattr(server, "NUM_PORTS", 1)
    with pytest.raises(UserError) as error:
        server.bind("127.0.0.1", None)
    assert str(error.value).startswith("port: no port is free")


def test_an_address_of_another_machine() -> None:
    with pytest.raises(UserError) as error:
        server.bind("192.0.2.1", 0)  # an address that is never given to a machine
    assert error.value.problem.key == "host"


def test_a_library_that_is_missing(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    said = refused(capsys, "weights=critters")
    assert said == "serve: the page needs gradio. Fix: pip install 'translate-gan[demo]'\n"


def test_a_server_from_start_to_end(weights: Path, tmp_path: Path) -> None:
    """It says where it is, translates, and removes its files when it is stopped."""
    words = ["serve", f"weights={weights}", "port=0", "open=false", "queue=3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "translate", *words],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1", **_paths()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"tiny \(stargan_v2\) at (http://127\.0\.0\.1:\d+), until Ctrl\+C\n", line)
    assert match, (line, process.communicate())
    client = Client(match[1])
    client.call("translate", image=client.upload(encoded(pixels(1))), target="dog")
    assert client.call("model")[0]["queue"] == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("translate-serve-")]
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (128 + signal.SIGTERM, "")
    assert errors == "stopped by SIGTERM, nothing is lost; give the command again\n"
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("translate-serve-")]


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(server.__file__).parents[2])}
