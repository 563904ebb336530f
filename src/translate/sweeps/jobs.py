"""Runs as processes of their own, and the folder of a sweep that remembers what became of them.

A job is a command line of `python -m translate` that may be given again at any time: it names its folder and says
`resume=auto`, so that it begins, goes on, or has nothing left to do. A job has its own process because several runs
in one would share memory, CUDA contexts and the environment of distributed training; a crash takes nothing with it.

The folder of a sweep holds sweep.json (the command), log.txt, and for each job jobs/<number>.json (its state) and
jobs/<number>.txt (what it printed).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from translate.errors import UserError
from translate.files import atomic_write

PROGRAM = (sys.executable, "-m", "translate")
POLL = 0.2  # seconds between two looks at a process
STOPPED = (signal.SIGINT, signal.SIGTERM)

# On a cluster this process was started by srun, but the processes of its own run are not: Lightning must start them.
NOT_STARTED_BY_SRUN = {"SLURM_JOB_NAME": "bash"}


class Process:
    """A command line of this program, running; what it prints goes to a file and to `tell`, line by line."""

    def __init__(
        self,
        words: Sequence[str],
        output: Path,
        environment: Mapping[str, str] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Start it. It has a session of its own: Ctrl-C at the terminal reaches us alone, and we pass it on once."""
        output.parent.mkdir(parents=True, exist_ok=True)
        self._signalled = False
        self._process = subprocess.Popen(
            [*PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        self._copying = threading.Thread(target=self._copy, args=(output, tell), daemon=True)
        self._copying.start()

    def _copy(self, output: Path, tell: Callable[[str], None] | None) -> None:
        assert self._process.stdout is not None
        with open(output, "a", encoding="utf-8") as file:
            for line in self._process.stdout:
                file.write(line)
                file.flush()
                if tell is not None:
                    tell(line.rstrip("\n"))

    def poll(self) -> int | None:
        """Return the exit code as a shell gives it (128 + n after signal n), None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._copying.join(timeout=10)  # a process of its own that outlives it may hold the pipe
        return 128 - code if code < 0 else code

    def wait(self) -> int:
        """Wait for the end and return the exit code; what interrupts the waiting is for the caller."""
        while (code := self.poll()) is None:
            time.sleep(POLL)
        return code

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to write a checkpoint and end; asked again, end it and all that it started."""
        if self._process.poll() is not None:
            return
        if self._signalled:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.send_signal(number)
        self._signalled = True


# --- the jobs of a sweep ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A run of a sweep: its number, what it was asked for, its folder, and the command line that brings it there."""

    number: int
    label: str  # the overrides that tell it from the other runs
    overrides: tuple[str, ...]
    folder: Path
    words: tuple[str, ...]
    sweep: Path

    @property
    def output(self) -> Path:
        """Return the file of all that the job printed."""
        return self.sweep / "jobs" / f"{self.number}.txt"


@dataclass
class Record:
    """What became of a job: `state` is running, finished, skipped, stopped or failed."""

    number: int
    label: str
    overrides: list[str]
    folder: str
    state: str
    code: int | None = None
    seconds: float = 0.0
    host: str = field(default_factory=socket.gethostname)
    last_line: str = ""  # that it printed, if it failed

    @classmethod
    def of(cls, job: Job, state: str, **facts: Any) -> "Record":
        """Return the record of a job."""
        return cls(job.number, job.label, list(job.overrides), str(job.folder), state, **facts)


def execute(
    job: Job,
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
    start: Callable[..., Process] = Process,
) -> int:
    """Run a job to its end, keep its record, and return its exit code; `start` is called as `Process` is.

    SIGTERM and Ctrl-C are passed on to the job, which ends with a checkpoint: so this may itself be the work of a
    process on another machine.
    """
    record = Record.of(job, "running")
    keep(job.sweep, record)
    began = time.monotonic()
    process = start(job.words, job.output, {**NOT_STARTED_BY_SRUN, **(environment or {})}, tell)
    with _passed_on(process):
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                process.stop(signal.SIGINT)
    record.code, record.seconds = code, round(time.monotonic() - began, 1)
    record.state = state_of(code)
    if record.state == "failed":
        record.last_line = last_line(job.output)
    keep(job.sweep, record)
    return code


def state_of(code: int) -> str:
    """Return the state in words of an exit code.

    >>> [state_of(code) for code in (0, 1, 130, 143)]
    ['finished', 'failed', 'stopped', 'stopped']
    """
    if code == 0:
        return "finished"
    return "stopped" if code - 128 in STOPPED else "failed"


@contextmanager
def _passed_on(process: Process) -> Iterator[None]:
    """Pass SIGTERM on; outside the main thread signals belong to others, who call `stop`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: process.stop(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_line(path: Path) -> str:
    """Return the last line of a file that says anything; "" without any."""
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 10_000))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


# --- the folder of a sweep ----------------------------------------------------------------------------------


def keep(sweep: Path, record: Record) -> None:
    """Write a job's record, whole or not at all."""
    path = sweep / "jobs" / f"{record.number}.json"
    atomic_write(path, json.dumps(asdict(record), indent=2) + "\n")


def records(sweep: Path) -> dict[int, Record]:
    """Return the records of a sweep by number."""
    found = (_read(path) for path in (sweep / "jobs").glob("*.json"))
    return {entry["number"]: Record(**entry) for entry in sorted(found, key=lambda entry: entry["number"])}


def begin(sweep: Path, command: Sequence[str]) -> None:
    """Make the folder of a sweep, if it is not there, and write down its command."""
    sweep.mkdir(parents=True, exist_ok=True)
    if not (sweep / "sweep.json").is_file():
        record = {"command": list(command), "begun": time.strftime("%Y-%m-%d %H:%M:%S")}
        atomic_write(sweep / "sweep.json", json.dumps(record, indent=2) + "\n")


def command_of(sweep: Path) -> list[str] | None:
    """Return the command that a folder's sweep began with; None if the folder holds none."""
    path = sweep / "sweep.json"
    return list(_read(path)["command"]) if path.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@contextmanager
def claimed(sweep: Path) -> Iterator[None]:
    """Hold a sweep for this process; UserError if another one works on it."""
    try:
        with FileLock(sweep / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise UserError(
            f"{sweep}: another process works on this sweep; wait for it, stop it, or begin another by "
            "hydra.sweep.dir=FOLDER"
        ) from error


def say(sweep: Path, sentence: str) -> None:
    """Print a sentence and put it into the log of the sweep."""
    print(sentence, flush=True)
    with open(sweep / "log.txt", "a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")


def forget(job: Job) -> None:
    """Remove the record of an earlier attempt at a job: what is on record is of this one."""
    (job.sweep / "jobs" / f"{job.number}.json").unlink(missing_ok=True)


def summary(found: Sequence[Record], num_planned: int) -> list[str]:
    """Return the summary of a sweep: the number of runs in each state, and each run that did not finish."""
    words = {"finished": "finished", "skipped": "finished before", "stopped": "stopped", "failed": "failed"}
    count = {word: sum(record.state == state for record in found) for state, word in words.items()}
    count["not begun"] = num_planned - len(found)
    lines = [f"{num_planned} runs: {', '.join(f'{number} {words}' for words, number in count.items() if number)}"]
    for record in found:
        if record.state in ("failed", "stopped"):
            why = f": {record.last_line}" if record.last_line else ""
            lines.append(f"  run {record.number} ({record.label}) {record.state}, exit code {record.code}{why}")
    return lines
