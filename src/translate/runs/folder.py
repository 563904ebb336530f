"""The run folder: names of its files, the choice of a checkpoint (``last``, ``best`` or N), and writing into it."""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from translate.errors import UserError, first_line
from translate.files import UNFINISHED, atomic_open, atomic_write
from translate.runs.environment import environment

if TYPE_CHECKING:
    import numpy as np

    from translate.data.datasets.base import Dataset

RUNS = Path("runs")
"""Where runs are written unless ``folder=`` says otherwise: runs/<experiment or model>/<time>."""

CONFIG_FILE = "config.yaml"
LOCK_FILE = ".lock"
CHECKPOINT_SUFFIX = ".safetensors"
SWEEP_FILE = "sweep.json"  # in the folder of a sweep, above its run folders
TRIALS_FOLDER = "trials"  # in the folder of a study, beside its run folders
LAST: str = "last"
BEST: str = "best"
"""Names of checkpoints on the command line, beside the number of an iteration."""

FIRST_FILES = frozenset({LOCK_FILE, CONFIG_FILE + UNFINISHED})
"""Files that a run leaves when it is killed before its configuration is written."""

LOCK_TIMEOUT = 15.0  # seconds in which the loader processes of a killed run notice it and release its lock


class RunFolder:
    """``runs/<name>/<time>``.

    Holds config.yaml, overrides.txt, environment.json, data.json, log.txt, metrics.jsonl, metrics/, samples/ and
    checkpoints/.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()

    def __str__(self) -> str:
        return str(self.path)

    # --- names ----------------------------------------------------------------------------------------------

    @property
    def config_file(self) -> Path:
        """Return the saved configuration, by which a run folder is recognized."""
        return self.path / CONFIG_FILE

    @property
    def metrics(self) -> Path:
        """Return the file of recorded terms, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def scores(self) -> Path:
        """Return the folder of evaluation results, a JSON file each."""
        return self.path / "metrics"

    @property
    def data_file(self) -> Path:
        """Return the file of the data's sizes and fingerprints."""
        return self.path / "data.json"

    @property
    def samples(self) -> Path:
        """Return the folder of sample grids, a PNG file each."""
        return self.path / "samples"

    @property
    def best_checkpoint(self) -> Path:
        """Return where the best checkpoint is kept, see the key ``best``."""
        return self.path / "checkpoints" / f"{BEST}{CHECKPOINT_SUFFIX}"

    def checkpoint(self, iteration: int) -> Path:
        """Return where the checkpoint of an iteration is kept."""
        return self.path / "checkpoints" / f"{iteration:06d}{CHECKPOINT_SUFFIX}"

    def pretrained(self, role: str) -> Path:
        """Return where the weights of a frozen network are kept that was imported with a run."""
        return self.path / "pretrained" / f"{role}{CHECKPOINT_SUFFIX}"

    @property
    def overrides_file(self) -> Path:
        """Return the overrides that the run was started with, one a line."""
        return self.path / "overrides.txt"

    @property
    def sweep(self) -> Path | None:
        """Return the folder of the sweep or study to which the run belongs, if any."""
        parent = self.path.parent
        return parent if (parent / SWEEP_FILE).is_file() or (parent / TRIALS_FOLDER).is_dir() else None

    # --- content --------------------------------------------------------------------------------------------

    def is_run(self) -> bool:
        """Return whether this is a run folder."""
        return self.config_file.is_file()

    def require_run(self, key: str = "run") -> "RunFolder":
        """Return the folder; UserError if it is not a run folder. ``key`` names the argument that gave it."""
        if not self.is_run():
            state = "a file" if self.path.is_file() else f"a folder without {CONFIG_FILE}"
            raise UserError(
                f"{self.path} is {state if self.path.exists() else 'not there'}",
                key=key,
                expected="a run folder, runs/<name>/<time>",
            )
        return self

    def is_fresh(self) -> bool:
        """Return whether a run may begin here as in a new folder."""
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(path.name in FIRST_FILES for path in self.path.iterdir())

    def checkpoints(self) -> dict[int, Path]:
        """Return the checkpoints by iteration, the oldest first; the best one is not among them."""
        paths = (self.path / "checkpoints").glob(f"*{CHECKPOINT_SUFFIX}")
        return dict(sorted((int(path.stem), path) for path in paths if path.stem.isdigit()))

    def newest_iteration(self) -> int | None:
        """Return the iteration of the newest checkpoint, None without any."""
        return max(self.checkpoints(), default=None)

    def choose(self, which: str | int = LAST, key: str = "checkpoint") -> tuple[str, Path]:
        """Return the checkpoint that ``last``, ``best`` or an iteration means: its name in file names, and its path.

        The name is "last", "best" or the iteration in six digits. UserError, with ``key`` as its place, if it is not
        there.
        """
        kept = self.checkpoints()
        if which == BEST:
            if not self.best_checkpoint.is_file():
                raise UserError(f"{self.path} has no best checkpoint", key=key, fix="train with best=METRIC")
            return BEST, self.best_checkpoint
        if which != LAST and not str(which).isdigit():
            raise UserError(key=key, found=which, expected="last, best or an iteration")
        if not kept:
            raise UserError(f"{self.path} holds no checkpoint yet", key=key, expected="checkpoints/*.safetensors")
        if which == LAST:
            return LAST, kept[max(kept)]
        if int(which) not in kept:
            raise UserError(
                f"{self.path} holds no checkpoint of iteration {int(which)}",
                key=key,
                expected=f"one of {', '.join(map(str, kept))}",
            )
        return kept[int(which)].stem, kept[int(which)]

    # --- writing --------------------------------------------------------------------------------------------

    def begin(
        self, config_yaml: str, overrides: Sequence[str], seed: int, command: Sequence[str] | None = None
    ) -> None:
        """Write configuration, overrides and environment, before anything else happens.

        ``command`` are the arguments after ``python -m translate`` as they were typed; None: those of this process.
        Terms recorded by an earlier attempt without a checkpoint are dropped.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.metrics.unlink(missing_ok=True)
        atomic_write(self.config_file, config_yaml)
        atomic_write(self.overrides_file, "".join(f"{override}\n" for override in overrides))
        atomic_write(self.path / "environment.json", json.dumps(environment(seed, command), indent=2) + "\n")

    def continue_as(self, config_yaml: str) -> None:
        """Replace config.yaml by that of a resumed run, with its new length, intervals or machine."""
        atomic_write(self.config_file, config_yaml)

    def note_data(self, splits: Mapping[str, "Dataset"]) -> None:
        """Write data.json: the number of images and the fingerprint of each split, to detect changed data."""
        notes = {name: {"images": len(split), "fingerprint": split.fingerprint()} for name, split in splits.items()}
        atomic_write(self.data_file, json.dumps(notes, indent=2) + "\n")

    def noted_data(self) -> dict[str, dict[str, Any]]:
        """Return the notes that `note_data` has written; {} without a readable file."""
        try:
            notes = json.loads(self.data_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def overrides(self) -> list[str]:
        """Return the overrides that `begin` has written; [] without a readable file."""
        try:
            return self.overrides_file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return []

    def data_changes(self, splits: Mapping[str, "Dataset"]) -> list[str]:
        """Return a sentence for each split that differs from what `note_data` has written."""
        noted = self.noted_data()
        changes = []
        for name, split in splits.items():
            before = noted.get(name)
            if before is None or before["fingerprint"] == split.fingerprint():
                continue
            number = (
                f"{before['images']} then, {len(split)} now" if before["images"] != len(split) else "equal in number"
            )
            changes.append(f"the {name} images differ from those at the beginning of the run ({number})")
        return changes

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line to the recorded terms."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def recorded(self, iteration: int) -> list[dict[str, Any]]:
        """Return the lines that `append` has written of an iteration."""
        return [line for line in self._lines() if line["iteration"] == iteration]

    def rewind(self, iteration: int) -> None:
        """Drop the recorded lines after an iteration; a resumed run writes them again."""
        if self.metrics.exists():
            kept = [json.dumps(line) + "\n" for line in self._lines() if line["iteration"] <= iteration]
            atomic_write(self.metrics, "".join(kept))

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.metrics.exists():
            return
        for text in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # the last line of a killed process may be cut short
                continue
            if isinstance(line, dict) and "iteration" in line:
                yield line

    def save_image(self, name: str, pixels: "np.ndarray") -> Path:
        """Write (H, W, 3) uint8 as samples/<name>.png and return its path."""
        from PIL import Image

        path = self.samples / f"{name}.png"
        with atomic_open(path, durable=False) as file:
            Image.fromarray(pixels).save(file, format="PNG")
        return path

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder for this process until it ends, however it ends; UserError if another one trains in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / LOCK_FILE, timeout=LOCK_TIMEOUT):
                yield
        except Timeout as error:
            raise UserError(
                "another process trains in this folder", key=str(self.path), fix="wait for that process, or stop it"
            ) from error

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Copy the log of the package to log.txt for the duration, and the error that ends it."""
        handler = logging.FileHandler(self.path / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger("translate")
        logger.addHandler(handler)
        try:
            yield
        except Exception as error:
            handler.handleError = lambda record: None  # type: ignore[method-assign] # a full disk may be the error
            reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
            cause = None if isinstance(error, UserError) else (type(error), error, error.__traceback__)
            handler.handle(logging.LogRecord(logger.name, logging.ERROR, "", 0, "failed: %s", (reason,), cause))
            raise
        finally:
            logger.removeHandler(handler)
            handler.close()


def run_folders(root: Path = RUNS) -> Iterator[RunFolder]:
    """Yield the run folders below ``root``, those of sweeps included; does not look inside them."""
    for place, folders, files in os.walk(root):
        if CONFIG_FILE in files:
            folders.clear()
            yield RunFolder(place)
        folders.sort()
