"""Failures of the machine: a full disk, no memory, a dead process, a broken connection; each says how to continue."""

import errno
import logging
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from translate import signals
from translate.config.schema import read_yaml
from translate.distributed.watchdog import is_communication_error
from translate.errors import Problem, UserError, first_line
from translate.registry import trust
from translate.runs.folder import RunFolder
from translate.runs.out_of_memory import is_out_of_memory
from translate.runs.remote_runs import is_copied

log = logging.getLogger("translate")

UNWRITABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
}
"""Errors of the operating system for a full or broken disk, or a folder without permission to write."""

WORKER_DIED = re.compile(r"DataLoader worker")
"""How torch begins its message about a dead loader process, for which it has no type of error."""

LESS_MEMORY = (
    "reduce the memory by trainer.activation_checkpointing=true, trainer.accumulate=2 or a smaller data.batch_size; "
    "'python -m translate show --memory' with the same settings estimates it"
)
CONNECTION = "check the network and the other machines; the environment variable NCCL_DEBUG=INFO shows more"


@contextmanager
def of_disk(run: RunFolder, again: str = "") -> Iterator[None]:
    """Turn errors of a disk that cannot be written into a UserError that says how to continue the run.

    Here and below, ``again`` is what to do for a run that is not continued; "" for one that is, by ``resume=``.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        fresh = "begin the run again in another folder, folder=DIR"
        raise UserError.of(
            _problem(f"{error.strerror}", run, fresh, "free space", str(error.filename or run), again)
        ) from error


class Reporting:
    """Whether this process reports a failure: every process does, unless another one knows of it and says it."""

    is_delivered: Callable[[], bool] = staticmethod(lambda: False)


@contextmanager
def of_machine(run: RunFolder, of_all: bool, again: str = "") -> Iterator[Reporting]:
    """Log why a run without memory, with a dead process or without a connection stops, and end the block.

    ``of_all`` says whether this process reports a failure that all processes have, such as a broken connection. Any
    other error is raised.
    """
    reporting = Reporting()
    try:
        yield reporting
    except (RuntimeError, MemoryError) as error:
        problem = of_memory_or_process(error, run, again)
        if problem is None:
            raise
        if of_all if is_communication_error(error) else not reporting.is_delivered():
            log.error("stopped: %s", problem)


def reason_of(error: BaseException) -> str | None:
    """Return a sentence about an error of the machine for the other processes of a run; None for any other error."""
    if is_out_of_memory(error):
        return f"out of memory ({first_line(error)}); {LESS_MEMORY}"
    if isinstance(error, RuntimeError) and WORKER_DIED.match(str(error)):
        return f"a process that loads data has died ({first_line(error)})"
    return None


def of_memory_or_process(error: BaseException, run: RunFolder, again: str = "") -> Problem | None:
    """Return the problem of a run without memory, with a dead process or a broken connection; None for others."""
    if is_out_of_memory(error):
        return _problem(f"out of memory ({first_line(error)})", run, LESS_MEMORY, LESS_MEMORY, again=again)
    if WORKER_DIED.match(str(error)):
        what = f"a process that loads data has died, most often because memory ran out ({first_line(error)})"
        fewer = "lower data.num_workers"
        fresh = f"give the command again, and {fewer}"
        return _problem(what, run, fresh, f"{fewer} if it happens again", again=again)
    if is_communication_error(error):
        what = f"the processes of the run do not reach each other ({first_line(error)})"
        return _problem(what, run, f"{CONNECTION}; then give the command again", CONNECTION, again=again)
    return None


def _problem(what: str, run: RunFolder, fresh: str, first: str, key: str = "", again: str = "") -> Problem:
    """Return a problem with its fix: ``fresh`` without a checkpoint, else ``first`` and the command that continues."""
    if again:
        return Problem(what, key=key, fix=f"{first}; then {again}")
    iteration = run.newest_iteration()
    if iteration is None:
        return Problem(f"{what}; the run has no checkpoint yet", key=key, fix=fresh)
    what = f"{what}; the checkpoint of iteration {iteration} is complete"
    return Problem(what, key=key, fix=f"{first}; continue by: {resume_command(run)}")


def advice(run: RunFolder, again: str = "") -> str:
    """Return how to continue a run that a signal has ended."""
    if again:
        return again
    return signals.AGAIN if run.newest_iteration() is None else f"continue by: {resume_command(run)}"


def resume_command(run: RunFolder) -> str:
    """Return the command that continues a run; it trusts the code that the run used."""
    saved = read_yaml(run.config_file) if run.is_run() else {}
    packages = trust.untrusted(saved) if saved else []
    place = str(saved["folder"]) if is_copied(saved.get("folder"), run.path) else str(run)
    return f"python -m translate resume={shlex.quote(place)}" + (f" trust=[{','.join(packages)}]" if packages else "")
