"""The environment of a run: command, seed, commit, versions and hardware, to reproduce its numbers."""

import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from translate import __version__
from translate.errors import Problem, without_secrets

LOGGED_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "pillow")

SHARERS = ("translate", "translate-toolkit")
"""Distributions on the package index whose import name is `translate` as well."""


def environment(seed: int, command: Sequence[str] | None = None) -> dict[str, Any]:
    """Return command, seed, commit, versions and hardware.

    ``command`` are the words behind ``python -m translate``; None: those of this process.
    """
    import torch

    cuda = torch.cuda.is_available()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["python", "-m", "translate", *map(without_secrets, sys.argv[1:] if command is None else command)],
        "seed": seed,
        "translate": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
        "packages": {name: version(name) for name in LOGGED_PACKAGES},
    }


def commit() -> str | None:
    """Return the commit of the source tree that runs, with "+" when it was changed; None outside a checkout."""
    here = Path(__file__).parent
    try:
        ask = ["git", "-C", str(here)]
        revision = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        if revision.returncode:
            return None
        status = subprocess.run([*ask, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return revision.stdout.strip() + ("+" if status.stdout.strip() else "")


def shared_package() -> Problem | None:
    """Return the problem that another distribution has put files into the package `translate`; None if none has."""
    for name in SHARERS:
        try:
            files = metadata.distribution(name).files or ()
        except metadata.PackageNotFoundError:
            continue
        if any(path.parts[:1] == ("translate",) for path in files):
            return Problem(
                f"the distribution {name!r} has put files into the package 'translate' too, so one of them is damaged",
                fix=f"pip uninstall {name}, then install translate-gan again in an environment of its own",
            )
    return None


def version(package: str) -> str | None:
    """Return the installed version of a distribution, None if it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
