"""Data-parallel training without Lightning's DDP wrapper module."""

import logging
import os
from typing import Any

import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch.nn import Module

from translate.distributed.watchdog import Watchdog, of_communication, shared_store

log = logging.getLogger("translate")

FAILED = 1  # the exit code of a process that ends because another one is gone


class ExplicitDDP(DDPStrategy):
    """Lightning's DDP without its wrapper module: `TranslationModel` averages gradients where it descends.

    A wrapper expects one backward pass through all of its parameters a step; a GAN iteration has several, each through
    some networks. Here every update averages the gradients of the networks it moves, in one collective call.
    """

    watchdog: Watchdog | None = None

    def __init__(self, hang_timeout: float | None) -> None:
        super().__init__()
        self.hang_timeout = hang_timeout

    def setup_environment(self) -> None:
        """Find the other processes, and from now on watch over them."""
        super().setup_environment()
        self.watchdog = Watchdog(
            shared_store(),
            self.global_rank,
            self.world_size,
            self._end,
            hang_timeout=self.hang_timeout,
            others=self._begun,
        )
        self.watchdog.start()

    def _begun(self) -> list[int]:
        """Return the numbers of the further processes that this one has begun."""
        return [process.pid for process in getattr(self.launcher, "procs", ())]

    def on_exception(self, exception: BaseException) -> None:
        """Find out who is missing if others cannot be reached."""
        super().on_exception(exception)
        if self.watchdog is not None:
            if of_communication(exception):
                self.watchdog.wait()
            self.watchdog.stop(done=False)
            self.watchdog = None

    def teardown(self) -> None:
        """Take leave of the others."""
        if self.watchdog is not None:
            self.watchdog.stop(done=True)
            self.watchdog = None
        super().teardown()

    def _end(self, sentence: str) -> None:
        """End this process at once, as one that waits for another cannot be told; rank 0 ends those that it began."""
        log.error("stopped: %s. The last checkpoint is whole; go on by resume=RUN_FOLDER", sentence)
        logging.shutdown()
        for process in getattr(self.launcher, "procs", ()):
            process.kill()
        os._exit(FAILED)

    def configure_ddp(self) -> None:
        """Give all processes the networks of the first one."""
        assert isinstance(self.model, Module)
        for tensor in self.model.state_dict().values():
            dist.broadcast(tensor, src=0)

    def determine_ddp_device_ids(self) -> Any:
        """Return None: there is no wrapper to place."""
        return None
