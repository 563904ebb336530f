"""Copies of a run folder at an address, made by a thread while the run goes on.

The thread stores files whose size or time has changed since their last copy: small files first, then checkpoints, the
newest first. Then it removes copies of checkpoints that are no longer kept. Requests that come while it works are one
request. Each file appears whole at the address. A failure is repeated by the retry policy, and again at the next
request.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from translate.downloads.fetch import DEFAULT_RETRY_POLICY, RetryPolicy
from translate.downloads.remote import RemoteFolder, Retries, is_address, open_folder
from translate.errors import UserError, first_line
from translate.files.writing import UNFINISHED
from translate.runs import remote_claim
from translate.runs.claim import CLAIM_FILES
from translate.runs.folder import CHECKPOINT_SUFFIX, CONFIG_FILE, RESUMED_CONFIG_FILE
from translate.runs.remote_runs import numbered

log = logging.getLogger("translate")

NOT_COPIED = CLAIM_FILES | {RESUMED_CONFIG_FILE}
UNCHANGING = (CHECKPOINT_SUFFIX, ".png")
"""Suffixes of files of which a copy of the same size is the same file."""

AT_THE_END = 600.0  # seconds in which the last copies are made when a run ends
AFTER_A_SIGNAL = 6.0  # the same after a signal or an error, since the machine may be about to stop
BEHIND = 3  # requests during one pass before a warning

Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds of a local file."""


class Mirror:
    """Keep copies of a run folder at an address. `begin` first; `request` after each change; `finish` at the end."""

    def __init__(
        self,
        folder: Path,
        remote: RemoteFolder,
        policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        require_held: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the policy of repetitions, and a function that raises UserError if the address is another run's now."""
        self.folder, self.remote, self.policy, self.require_held = folder, remote, policy, require_held
        self.hurried = False  # whether a signal ends the run
        self._copied: dict[str, Stamp] = {}
        self._there: set[str] = set()
        self._problem: UserError | None = None
        self._waiting = 0  # requests since the last complete pass began
        self._wanted, self._closing = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Copy the configuration, to notice before training that the address cannot be written; start the thread."""
        sizes = self.remote.sizes(Retries(RetryPolicy(delays=())))
        self._there = set(sizes)
        self._copied = {
            name: stamp
            for name, stamp in self._files().items()
            if name.endswith(UNCHANGING) and sizes.get(name) == stamp[0]
        }
        self.remote.store(self.folder / CONFIG_FILE, CONFIG_FILE, Retries(RetryPolicy(delays=())))
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Let the thread copy the changed files; return at once."""
        self._waiting += 1
        if self._waiting == BEHIND and self._problem is None:
            log.warning(
                "the copies at %s are %d checkpoints behind; a larger checkpoint_every makes fewer", self.remote, BEHIND
            )
        self._idle.clear()
        self._wanted.set()

    def finish(self, seconds: float) -> UserError | None:
        """Copy the last state within some seconds, and end the thread; return the problem if not all is copied."""
        if self._thread is None:
            return None
        end = time.monotonic() + seconds
        if not self._closing.is_set():
            self.request()
            self._idle.wait(seconds)
        self._closing.set()
        self._wanted.set()
        self._thread.join(max(0.0, end - time.monotonic()))
        if self._thread.is_alive() or not self._idle.is_set():
            reason = "" if self._problem is None else f": {first_line(self._problem)}"
            return UserError(f"not all files were copied within {seconds:.0f} s{reason}", key=str(self.remote))
        return self._problem

    # --- the thread -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            if self._closing.is_set():
                return
            self._wanted.clear()
            self._waiting = 0
            try:
                self._copy_all()
                if self._problem is not None:
                    log.info("the copies at %s are complete again", self.remote)
                self._problem = None
            except UserError as error:
                if self._problem is None:
                    log.warning("%s; training continues, and the copies are tried again after each checkpoint", error)
                self._problem = error
            except Exception as error:  # the run must not depend on its copies
                log.exception("the copies at %s failed", self.remote)
                self._problem = UserError(f"the copies failed ({first_line(error)})", key=str(self.remote))
            if not self._wanted.is_set():
                self._idle.set()

    def _copy_all(self) -> None:
        self.require_held()
        retries = Retries(self.policy, self._closing.wait)
        for name in self._changed():
            if not name.endswith(CHECKPOINT_SUFFIX):
                self._copy(name, retries)
        changed = self._changed()  # looked up again: training has replaced checkpoints in the meantime
        newest_first = list(numbered(changed).values())
        for name in [*newest_first, *(name for name in changed if name not in newest_first)]:
            self._copy(name, retries)
        self._remove_old(retries)

    def _changed(self) -> list[str]:
        return [name for name, stamp in self._files().items() if self._copied.get(name) != stamp]

    def _copy(self, name: str, retries: Retries) -> None:
        """Copy a file, unless it was removed in the meantime, such as an old checkpoint."""
        try:
            stamp = _stamp(self.folder / name)
            self.remote.store(self.folder / name, name, retries)
        except FileNotFoundError:
            return
        self._copied[name] = stamp
        self._there.add(name)

    def _remove_old(self, retries: Retries) -> None:
        """Remove copies of checkpoints, and of files that were copied, that the run folder no longer has.

        A checkpoint stays at the address until one of the folder's is there.
        """
        now = self._files()
        kept = set(numbered(now).values())
        old = set(numbered(self._there).values())
        gone = (old | self._copied.keys()) - now.keys()
        if not kept & self._copied.keys():
            gone -= old
        for name in sorted(gone):
            self.remote.remove(name, retries)
            self._there.discard(name)
            self._copied.pop(name, None)

    def _files(self) -> dict[str, Stamp]:
        """Return the files to be copied, by their names with slashes."""
        stamps: dict[str, Stamp] = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.name in NOT_COPIED or name.endswith(UNFINISHED) or path.is_symlink():
                continue
            try:
                if path.is_file():
                    stamps[name] = _stamp(path)
            except FileNotFoundError:
                continue
        return stamps


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@contextmanager
def mirrored(address: str | None, folder: Path) -> Iterator[Mirror | None]:
    """Keep copies of a run folder at an address during the block; None without an address.

    UserError if another run is copied there. When the block ends, the last state is copied. UserError if that fails,
    unless a signal or another error has ended the run: then the problem is logged.
    """
    if not is_address(address):
        yield None
        return
    remote = open_folder(str(address), "folder")
    with remote_claim.claimed(remote) as claim:
        mirror = Mirror(folder, remote, require_held=claim.require_held)
        mirror.begin()
        log.info("the run works in %s and is copied to %s after each checkpoint", folder, mirror.remote)
        try:
            yield mirror
            problem = mirror.finish(AFTER_A_SIGNAL if mirror.hurried else AT_THE_END)
        except BaseException:  # a signal may also come while the last state is copied
            _log_problem(mirror, mirror.finish(AFTER_A_SIGNAL))
            raise
        if mirror.hurried:
            _log_problem(mirror, problem)
        elif problem is not None:
            raise _with_fix(mirror, problem)


def _with_fix(mirror: Mirror, error: UserError) -> UserError:
    problem = error.problem
    return UserError(
        f"{problem.what}; the run is whole in {mirror.folder}",
        key=problem.key,
        fix=f"repeat the copying by: python -m translate resume={mirror.folder}",
    )


def _log_problem(mirror: Mirror, error: UserError | None) -> None:
    if error is not None:
        log.error("%s", _with_fix(mirror, error))
