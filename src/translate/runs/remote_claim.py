"""One run at an address at a time: a note there that its process renews, while the copies of the run go there.

Stores have no locks. So a process writes a note, reads it again, and renews it every `EVERY` seconds. Another process
that finds a note watches it: one that is renewed belongs to a living run, and the process is refused; one that is not
renewed for `PATIENCE` seconds was left by a run that was killed, and is replaced. No clocks are compared. A note of a
process of the same machine that has ended is replaced at once.
"""

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from translate.downloads.fetch import RetryPolicy
from translate.downloads.remote import CLAIM_FILE, RemoteFolder, Retries
from translate.errors import Phrase, UserError, first_line
from translate.files.reading import loads
from translate.runs.claim import Holder

EVERY = 20.0  # seconds between renewals
PATIENCE = 75.0  # seconds without a renewal after which a note counts no more
POLL = 5.0  # seconds between two looks at the note of another process
SETTLE = 0.5  # seconds before a new note is read again: another process may have written one at the same time

BOOT, NUMBERS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")

ONCE = Retries(RetryPolicy(delays=()))

log = logging.getLogger("translate")


@dataclass(frozen=True)
class Note:
    """What stands in the note: a word that no other run has, the process, and how often the note was renewed."""

    word: str
    holder: Holder
    kernel: str  # where the number of the process is valid; "" where that is not known
    renewals: int = 0

    @classmethod
    def current(cls) -> "Note":
        """Return the note of this process."""
        return cls(secrets.token_hex(8), Holder.current(), _kernel())

    def is_dead(self) -> bool:
        """Return whether the process ran on this machine, and has ended."""
        return self.kernel == _kernel() != "" and self.holder.is_alive() is False


def _kernel() -> str:
    """Return a word for the numbers of processes here: containers of one machine have numbers of their own."""
    try:
        return f"{BOOT.read_text().strip()} {os.stat(NUMBERS).st_ino}"
    except OSError:
        return ""


class Claim:
    """The note of this process at an address, which a thread renews. ``lost`` is the note of a process that took it."""

    def __init__(self, remote: RemoteFolder) -> None:
        self.remote, self.note = remote, Note.current()
        self.lost: Note | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)

    def begin(self, wait: Callable[[float], object] = time.sleep) -> None:
        """Write the note and begin to renew it; UserError if another run holds the address."""
        _wait_for_others(self.remote, wait)
        _write(self.remote, self.note)
        wait(SETTLE)
        other = _read(self.remote)
        if other is not None and other.word != self.note.word:
            raise _held(self.remote, other)
        self._thread.start()

    def end(self) -> None:
        """Remove the note, if it is still that of this process."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        try:
            other = _read(self.remote)
            if other is not None and other.word == self.note.word:
                self.remote.remove(CLAIM_FILE, ONCE)
        except UserError as error:  # it counts no more in a minute
            log.warning("%s", error)

    def require_held(self) -> None:
        """Raise UserError if another process has taken the address."""
        if self.lost is not None:
            raise UserError(
                "another run has taken the address, so this one is no longer copied",
                key=str(self.remote),
                found=Phrase(str(self.lost.holder)),
            )

    def _renew(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                other = _read(self.remote)
                if other is not None and other.word != self.note.word:
                    self.lost = other
                    return
                self.note = replace(self.note, renewals=self.note.renewals + 1)
                _write(self.remote, self.note)
            except UserError as error:  # the connection may come back; `Mirror` warns of it
                log.debug("%s", error)


@contextmanager
def claimed(remote: RemoteFolder) -> Iterator[Claim]:
    """Hold an address for this process during the block; UserError if another run holds it."""
    claim = Claim(remote)
    claim.begin()
    try:
        yield claim
    finally:
        claim.end()


def _wait_for_others(remote: RemoteFolder, wait: Callable[[float], object]) -> None:
    """Return as soon as no living process holds an address; UserError if one does."""
    first = _read(remote)
    if first is None or first.is_dead():
        return
    log.info("%s: a run on %s has not left this address; looking whether it works", remote, first.holder.host)
    waited = 0.0
    while waited < PATIENCE:
        wait(POLL)
        waited += POLL
        now = _read(remote)
        if now is None:
            return
        if now != first:
            raise _held(remote, now)
    log.info("%s: that run was ended; this one takes its place", remote)


def _held(remote: RemoteFolder, other: Note) -> UserError:
    return UserError(
        "another run is copied to this address",
        key=str(remote),
        found=Phrase(str(other.holder)),
        fix="stop that run, or name another address",
    )


def _read(remote: RemoteFolder) -> Note | None:
    """Return the note at an address; None without one, and for one that cannot be read."""
    remote.filesystem.invalidate_cache()
    try:
        text = remote.text(CLAIM_FILE, ONCE)
    except UserError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    try:
        tree = loads(text.encode())
        return Note(str(tree["word"]), Holder.of(tree["holder"]), str(tree["kernel"]), int(tree["renewals"]))
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s/%s is not read (%s)", remote, CLAIM_FILE, first_line(error))
        return None


def _write(remote: RemoteFolder, note: Note) -> None:
    remote.write(CLAIM_FILE, json.dumps(asdict(note)).encode(), ONCE)
