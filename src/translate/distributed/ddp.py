"""Data-parallel training without Lightning's DDP wrapper module."""

import atexit
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch.nn import Module

from translate import signals
from translate.distributed.launcher import Launcher
from translate.distributed.watchdog import Watchdog, is_communication_error, shared_store

log = logging.getLogger("translate")

FAILED = 1  # the exit code of a process that ends because another one has failed
MARGIN = timedelta(minutes=1)
"""The time by which the watchdog is earlier than the timeout of the process group, which names no rank."""
NO_TIMEOUT = timedelta(days=30)

ReasonOf = Callable[[BaseException], str | None]


def end_process_group() -> None:
    """Wait for the threads of the process group, at the end of a process whose training has not failed.

    A thread of gloo may still hold the tensors of the last collective call. If it frees them while Python ends, it
    aborts the process. Several runs in one process share a group: a second one could not be made by the same store.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


class ExplicitDDP(DDPStrategy):
    """Lightning's DDP without its wrapper module: `TranslationModel` averages the gradients in each update.

    A wrapper expects one backward pass through all its parameters a step. A GAN iteration has several, each through
    some networks. Here every update averages the gradients of its own networks.

    ``hang_timeout`` is the number of seconds that the ranks wait for one of them at a collective call; None: no limit.
    ``reason_of`` returns the sentence of an error of the machine, None for any other error.
    """

    watchdog: Watchdog | None = None
    delivered = False
    """Whether the other ranks know why this one has failed, so that one of them says it."""

    def __init__(self, hang_timeout: float | None, reason_of: ReasonOf = lambda error: None) -> None:
        super().__init__(timeout=NO_TIMEOUT if hang_timeout is None else timedelta(seconds=hang_timeout) + MARGIN)
        self.hang_timeout, self.reason_of = hang_timeout, reason_of

    def _configure_launcher(self) -> None:
        """Start further processes by a launcher that understands signals."""
        assert self.cluster_environment is not None
        self._launcher = Launcher(self.cluster_environment, self.num_processes, self.num_nodes, self._end)

    def setup_environment(self) -> None:
        """Connect to the other processes and start the watchdog."""
        super().setup_environment()
        atexit.unregister(end_process_group)  # once alone, also after several runs in one process
        atexit.register(end_process_group)
        self.watchdog = Watchdog(shared_store(), self.global_rank, self.world_size, self._end, self.hang_timeout)
        self.watchdog.start()

    def on_exception(self, exception: BaseException) -> None:
        """Tell the other ranks of a signal or of the reason; if they cannot be reached, let the watchdog name one."""
        super().on_exception(exception)
        atexit.unregister(end_process_group)  # a collective call may never end, and nobody waits for it
        if self.watchdog is not None:
            if isinstance(exception, signals.Interrupted):
                self.watchdog.pass_on(exception.number)
            else:
                if is_communication_error(exception):
                    self.watchdog.wait()
                elif (reason := self.reason_of(exception)) is not None:
                    self.delivered = self.watchdog.tell(reason)
                self.watchdog.stop(done=False)
            self.watchdog = None

    def teardown(self) -> None:
        """End the heartbeat, so that the other ranks do not miss this one."""
        if self.watchdog is not None:
            self.watchdog.stop(done=True)
            self.watchdog = None
        if isinstance(self.launcher, Launcher):
            self.launcher.stop_observing()
        super().teardown()

    def _end(self, sentence: str) -> None:
        """End this process at once, since a blocked collective call cannot be interrupted; rank 0 ends its children."""
        if self.watchdog is None or self.watchdog.reports:
            log.error("stopped: %s. The last checkpoint is complete. Fix: continue with resume=RUN_FOLDER", sentence)
        logging.shutdown()
        for process in getattr(self.launcher, "procs", ()):
            process.kill()
        os._exit(FAILED)

    def configure_ddp(self) -> None:
        """Copy the networks of rank 0 to all ranks."""
        assert isinstance(self.model, Module)
        for tensor in self.model.state_dict().values():
            on_device = tensor.to(self.root_device)  # a network may wait in CPU memory
            dist.broadcast(on_device, src=0)
            if on_device is not tensor:
                tensor.copy_(on_device)

    def determine_ddp_device_ids(self) -> Any:
        """Return None: there is no wrapper that needs device numbers."""
        return None
