"""A lack of memory, on a GPU or a CPU, noticed without torch."""

import re

from translate.errors import Problem, first_line

CPU_MEMORY = re.compile(r"DefaultCPUAllocator: can't allocate memory")
"""Part of torch's message when a CPU has no memory left, for which it has no type of error."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that no memory is left, on a GPU or a CPU."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and CPU_MEMORY.search(str(error)) is not None


def problem_of(error: BaseException) -> Problem | None:
    """Return the problem of a command for which the memory is too small; None for any other error."""
    if not is_out_of_memory(error):
        return None
    fix = "use smaller images or batches, or another device"
    return Problem(f"out of memory ({first_line(error)})", fix=fix)
