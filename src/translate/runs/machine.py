"""The kind of machine that trains a run: on equal kinds, equal runs are equal to the bit."""

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.runs.environment import version

if TYPE_CHECKING:
    import torch

CPU_FACTS = Path("/proc/cpuinfo")
PACKAGES = ("torchvision", "numpy", "pillow")
"""The packages whose versions are part of the kind beside torch: they draw and decode."""


def machine(device: "torch.device", processes: int) -> dict[str, Any]:
    """Return the kind of this machine, as a process sees it that trains on ``device`` with ``processes`` in all."""
    import torch

    gpu = device.type == "cuda"
    return {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "device": torch.cuda.get_device_name(device) if gpu else device.type,
        "libraries": f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if gpu else "",
        "torch": str(torch.__version__),  # with the kind of its build
        **{name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Return the model of the CPU, or its architecture where the system does not say more."""
    try:
        lines = CPU_FACTS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a phrase for each difference between two kinds of machine.

    >>> changes({"threads": 2, "device": "cpu"}, {"threads": 1, "device": "cpu"})
    ['threads 2, now 1']
    """
    return [
        f"{key} {before.get(key)}, now {now.get(key)}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]
