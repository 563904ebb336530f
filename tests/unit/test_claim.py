"""One process in a folder at a time."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from translate.errors import UserError
from translate.runs.claim import HOLDER_FILE, LOCK_FILE, claimed, holder
from translate.runs.folder import RunFolder

HOLD = """
import sys
from pathlib import Path
from translate.runs.claim import claimed
with claimed(Path(sys.argv[1]), "in use", "wait"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start another process, which holds the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_is_refused_and_told_of_the_first(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    expected = rf"in use; found process {other.pid} on {socket.gethostname()}, since .*\. Fix: wait"
    with pytest.raises(UserError, match=expected), claimed(tmp_path, "in use", "wait", patience=60.0):
        pass
    assert RunFolder(tmp_path).is_fresh()  # so the check of the command line lets both pass


def test_a_lock_ends_with_a_process_that_is_killed(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    left = holder(tmp_path)
    assert left is not None
    assert left.is_alive() is False
    with claimed(tmp_path, "in use", "wait"):
        mine = holder(tmp_path)
        assert mine is not None
        assert (mine.process, mine.is_alive()) == (os.getpid(), True)
    assert {path.name for path in tmp_path.iterdir()} <= {LOCK_FILE}


def test_children_of_a_dead_process_are_waited_for(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    note = {"process": dead.pid, "host": socket.gethostname(), "since": "now"}
    (tmp_path / HOLDER_FILE).write_text(json.dumps(note))
    with FileLock(tmp_path / LOCK_FILE), pytest.raises(UserError, match=f"found process {dead.pid}"):  # noqa: SIM117
        with claimed(tmp_path, "in use", "wait", patience=0.2):
            pass


@pytest.mark.parametrize("note", ["", "{", "[]", '{"process": "x"}', "\xff"])
def test_a_note_that_cannot_be_read_names_nobody(note: str, tmp_path: Path) -> None:
    (tmp_path / HOLDER_FILE).write_bytes(note.encode("latin-1"))
    assert holder(tmp_path) is None
    with FileLock(tmp_path / LOCK_FILE), pytest.raises(UserError) as caught, claimed(tmp_path, "in use", "wait"):
        pass
    assert str(caught.value) == f"{tmp_path}: in use. Fix: wait"


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def acquire(self: FileLock, timeout: float) -> None:
        raise NotImplementedError("flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    monkeypatch.setattr(logging.getLogger("translate"), "propagate", True)
    with claimed(tmp_path, "in use", "wait"):
        pass
    assert "the file system has no locks" in caplog.text
