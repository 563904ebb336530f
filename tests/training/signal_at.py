"""Send signals to this process when a function of the package is called, and run commands in forked processes.

As a program: read cases from stdin, a JSON object a line, run each in a fork of this process, which has imported the
libraries already, and answer with exit code and seconds. `from_environment` does the same in a process that was started
otherwise, for a case in the variable SIGNAL_AT.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # seconds after which a command is taken to hang

IMPORTED = ("translate.training.run", "translate.sweeps.grid", "translate.inference.apply", "translate.export.weights")


@dataclass(frozen=True)
class Moment:
    """The call of a function at which a process gets a signal.

    With ``second`` the main thread then hears nothing, as in a library, and the process gets another signal.
    """

    place: str  # "package.module:Class.method"
    number: int
    call: int = 1
    second: bool = False
    ranks: tuple[int, ...] = (0,)  # of the processes of a run that get it
    note: str = ""  # a file for the time of the first signal

    def install(self) -> None:
        """Wait for the call in this process, now or when the module is imported."""
        if int(os.environ.get("LOCAL_RANK", "0")) not in self.ranks:
            return
        module = self.place.partition(":")[0]
        if module in sys.modules:
            self.patch(sys.modules[module])
        else:
            sys.meta_path.insert(0, _Patcher(module, self))

    def patch(self, module: Any) -> None:
        """Replace the function in its module."""
        owner, names = module, self.place.partition(":")[2].split(".")
        for name in names[:-1]:
            owner = getattr(owner, name)
        original, calls = getattr(owner, names[-1]), 0

        def hooked(*arguments: Any, **settings: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.call:
                self.send()
            return original(*arguments, **settings)

        setattr(owner, names[-1], hooked)

    def send(self) -> None:
        """Send the signals to this process."""
        if self.note:
            Path(self.note).write_text(str(time.time()))
        if not self.second:
            os.kill(os.getpid(), self.number)
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, [self.number])
        threading.Thread(target=self._send_twice, daemon=True).start()
        time.sleep(PATIENCE)

    def _send_twice(self) -> None:
        for _ in range(2):
            os.kill(os.getpid(), self.number)
            time.sleep(0.3)


class _Patcher(MetaPathFinder):
    """Patch one module when it is imported."""

    def __init__(self, module: str, moment: Moment) -> None:
        self.module, self.moment = module, moment

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Find the module as Python does, and let it be patched."""
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            self.moment.patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def from_environment() -> None:
    """Wait for the moment of the variable SIGNAL_AT; for sitecustomize."""
    if "SIGNAL_AT" in os.environ:
        Moment(**json.loads(os.environ["SIGNAL_AT"])).install()


def as_text(moment: Moment | None) -> str | None:
    """Return a moment as JSON."""
    return None if moment is None else json.dumps(asdict(moment))


def _child(case: dict[str, Any]) -> None:
    os.setsid()
    with open(case["said"], "wb") as said:
        for descriptor in (1, 2):
            os.dup2(said.fileno(), descriptor)
    os.chdir(case["place"])
    if case["moment"] is not None:
        Moment(**json.loads(case["moment"])).install()
    sys.argv = ["translate", *case["words"]]
    code: Any = 1
    try:
        from translate.__main__ import run

        code = run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _answer(case: dict[str, Any]) -> dict[str, float]:
    child = os.fork()
    if not child:
        try:
            _child(case)
        finally:
            os._exit(99)
    began = time.time()
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.time() - began > PATIENCE:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return {"code": os.waitstatus_to_exitcode(ended[1]), "ended": time.time()}


def main() -> None:
    """Answer cases until stdin ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
