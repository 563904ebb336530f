"""How a process that trains uses its processor: threads, and memory that it has freed."""

import ctypes

import torch

from translate.config.schema import TrainerConfig
from translate.training.build import trains_on_gpu

# Of mallopt(3) in the GNU C library.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
INT_MAX = 2**31 - 1


def prepare(trainer: TrainerConfig) -> None:
    """Set the threads of this process and, if it trains on the CPU, what becomes of the memory that it frees."""
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    if trainer.keep_memory and not trains_on_gpu(trainer):
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let this process keep what it frees for what it needs next. Return whether the C library can be told so.

    Otherwise large tensors come from the system each time, page by page, filled with zeros. The process holds what it
    once needed at a time until it ends.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # of another C library, or of another system
        return False
    return bool(set_option(TRIM_THRESHOLD, INT_MAX) and set_option(MMAP_MAX, 0))
