"""Failures of the machine: a full disk, no memory, a dead loader process, each with the way to continue."""

import errno
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from translate.errors import Problem, UserError
from translate.runs.folder import RunFolder

UNWRITABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
}
"""Errors of the operating system for a full or broken disk, or a folder without permission to write."""

WORKER_DIED = re.compile(r"DataLoader worker")
"""How torch begins its message about a dead loader process, for which it has no type of error."""

CPU_MEMORY = re.compile(r"DefaultCPUAllocator: can't allocate memory")
"""Part of torch's message when a CPU has no memory left, for which it has no type of error."""

LESS_MEMORY = (
    "reduce the memory by trainer.activation_checkpointing=true, trainer.accumulate=2 or a smaller data.batch_size; "
    "'python -m translate show --memory' with the same settings estimates it"
)


@contextmanager
def of_disk(run: RunFolder) -> Iterator[None]:
    """Turn errors of a disk that cannot be written into a UserError that says how to continue the run."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        fresh = "begin the run again in another folder, folder=DIR"
        raise UserError.of(
            _problem(f"{error.strerror}", run, fresh, "free space", str(error.filename or run))
        ) from error


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that no memory is left, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or CPU_MEMORY.search(str(error)) is not None


def of_memory_or_worker(error: RuntimeError, run: RunFolder) -> Problem | None:
    """Return the problem of a run without memory or with a dead loader process; None for any other error."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    if is_out_of_memory(error):
        return _problem(f"out of memory ({first_line})", run, LESS_MEMORY, LESS_MEMORY)
    if WORKER_DIED.match(str(error)):
        what = f"a process that loads data has died, most often because memory ran out ({first_line})"
        fewer = "lower data.num_workers"
        return _problem(what, run, f"give the command again, and {fewer}", f"{fewer} if it happens again")
    return None


def _problem(what: str, run: RunFolder, fresh: str, first: str, key: str = "") -> Problem:
    """Return a problem with its fix: ``fresh`` without a checkpoint, else ``first`` and the command that continues."""
    iteration = run.newest_iteration()
    if iteration is None:
        return Problem(f"{what}; the run has no checkpoint yet", key=key, fix=fresh)
    what = f"{what}; the checkpoint of iteration {iteration} is complete"
    return Problem(what, key=key, fix=f"{first}; continue by: {resume_command(run)}")


def resume_command(run: RunFolder) -> str:
    """Return the command that continues a run."""
    return f"python -m translate resume={shlex.quote(str(run))}"
