"""Write checkpoints in a thread while training continues.

The thread writes from a snapshot in memory of its own, since an optimizer changes weights in place. On a CPU the
training thread copies the tensors. On a GPU it only enqueues copies to pinned memory: they take their turn before the
kernels of the next iteration, and the writing thread waits for them.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from translate.errors import first_line
from translate.runs import checkpoints
from translate.runs.checkpoints import Checkpoint

log = logging.getLogger("translate")


class Snapshot:
    """A copy of tensors in CPU memory that is kept and used again: pinned for tensors on a GPU."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Callable[[], None]]:
        """Return the copies, contiguous, and a function that waits until they are complete.

        They are valid until the next call.
        """
        self._buffers = {name: self._buffer(name, tensor) for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            self._buffers[name].copy_(tensor, non_blocking=tensor.is_cuda)
        devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
        copied = [torch.cuda.current_stream(device).record_event() for device in devices]

        def wait() -> None:
            for event in copied:
                event.synchronize()

        return self._buffers, wait

    def _buffer(self, name: str, tensor: Tensor) -> Tensor:
        """Return the buffer of a tensor: that of the last snapshot if it still fits."""
        buffer = self._buffers.get(name)
        if buffer is not None and (buffer.shape, buffer.dtype) == (tensor.shape, tensor.dtype):
            return buffer
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)


class BackgroundWriter:
    """Write one checkpoint at a time in a thread.

    An error of the thread, such as a full disk, is raised once on the calling thread, by the next call of `write`,
    `check` or `wait`.
    """

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def write(self, checkpoint: Checkpoint, path: Path, then: Callable[[], None] = lambda: None) -> None:
        """Take a snapshot and return; the thread writes it to ``path`` and calls ``then``.

        Waits for the write before. The tensors of ``checkpoint`` may be on any device, and change after the call.
        """
        self.wait()
        tensors, copied = self._snapshot.take(checkpoint.tensors)

        def work() -> None:
            try:
                copied()
                checkpoints.write(replace(checkpoint, tensors=tensors), path)
                then()
            except BaseException as error:  # raised on the other thread
                self._error = error

        self._thread = threading.Thread(target=work, name="checkpoint")
        self._thread.start()

    def check(self) -> None:
        """Raise the error of a write that has failed; do not wait."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Return when no checkpoint is being written; raise the error of the last write."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if (error := self._error) is not None:
            self._error = None
            raise error

    def finish(self) -> None:
        """Return when no checkpoint is being written; log the error of the last write, while another one is raised."""
        try:
            self.wait()
        except Exception as error:
            log.error("the last checkpoint was not written (%s)", first_line(error))
