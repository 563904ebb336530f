"""The run folder: everything that a run leaves, and what later commands need."""

import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from translate import __version__
from translate.errors import UserError
from translate.run_folder import CONFIG_FILE

if TYPE_CHECKING:
    from translate.data.datasets.base import Dataset

RELEASED_AFTER = 15.0  # seconds in which the loader processes of a killed run notice it, and let go of its lock
LOGGED_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "pillow")


class RunFolder:
    """``runs/<name>/<time>``.

    Holds config.yaml, overrides.txt, environment.json, data.json, log.txt, metrics.jsonl, samples/ and checkpoints/.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def metrics(self) -> Path:
        """Return the file of recorded terms, one JSON object a line."""
        return self.path / "metrics.jsonl"

    def begin(self, config_yaml: str, overrides: Sequence[str], seed: int) -> None:
        """Write what was asked for and where it runs, before anything else happens.

        What an attempt that left no checkpoint has recorded in this folder is dropped.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.metrics.unlink(missing_ok=True)
        write_text(self.path / CONFIG_FILE, config_yaml)
        write_text(self.path / "overrides.txt", "".join(f"{override}\n" for override in overrides))
        write_text(self.path / "environment.json", json.dumps(environment(seed), indent=2) + "\n")

    def continue_as(self, config_yaml: str) -> None:
        """Replace config.yaml by that of a resumed run: it names the new length, cadence or machine."""
        write_text(self.path / CONFIG_FILE, config_yaml)

    def note_data(self, parts: Mapping[str, "Dataset"]) -> None:
        """Write data.json: of each part the number of images, and the fingerprint by which the data is known again."""
        found = {name: {"images": len(part), "fingerprint": part.fingerprint()} for name, part in parts.items()}
        write_text(self.path / "data.json", json.dumps(found, indent=2) + "\n")

    def noted_data(self) -> dict[str, dict[str, Any]]:
        """Return what `note_data` has written; {} where there is nothing of the kind."""
        try:
            found = json.loads((self.path / "data.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line to the recorded terms."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def recorded(self, iteration: int) -> list[dict[str, Any]]:
        """Return the lines that `append` has written of an iteration."""
        return [line for line in self._lines() if line["iteration"] == iteration]

    def rewind(self, iteration: int) -> None:
        """Drop recorded lines after an iteration: a resumed run writes them again."""
        if self.metrics.exists():
            kept = [json.dumps(line) + "\n" for line in self._lines() if line["iteration"] <= iteration]
            write_text(self.metrics, "".join(kept))

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.metrics.exists():
            return
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                found = json.loads(line)
            except ValueError:  # the last line of a killed process may be cut short
                continue
            if isinstance(found, dict) and "iteration" in found:
                yield found

    def save_picture(self, name: str, pixels: np.ndarray) -> Path:
        """Write (H, W, 3) uint8 as samples/<name>.png and return its path."""
        path = self.path / "samples" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        Image.fromarray(pixels).save(unfinished, format="PNG")
        os.replace(unfinished, path)
        return path

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder for this process, until it ends in whatever way; UserError if another one trains in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / ".lock", timeout=RELEASED_AFTER):
                yield
        except Timeout as error:
            raise UserError(f"{self.path}: another process trains in this folder; wait for it, or stop it") from error

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Copy the log of the package to log.txt for the duration."""
        handler = logging.FileHandler(self.path / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger("translate")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            handler.close()


def write_text(path: Path, text: str) -> None:
    """Write a small file so that it is either the old one or the whole new one."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def environment(seed: int) -> dict[str, Any]:
    """Return what a number needs beside it to be reproduced: command, seed, commit, versions, hardware."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["python", "-m", "translate", *sys.argv[1:]],
        "seed": seed,
        "translate": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
        "packages": {name: _version(name) for name in LOGGED_PACKAGES},
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


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
