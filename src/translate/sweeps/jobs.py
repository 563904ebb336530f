"""Jobs: runs in their own processes, and the folder of a sweep with their records.

A job is a command line of ``python -m translate`` that can be repeated at any time. It names its folder and has
``resume=auto``, so it starts or continues its run, or ends at once if the run is finished. Several runs in one process
would share memory, CUDA contexts and the environment of distributed training, and a crash would end all of them.

The folder of a sweep contains sweep.json (the command), log.txt, and for each job jobs/<number>.json (its record) and
jobs/<number>.txt (its output).
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

from translate import signals
from translate.errors import UserError
from translate.files.reading import opened, read_object
from translate.files.writing import atomic_write
from translate.runs import claim

PROGRAM = (sys.executable, "-m", "translate")
POLL = 0.2  # seconds between two polls of a process
STOPPED = signals.SIGNALS

# Under srun, Lightning would expect srun to start the processes of a run as well; a job must start them by itself.
NOT_STARTED_BY_SRUN = {"SLURM_JOB_NAME": "bash"}


class Process:
    """A running command line of this program; its output is written to a file and passed to ``tell`` line by line."""

    def __init__(
        self,
        words: Sequence[str],
        output: Path,
        environment: Mapping[str, str] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Start the process in a new session, so that Ctrl-C reaches only the parent, which forwards it once."""
        output.parent.mkdir(parents=True, exist_ok=True)
        self._signalled = False
        with signals.held():
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
        signals.before_end(self.kill)

    def _copy(self, output: Path, tell: Callable[[str], None] | None) -> None:
        assert self._process.stdout is not None
        with open(output, "a", encoding="utf-8") as file:
            for line in self._process.stdout:
                file.write(line)
                file.flush()
                if tell is not None:
                    tell(line.rstrip("\n"))

    def poll(self) -> int | None:
        """Return the exit code as in a shell (128 + n after signal n), None while the process runs."""
        code = self._process.poll()
        if code is None:
            return None
        signals.forget(self.kill)
        self._copying.join(timeout=10)  # a child that is still alive may hold the pipe
        return 128 - code if code < 0 else code

    def wait(self) -> int:
        """Wait for the end of the process and return the exit code; KeyboardInterrupt is left to the caller."""
        while (code := self.poll()) is None:
            time.sleep(POLL)
        return code

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Let the process write a checkpoint and end. It gets one signal alone, since a second one would end it."""
        if not self._signalled and self._process.poll() is None:
            self._signalled = True
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the process and its children at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


# --- the jobs of a sweep ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A run of a sweep: its number, its own overrides, its folder, and its command line."""

    number: int
    label: str  # the overrides in which it differs from the other runs
    overrides: tuple[str, ...]
    folder: Path
    words: tuple[str, ...]
    sweep: Path

    @property
    def output(self) -> Path:
        """Return the file of the job's output."""
        return self.sweep / "jobs" / f"{self.number}.txt"


@dataclass
class Record:
    """The outcome of a job. ``state`` is running, finished, skipped, stopped or failed."""

    number: int
    label: str
    overrides: list[str]
    folder: str
    state: str
    code: int | None = None
    seconds: float = 0.0
    host: str = field(default_factory=socket.gethostname)
    last_line: str = ""  # of the output of a failed job

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
    """Run a job to its end, write its record, and return its exit code. ``start`` replaces `Process`.

    A signal to the main thread is forwarded to the job, which writes a checkpoint and ends. So a cluster can run this
    function on another machine, where a second signal, and the KeyboardInterrupt by which Ray cancels, kill the job.
    Another thread receives no signals, and its owner calls `stop`.
    """
    record = Record.of(job, "running")
    keep(job.sweep, record)
    began = time.monotonic()
    process = start(job.words, job.output, {**NOT_STARTED_BY_SRUN, **(environment or {})}, tell)
    with signals.handled(ends_process=False), signals.deferred(process.stop):
        code = _waited_for(process)
    record.code, record.seconds = code, round(time.monotonic() - began, 1)
    record.state = state_of(code)
    if record.state == "failed":
        record.last_line = last_line(job.output)
    keep(job.sweep, record)
    return code


def state_of(code: int) -> str:
    """Return the state of an exit code.

    >>> [state_of(code) for code in (0, 1, 130, 143)]
    ['finished', 'failed', 'stopped', 'stopped']
    """
    if code == 0:
        return "finished"
    return "stopped" if code - 128 in STOPPED else "failed"


def _waited_for(process: Process) -> int:
    """Return the exit code of a job; KeyboardInterrupt, by which Ray cancels a task, stops the job, again kills it."""
    stop = [process.kill, process.stop]
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            stop.pop()() if stop and signals.received() is None else process.kill()


def last_line(path: Path) -> str:
    """Return the last line of a file that is not blank; "" without one."""
    if not path.is_file():
        return ""
    with opened(path) as file:
        file.seek(max(0, path.stat().st_size - 10_000))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


# --- the folder of a sweep ----------------------------------------------------------------------------------


def keep(sweep: Path, record: Record) -> None:
    """Write the record of a job atomically."""
    path = sweep / "jobs" / f"{record.number}.json"
    atomic_write(path, json.dumps(asdict(record), indent=2) + "\n")


def records(sweep: Path) -> dict[int, Record]:
    """Return the records of a sweep by number."""
    found = sorted((_record(path) for path in (sweep / "jobs").glob("*.json")), key=lambda record: record.number)
    return {record.number: record for record in found}


def begin(sweep: Path, command: Sequence[str]) -> None:
    """Create the folder of a sweep and write its command, unless both exist."""
    sweep.mkdir(parents=True, exist_ok=True)
    if not (sweep / "sweep.json").is_file():
        record = {"command": list(command), "begun": time.strftime("%Y-%m-%d %H:%M:%S")}
        atomic_write(sweep / "sweep.json", json.dumps(record, indent=2) + "\n")


def command_of(sweep: Path) -> list[str] | None:
    """Return the command of the sweep in a folder; None if the folder contains no sweep."""
    path = sweep / "sweep.json"
    if not os.path.lexists(path):
        return None
    command = read_object(path).get("command")
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise UserError("the record of the sweep is damaged", key=str(path), expected="its command, a list of words")
    return command


def _record(path: Path) -> Record:
    """Return the record of a job; UserError for another file."""
    fix = "delete the file: the job runs again"
    entry = read_object(path, fix)
    try:
        record = Record(**entry)
    except TypeError as error:
        raise UserError("this is no record of a job", key=str(path), fix=fix) from error
    if not isinstance(record.number, int):
        raise UserError("the number of the job is damaged", key=str(path), found=record.number, fix=fix)
    return record


@contextmanager
def claimed(sweep: Path) -> Iterator[None]:
    """Lock a sweep for this process; UserError if another process holds the lock."""
    fix = "wait for the process, stop it, or write hydra.sweep.dir=FOLDER for a new sweep"
    with claim.claimed(sweep, "another process executes this sweep", fix):
        yield


def say(sweep: Path, sentence: str) -> None:
    """Print a sentence and append it to the log of the sweep."""
    print(sentence, flush=True)
    with open(sweep / "log.txt", "a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")


def forget(job: Job) -> None:
    """Remove the record of an earlier attempt at a job."""
    (job.sweep / "jobs" / f"{job.number}.json").unlink(missing_ok=True)


def advice() -> list[str]:
    """Return how to continue, if a signal has ended the sweep."""
    number = signals.received()
    return [] if number is None else [f"stopped by {signals.name_of(number)}; repeat the command to continue"]


def summary(entries: Sequence[Record], num_planned: int) -> list[str]:
    """Return the summary of a sweep: the number of runs in each state, and each run that did not finish."""
    words = {"finished": "finished", "skipped": "finished before", "stopped": "stopped", "failed": "failed"}
    count = {word: sum(record.state == state for record in entries) for state, word in words.items()}
    count["not started"] = num_planned - len(entries)
    lines = [f"{num_planned} runs: {', '.join(f'{number} {words}' for words, number in count.items() if number)}"]
    for record in entries:
        if record.state in ("failed", "stopped"):
            why = f": {record.last_line}" if record.last_line else ""
            lines.append(f"  run {record.number} ({record.label}) {record.state}, exit code {record.code}{why}")
    return lines
