"""Signals that end the program: SIGINT, SIGTERM, and SIGUSR1, by which SLURM warns of its time limit.

This module alone installs handlers of them. The first signal raises `Interrupted` in the main thread, so that files are
closed and unfinished ones removed; `handled` then prints one sentence and gives the exit code 128 + n. Within
`deferred` nothing is raised: the work at hand is finished, and its owner asks `received` or `check`. The second signal
ends the process at once.

Python runs handlers between two steps of the main thread, so not while a library waits or computes. Therefore a thread
reads the numbers of signals from a pipe. It ends the process at the second signal, and `GRACE` seconds after the first
one if the main thread has not ended by then. It also raises again where the exception was lost, since Python drops
exceptions from destructors and some libraries drop all.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from translate.errors import first_line

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
REMINDER: int = getattr(signal, "SIGURG", 0)
"""The signal, ignored by default, that the thread sends to the main thread; 0 on a system without it."""

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Environment variables that are set by whatever starts several processes of a run."""

GRACE = 8.0  # seconds in which the main thread can end after the first signal
RETRY = 0.5  # seconds until an exception that was lost is raised again
POLL = 0.1  # seconds between two looks at the main thread after the first signal
FAILED = 1

AGAIN = "give the command again"
"""How to continue after most commands, which write whole files at their end."""


def is_first_process() -> bool:
    """Return whether this process speaks for a run: it is alone, or the first of several."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


class Interrupted(BaseException):
    """A signal ends the program. ``number`` is that of the signal, ``code`` the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def code(self) -> int:
        """Return 128 + n, as a shell does."""
        return 128 + self.number


class Outcome:
    """The exit code of a block that `handled` guards."""

    code: int = FAILED


class _Handling:
    """The handlers of a process while it obeys signals, and the thread that listens."""

    def __init__(self, ends_process: bool) -> None:
        self.ends_process = ends_process
        self.number: int | None = None  # of the first signal
        self.finished: int | None = None  # the exit code, when nothing is left to do
        self.acknowledged = False  # whether the program ends by itself, so that nothing needs to be raised
        self.depth = 0  # of nested `deferred` blocks
        self.asks: list[Callable[[int], None]] = []
        self.announcements: list[str] = []
        self.advice: list[Callable[[], str]] = []
        self.last_advice: str | None = None  # of the innermost block that the signal ended
        self.kills: list[Callable[[], object]] = []
        self._raised: weakref.ref[Interrupted] | None = None
        self._main = threading.get_ident()
        self._before: dict[int, Any] = {}
        self._lock = threading.Lock()
        self.is_said = False
        self._reminded = 0.0  # when the thread last reminded the main thread
        self._free_since: float | None = None  # when the main thread could first have ended
        self._reader, self._writer = -1, -1

    # --- handlers -------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Install the handlers, also for a signal that the shell of a background job ignores.

        Another program that handles SIGUSR1 keeps it, such as the one of a cluster around a job. Signals that have
        come since `held` started this process are obeyed now.
        """
        for number in SIGNALS:
            others = callable(signal.getsignal(number)) and number not in (signal.SIGINT, signal.SIGTERM)
            if self.ends_process or not others:
                self._before.setdefault(number, signal.signal(number, self._on_signal))
        if self.ends_process and self._reader < 0:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            if REMINDER:
                self._before[REMINDER] = signal.signal(REMINDER, self._on_reminder)
            threading.Thread(target=self._listen, name="signals", daemon=True).start()
            if hasattr(signal, "pthread_sigmask"):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def uninstall(self) -> None:
        """Restore the handlers from before and end the thread."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._writer >= 0:
            signal.set_wakeup_fd(-1)
            os.close(self._writer)  # the thread reads the end of the pipe and closes its side

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Take a signal in the main thread."""
        if self.number is not None and not self.ends_process:  # the second one, in a notebook or another program
            self.uninstall()
            raise KeyboardInterrupt
        self.note(number)
        self._act(frame)

    def _on_reminder(self, number: int, frame: FrameType | None) -> None:
        """Act on a signal that the main thread has lost, or that another process has received."""
        if self.number is not None:
            self._act(frame)

    def _act(self, frame: FrameType | None) -> None:
        if self.depth:
            self.ask()
        elif _is_in_handled(frame):
            return  # where nothing would catch the exception; the thread reminds of it
        elif self.finished is None and not self.acknowledged and not self._is_raised():
            self.throw()

    def ask(self) -> None:
        """Let the innermost `deferred` block end its work, once."""
        assert self.number is not None
        while self.asks:
            self.acknowledged = True
            self.asks.pop()(self.number)

    def throw(self) -> None:
        """Raise `Interrupted` in the main thread."""
        assert self.number is not None
        error = Interrupted(self.number)
        self._raised = weakref.ref(error)
        try:
            raise error
        finally:
            del error  # in a cycle with its traceback it would live on where it is lost

    def _is_raised(self) -> bool:
        """Return whether an exception is on its way; a lost one has been freed."""
        return self._raised is not None and self._raised() is not None

    def note(self, number: int) -> bool:
        """Keep the number of the first signal; return whether this is it."""
        with self._lock:
            if self.number is not None:
                return False
            self.number = number
            return True

    # --- the thread -----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        heard = False
        reader = self._reader
        while True:
            if select.select([reader], [], [], POLL if self.number is not None else None)[0]:
                numbers = os.read(reader, 64)
                if not numbers:
                    os.close(reader)
                    return
                for number in numbers:
                    heard = self._hear(number, heard)
            if self.number is not None:
                self._look_after_main()

    def _hear(self, number: int, heard: bool) -> bool:
        """Take a byte of the pipe; return whether a first signal has come from outside."""
        if number not in SIGNALS:  # of another handler, or a wake-up call
            return heard
        if self.finished is not None:
            os._exit(self.finished)
        if heard:
            self._end(number, "ended at once by a second signal")
        self.note(number)
        if self.announcements:
            _print(f"{name_of(number)}: {self.announcements[-1]}")
        return True

    def _look_after_main(self) -> None:
        """Raise a lost exception again; end the process if the main thread is late."""
        assert self.number is not None
        now = time.monotonic()
        if (self.asks or not self.depth) and not (self.acknowledged or self._is_raised() or self.finished is not None):
            self._remind(now)
        if self.depth or self.finished is not None:
            self._free_since = None
            return
        self._free_since = self._free_since or now
        if now - self._free_since > GRACE:
            self._end(self.number, f"stopped by {name_of(self.number)}, nothing is lost")

    def _remind(self, now: float) -> None:
        """Let the main thread run its handler again, from time to time."""
        if not self._reminded:
            self._reminded = now
        elif now - self._reminded > RETRY and REMINDER:
            self._reminded = now
            signal.pthread_kill(self._main, REMINDER)

    def wake(self) -> None:
        """Let the thread look at the state now."""
        if self._writer >= 0:
            with contextlib.suppress(OSError):
                os.write(self._writer, b"\0")

    def _end(self, number: int, statement: str) -> None:
        """End the process from the thread, whatever the main thread does."""
        try:
            self.say(statement)
            self.end_children()
        finally:
            os._exit(128 + number)

    def end_children(self) -> None:
        """Call the functions of `before_end`."""
        for kill in reversed(self.kills):
            with contextlib.suppress(Exception):
                kill()

    def say(self, statement: str) -> None:
        """Print the only sentence of an end by a signal."""
        with self._lock:
            if self.is_said:
                return
            self.is_said = True
        advice = self.last_advice
        if advice is None:
            advice = _text_of(self.advice[-1]) if self.advice else AGAIN
        if advice:
            _print(f"{statement}; {advice}")


def _is_in_handled(frame: FrameType | None) -> bool:
    """Return whether the main thread is in `handled` itself, before or after its block."""
    if frame is not None and frame.f_code.co_filename == contextlib.__file__:
        return True
    code = handled.__wrapped__.__code__  # type: ignore[attr-defined] # the function below the decorator
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


_handling: _Handling | None = None


def _print(text: str) -> None:
    """Write a line to stderr past its buffer, which the main thread may hold; further processes of a run are silent."""
    if is_first_process():
        with contextlib.suppress(OSError):
            os.write(2, f"{text}\n".encode())


def _text_of(advice: Callable[[], str]) -> str:
    """Return an advice; the usual one where it cannot be made, such as in a run folder that is gone."""
    try:
        return advice()
    except Exception:
        return AGAIN


def name_of(number: int) -> str:
    """Return the name of a signal.

    >>> name_of(15)
    'SIGTERM'
    """
    return signal.Signals(number).name


# --- for the program ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def handled(ends_process: bool = True, to_the_end: bool = False) -> Iterator[Outcome]:
    """Obey signals in the block; a signal ends it, prints one sentence and makes the outcome's code 128 + n.

    ``ends_process`` False is for a function in another program, such as a notebook: a second signal raises
    KeyboardInterrupt. ``to_the_end``: the process ends with the block, so the handlers stay. Within another such block,
    and outside of the main thread, nothing changes.
    """
    global _handling
    outcome = Outcome()
    if threading.current_thread() is not threading.main_thread():
        yield outcome
        return
    outermost = _handling is None
    handling = _handling = _handling or _Handling(ends_process)
    try:
        if outermost:
            handling.install()
        try:
            yield outcome
        except BaseException as error:
            outcome.code = FAILED
            if handling.number is None:
                raise
            if isinstance(error, Interrupted):
                handling.say(f"stopped by {name_of(handling.number)}, nothing is lost")
            else:  # it may follow from the signal, such as the end of another program
                text = first_line(error) or type(error).__name__
                handling.say(f"stopped by {name_of(handling.number)} after an error ({text})")
        if handling.number is not None and outcome.code not in (0, 128 + handling.number):
            outcome.code = 128 + handling.number
            handling.say(f"stopped by {name_of(handling.number)}")
    finally:
        if outermost:
            handling.finished = outcome.code
            if not to_the_end:
                handling.uninstall()
                _handling = None
    if outermost and to_the_end and handling.number is not None:
        handling.end_children()
        _leave(outcome.code)


def _leave(code: int) -> None:
    """End the process: libraries that a signal has left half imported need not survive Python's own end."""
    import logging

    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if (processes := sys.modules.get("multiprocessing")) is not None:
        for child in processes.active_children():
            child.kill()
    os._exit(code)


@contextlib.contextmanager
def advising(advice: Callable[[], str]) -> Iterator[None]:
    """Let the sentence of a signal in the block end with this advice; "" prints no sentence at all.

    It is asked when the signal ends the block, perhaps in another thread.
    """
    handling = _handling
    if handling is None:
        yield
        return
    handling.advice.append(advice)
    try:
        yield
    except BaseException:
        if handling.number is not None and handling.last_advice is None:
            handling.last_advice = _text_of(advice)
        raise
    finally:
        handling.advice.remove(advice)


def before_end(kill: Callable[[], object]) -> None:
    """Call a function, such as the end of a child process, before a signal ends this process in whatever way."""
    if _handling is not None:
        _handling.kills.append(kill)


def forget(kill: Callable[[], object]) -> None:
    """Call a function of `before_end` no more."""
    if _handling is not None and kill in _handling.kills:
        _handling.kills.remove(kill)


# --- for work that must not be cut --------------------------------------------------------------------------


def received() -> int | None:
    """Return the number of the first signal, None before it."""
    return None if _handling is None else _handling.number


def acknowledge() -> None:
    """Let the program end by itself from here on: nothing is raised any more, but it has `GRACE` seconds."""
    if _handling is not None:
        _handling.acknowledged = True


def mark_said() -> None:
    """Print no sentence at the end: the program has printed how to continue."""
    if _handling is not None:
        _handling.is_said = True


def check() -> None:
    """Raise `Interrupted` if a signal has come."""
    if _handling is not None and _handling.number is not None:
        _handling.throw()


@contextlib.contextmanager
def deferred(ask: Callable[[int], None] | None = None, announcement: str = "") -> Iterator[None]:
    """Raise nothing in the block, whose owner asks `received` and ends it, or `check`.

    ``ask`` is called once, in the main thread, with the number of the first signal; the owner then ends by itself.
    ``announcement`` is printed at the first signal.
    """
    handling = _handling
    if handling is None or threading.get_ident() != handling._main:
        yield
        return
    asks, announcements = handling.asks, handling.announcements
    handling.depth += 1
    handling.asks = [] if ask is None else [ask]
    handling.announcements = [*announcements, announcement] if announcement else announcements
    try:
        if handling.number is not None:
            handling.ask()
        yield
    finally:
        handling.asks, handling.announcements = asks, announcements
        handling.depth -= 1


def receive(number: int) -> None:
    """Take a signal that another process of this run has received; the first one counts. For any thread."""
    if _handling is not None and _handling.note(number):
        _handling.wake()


def reclaim() -> None:
    """Install the handlers again after a library has replaced them."""
    if _handling is not None and threading.get_ident() == _handling._main:
        _handling.install()


# --- other processes ----------------------------------------------------------------------------------------


def _after_fork() -> None:
    """Let a forked process end with its parent, to whose pipe it must not write."""
    global _handling
    if _handling is not None:
        _handling = None
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
        if REMINDER:
            signal.signal(REMINDER, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep signals from this thread and from a process that it starts in the block.

    The process of this program gets them when it has installed its handlers. Before, Python would end by a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent(*_: object) -> None:
    """Let signals from outside to this process be those of its parent, whom a terminal or cluster tells as well.

    For processes that load data. The parent may still end this process by SIGTERM.
    """
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_by_parent, name="signals", daemon=True).start()


def _end_by_parent() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
