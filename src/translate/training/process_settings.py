"""Settings of a training process: number of threads, reuse of freed memory, and the arithmetic of GPUs."""

import ctypes

import torch

from translate.config.schema import TrainerConfig
from translate.training.build import trains_on_gpu

# options of mallopt(3) in the GNU C library
TRIM_THRESHOLD, MMAP_MAX = -1, -4
INT_MAX = 2**31 - 1


def prepare(trainer: TrainerConfig) -> None:
    """Set the number of threads and the arithmetic of GPUs and, if the process trains on the CPU, keep freed memory."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = trainer.tf32
    torch.backends.cudnn.benchmark = trainer.cudnn_benchmark and not trainer.deterministic
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    if trainer.keep_memory and not trains_on_gpu(trainer):
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let this process reuse the memory that it frees; return whether its C library has this setting.

    Otherwise every large tensor comes from the system anew, page by page, filled with zeros. With the setting the
    process holds its peak memory until it ends.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return False
    return bool(set_option(TRIM_THRESHOLD, INT_MAX) and set_option(MMAP_MAX, 0))
