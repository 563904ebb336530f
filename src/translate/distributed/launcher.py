"""Start the further processes of a run on this machine, and notice their ends."""

import subprocess
import threading
from collections.abc import Callable
from typing import Any

from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from translate import signals

POLL = 0.25  # seconds between two looks at the processes
PATIENCE = 5.0  # seconds after the failure of a process in which this one may fail by the same mistake, and say so


class Launcher(_SubprocessScriptLauncher):
    """Lightning's launcher with another observer of the processes.

    Lightning kills all processes, without a word, when one has ended with another exit code than 0. Here the end of a
    process by a signal is a signal for all, and ``on_failure`` is called, in a thread, with a sentence about any other
    failure.
    """

    def __init__(self, environment: Any, num_processes: int, num_nodes: int, on_failure: Callable[[str], None]) -> None:
        super().__init__(environment, num_processes, num_nodes)
        self._on_failure = on_failure
        self._ended = threading.Event()

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the processes unless something else has started them; call a function in this one."""
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            signals.before_end(self._end_processes)
            self._call_children_scripts()
            threading.Thread(target=self._observe, name="observer", daemon=True).start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)

    def stop_observing(self) -> None:
        """Let the processes end as they like: training is over."""
        self._ended.set()

    def _observe(self) -> None:
        running: dict[int, subprocess.Popen[Any]] = dict(enumerate(self.procs, start=1))
        while running and not self._ended.wait(POLL):
            for rank, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[rank]
                number = -code if code < 0 else code - 128
                if number in signals.SIGNALS:
                    signals.receive(number)
                elif code:
                    self._fail(rank, code)

    def _fail(self, rank: int, code: int) -> None:
        if not self._ended.wait(PATIENCE):
            self._on_failure(f"rank {rank} of {self.num_processes} processes has ended with exit code {code}")

    def _end_processes(self) -> None:
        for process in self.procs:
            process.kill()
