"""Data-parallel training without Lightning's DDP wrapper module."""

import logging
import os
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch.nn import Module

from translate.distributed.watchdog import Watchdog, is_communication_error, shared_store

log = logging.getLogger("translate")

FAILED = 1  # the exit code of a process that ends because another one has failed
MARGIN = timedelta(minutes=1)
"""The time by which the watchdog is earlier than the timeout of the process group, which names no rank."""
NO_TIMEOUT = timedelta(days=30)


class ExplicitDDP(DDPStrategy):
    """Lightning's DDP without its wrapper module: `TranslationModel` averages the gradients in each update.

    A wrapper expects one backward pass through all its parameters a step. A GAN iteration has several, each through
    some networks. Here every update averages the gradients of its own networks in one collective call.

    ``hang_timeout`` is the number of seconds that the ranks wait for one of them at a collective call; None: no limit.
    """

    watchdog: Watchdog | None = None

    def __init__(self, hang_timeout: float | None) -> None:
        super().__init__(timeout=NO_TIMEOUT if hang_timeout is None else timedelta(seconds=hang_timeout) + MARGIN)
        self.hang_timeout = hang_timeout

    def setup_environment(self) -> None:
        """Connect to the other processes and start the watchdog."""
        super().setup_environment()
        self.watchdog = Watchdog(shared_store(), self.global_rank, self.world_size, self._end, self.hang_timeout)
        self.watchdog.start()

    def on_exception(self, exception: BaseException) -> None:
        """Let the watchdog name the failed rank if other processes cannot be reached."""
        super().on_exception(exception)
        if self.watchdog is not None:
            if is_communication_error(exception):
                self.watchdog.wait()
            self.watchdog.stop(done=False)
            self.watchdog = None

    def teardown(self) -> None:
        """End the heartbeat, so that the other ranks do not miss this one."""
        if self.watchdog is not None:
            self.watchdog.stop(done=True)
            self.watchdog = None
        super().teardown()

    def _end(self, sentence: str) -> None:
        """End this process at once, since a blocked collective call cannot be interrupted; rank 0 ends its children."""
        log.error("stopped: %s. The last checkpoint is complete. Fix: continue with resume=RUN_FOLDER", sentence)
        logging.shutdown()
        for process in getattr(self.launcher, "procs", ()):
            process.kill()
        os._exit(FAILED)

    def configure_ddp(self) -> None:
        """Copy the networks of rank 0 to all ranks."""
        assert isinstance(self.model, Module)
        for tensor in self.model.state_dict().values():
            dist.broadcast(tensor, src=0)

    def determine_ddp_device_ids(self) -> Any:
        """Return None: there is no wrapper that needs device numbers."""
        return None
