"""The first signal ends a program with one sentence, the second at once, whatever the main thread does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from translate import signals

HEAD = """
import ctypes, os, signal, sys, threading, time
from translate import signals

def send(*numbers, after=0.0):
    def later():
        for number in numbers:
            time.sleep(after)
            os.kill(os.getpid(), number)
    threading.Thread(target=later, daemon=True).start()

INT, TERM = signal.SIGINT, signal.SIGTERM
"""


def call(script: str, **environment: str) -> tuple[int, str, str]:
    """Run a script in which `handled` guards the function ``work``; return the exit code, stdout and stderr."""
    tail = "\nwith signals.handled(to_the_end=True) as outcome:\n    outcome.code = work()\nsys.exit(outcome.code)\n"
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script + tail],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_the_first_signal_unwinds_and_says_one_sentence(number: int) -> None:
    script = f"""
def work():
    try:
        send({number})
        time.sleep(60)
    finally:
        print("closed")
"""
    said = f"stopped by {signals.name_of(number)}, nothing is lost; give the command again\n"
    assert call(script) == (128 + number, "closed\n", said)


def test_a_second_signal_ends_work_that_is_not_cut() -> None:
    script = """
def work():
    signals.before_end(lambda: os.write(1, b"children ended\\n"))
    send(TERM, INT, after=0.2)
    with signals.deferred(announcement="finishing"):
        while True:
            time.sleep(0.1)
"""
    code, out, said = call(script)
    assert (code, out) == (128 + signal.SIGINT, "children ended\n")
    assert said == "SIGTERM: finishing\nended at once by a second signal; give the command again\n"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_second_signal_ends_a_process_that_is_measured(tmp_path: Path) -> None:
    number = tmp_path / "number"
    child = f"import os, time; open({str(number)!r} + '.new', 'w').write(str(os.getpid()))"
    child += f"; os.rename({str(number)!r} + '.new', {str(number)!r}); time.sleep(60)"
    script = f"""
def work():
    from pathlib import Path
    from translate.profiling import compare
    def later():
        while not Path({str(number)!r}).is_file():
            time.sleep(0.02)
        send(TERM, INT, after=0.2)
    threading.Thread(target=later, daemon=True).start()
    with signals.deferred():
        compare.output_of([sys.executable, "-c", {child!r}], dict(os.environ))
"""
    assert call(script)[0] == 128 + signal.SIGINT
    stat = Path(f"/proc/{number.read_text()}/stat")
    for _ in range(200):  # a killed process needs a moment, or is left to the system as a zombie
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def test_a_main_thread_that_hears_nothing_is_ended_in_time() -> None:
    script = """
def work():
    signals.GRACE = 0.5
    signal.pthread_sigmask(signal.SIG_BLOCK, [TERM, signals.REMINDER])  # as if the main thread were inside a library
    send(TERM)
    time.sleep(60)
"""
    began = time.monotonic()
    said = "stopped by SIGTERM, nothing is lost; give the command again\n"
    assert call(script) == (128 + signal.SIGTERM, "", said)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("lost", ["in a destructor", "by a library"])
def test_a_lost_exception_is_raised_again(lost: str) -> None:
    script = """
class Thing:
    def __del__(self):
        os.kill(os.getpid(), TERM)
        time.sleep(1)

def library():
    try:
        os.kill(os.getpid(), TERM)
        time.sleep(1)
    except BaseException:
        pass

def work():
    {}
    print("goes on")
    time.sleep(60)
""".format("Thing()" if lost == "in a destructor" else "library()")
    script += "\nsignals.GRACE = 60\n"
    code, out, said = call(script)
    assert (code, out) == (128 + signal.SIGTERM, "goes on\n")
    assert said.splitlines()[-1] == "stopped by SIGTERM, nothing is lost; give the command again"


def test_work_that_is_not_cut_is_asked_once_and_ends_by_itself() -> None:
    script = """
def work():
    asked = []
    with signals.deferred(asked.append):
        send(TERM)
        while not asked:
            time.sleep(0.01)
    time.sleep(1.2)  # nothing is raised after that
    print(len(asked))
    return 128 + signals.received()
"""
    assert call(script) == (128 + signal.SIGTERM, "1\n", "")


def test_a_check_after_the_work_ends_the_program() -> None:
    script = """
def work():
    with signals.deferred():
        send(INT)
        while signals.received() is None:
            time.sleep(0.01)
        print("finished")
    signals.check()
    print("not here")
"""
    assert call(script)[:2] == (128 + signal.SIGINT, "finished\n")


def test_the_sentence_has_the_innermost_advice() -> None:
    script = """
def work():
    with signals.advising(lambda: "wrong"), signals.advising(lambda: "continue by: this"):
        send(TERM)
        time.sleep(60)
"""
    assert call(script)[2] == "stopped by SIGTERM, nothing is lost; continue by: this\n"
    assert call(script, LOCAL_RANK="1") == (128 + signal.SIGTERM, "", ""), "further processes of a run are silent"


def test_an_error_that_follows_from_the_signal_is_in_the_sentence() -> None:
    script = """
def work():
    try:
        send(TERM)
        time.sleep(60)
    finally:
        raise OSError("the other program has ended too")
"""
    said = "stopped by SIGTERM after an error (the other program has ended too); give the command again\n"
    assert call(script) == (128 + signal.SIGTERM, "", said)


def test_an_error_without_a_signal_is_a_traceback() -> None:
    code, _, said = call("def work():\n    raise OSError('unexpected')\n")
    assert code == 1
    assert said.endswith("OSError: unexpected\n")


def test_a_program_that_is_done_keeps_its_exit_code() -> None:
    script = """
import atexit
atexit.register(lambda: (os.kill(os.getpid(), TERM), time.sleep(60)))

def work():
    print("done", flush=True)
    return 3
"""
    assert call(script) == (3, "done\n", "")


def test_a_forked_process_does_not_speak_for_its_parent() -> None:
    script = """
def work():
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
    os.kill(child, TERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    time.sleep(0.3)
    print(signals.received())
    return 0
"""
    assert call(script) == (0, f"{-signal.SIGTERM}\nNone\n", "")


def test_a_process_that_loads_data_is_ended_by_its_parent_alone() -> None:
    script = """
import subprocess

def work():
    child = os.fork()
    if not child:
        signals.leave_to_parent()
        os.write(1, b"ready\\n")
        while True:
            time.sleep(0.1)
    time.sleep(0.5)
    for number in (INT, TERM, signal.SIGUSR1):
        subprocess.run(["kill", f"-{int(number)}", str(child)], check=True)  # another process
    time.sleep(0.5)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "the child has ended"
    os.kill(child, TERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return 0
"""
    code, out, said = call(script)
    assert (code, out) == (0, "ready\n0\n"), said


# --- in another program -----------------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> Iterator[None]:
    """Check that the handlers are those from before."""
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    yield
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_a_second_signal_in_another_program_is_a_keyboard_interrupt(
    handlers: None, capfd: pytest.CaptureFixture[str]
) -> None:
    kinds = []
    with signals.handled(ends_process=False) as outcome, signals.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received() == signal.SIGINT
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as error:
            kinds.append(type(error))
        signals.check()
    assert kinds == [KeyboardInterrupt]
    assert outcome.code == 128 + signal.SIGINT
    assert capfd.readouterr().err == "stopped by SIGINT, nothing is lost; give the command again\n"
    assert signals.received() is None


def test_a_signal_of_another_process_of_the_run_counts(handlers: None) -> None:
    with signals.handled(ends_process=False) as outcome, signals.deferred():
        signals.receive(signal.SIGTERM)
        signals.receive(signal.SIGINT)
        signals.check()
    assert outcome.code == 128 + signal.SIGTERM


def test_nothing_else_of_the_package_handles_signals() -> None:
    root = Path(signals.__file__).parent
    found = [path.name for path in root.rglob("*.py") if "signal.signal(" in path.read_text(encoding="utf-8")]
    assert found == ["signals.py"]


def test_a_signal_waits_for_the_handlers_of_a_process_that_starts() -> None:
    """Python would end the process with a traceback, or without a word, before our code runs."""
    script = "import time\nfrom translate import signals\nwith signals.handled(to_the_end=True): time.sleep(60)\n"
    with signals.held():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "stopped by SIGINT, nothing is lost; give the command again\n")
