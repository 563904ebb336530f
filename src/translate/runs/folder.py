"""The run folder: names of its files, the choice of a checkpoint (``last``, ``best`` or N), and writing into it."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.errors import Phrase, UserError, first_line, without_secrets
from translate.files.reading import is_whole_number, loads, read_object, read_text, require_file, require_folder
from translate.files.writing import UNFINISHED, atomic_write
from translate.runs import claim
from translate.runs.environment import environment
from translate.runs.records import Record, append_record, read_records
from translate.signals import Interrupted, name_of

if TYPE_CHECKING:
    import numpy as np

    from translate.data.datasets.base import Dataset

RUNS = Path("runs")
"""Where runs are written unless ``folder=`` says otherwise: runs/<experiment or model>/<time>."""

CONFIG_FILE = "config.yaml"
RESUMED_CONFIG_FILE = "config.resumed.yaml"
MACHINES_FILE = "machines.json"
CHECKPOINT_SUFFIX = ".safetensors"
SWEEP_FILE = "sweep.json"  # in the folder of a sweep, above its run folders
TRIALS_FOLDER = "trials"  # in the folder of a study, beside its run folders
LAST: str = "last"
BEST: str = "best"
"""Names of checkpoints on the command line, beside the number of an iteration."""

FIRST_FILES = claim.CLAIM_FILES | {CONFIG_FILE + UNFINISHED}
"""Files that a run leaves when it is killed before its configuration is written."""

FILES = (
    *(CONFIG_FILE, RESUMED_CONFIG_FILE, "overrides.txt", "environment.json", "data.json", "log.txt", "metrics.jsonl"),
    *(claim.LOCK_FILE, claim.HOLDER_FILE, MACHINES_FILE),
)
FOLDERS = ("metrics", "samples", "checkpoints")
"""What is a file in a run folder, and what is a folder, where it is there."""

WITHOUT_NOTES = "delete the file to go on without its notes"

LOCK_TIMEOUT = 15.0  # seconds in which the loader processes of a killed run notice it and release its lock


class RunFolder:
    """``runs/<name>/<time>``.

    Holds config.yaml, overrides.txt, environment.json, machines.json, data.json, log.txt, metrics.jsonl, metrics/,
    samples/ and checkpoints/.
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
        self.check_kinds()
        if not self.is_run():
            state = "a file" if self.path.is_file() else f"a folder without {CONFIG_FILE}"
            raise UserError(
                f"{self.path} is {state if self.path.exists() else 'not there'}",
                key=key,
                expected="a run folder, runs/<name>/<time>",
            )
        return self

    def check_kinds(self) -> None:
        """Raise UserError for a folder, pipe or dangling link where a run has a file, and for a file as a folder."""
        for names, require in ((FILES, require_file), (FOLDERS, require_folder)):
            for path in (self.path / name for name in names):
                if os.path.lexists(path):
                    try:
                        require(path)
                    except UserError:
                        if os.path.lexists(path):  # else its process has just removed it
                            raise

    def require_inside(self) -> None:
        """Raise UserError for a link that leads out of the folder from a place where a run writes or deletes.

        A run folder of others may have links to anything of the user.
        """
        top = os.path.realpath(self.path)
        for path in (self.path / name for name in (*FILES, *FOLDERS)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(top):
                raise UserError(
                    "this link leads out of the run folder, and nothing is written there",
                    key=str(path),
                    found=os.path.realpath(path),
                    fix="replace the link by what it leads to",
                )

    def is_fresh(self) -> bool:
        """Return whether a run may begin here as in a new folder."""
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(path.name in FIRST_FILES for path in self.path.iterdir())

    def checkpoints(self) -> dict[int, Path]:
        """Return the checkpoints by iteration, the oldest first; the best one is not among them."""
        paths = (self.path / "checkpoints").glob(f"*{CHECKPOINT_SUFFIX}")
        return dict(sorted((int(path.stem), path) for path in paths if is_whole_number(path.stem)))

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
        if which != LAST and not is_whole_number(str(which)):
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
        atomic_write(self.overrides_file, "".join(f"{without_secrets(word)}\n" for word in overrides))
        atomic_write(self.path / "environment.json", json.dumps(environment(seed, command), indent=2) + "\n")

    @property
    def resumed_config_file(self) -> Path:
        """Return the configuration of a resume that has yet to do an iteration; further processes read it."""
        return self.path / RESUMED_CONFIG_FILE

    @contextmanager
    def resuming(self, config_yaml: str) -> Iterator[None]:
        """Hold the configuration of a resumed run, with its new length, intervals or machine, beside the old one.

        It is there until `continue_as`, or until the block ends.
        """
        atomic_write(self.resumed_config_file, config_yaml)
        try:
            yield
        finally:
            self.resumed_config_file.unlink(missing_ok=True)

    def continue_as(self, config_yaml: str) -> None:
        """Replace config.yaml by that of a resumed run."""
        atomic_write(self.config_file, config_yaml)

    def note_data(self, splits: Mapping[str, "Dataset"]) -> None:
        """Write data.json: the number of images and the fingerprint of each split, to detect changed data."""
        notes = {name: {"images": len(split), "fingerprint": split.fingerprint()} for name, split in splits.items()}
        atomic_write(self.data_file, json.dumps(notes, indent=2) + "\n")

    def noted_data(self) -> dict[str, dict[str, Any]]:
        """Return the notes that `note_data` has written; {} without the file. UserError for a damaged one."""
        if not os.path.lexists(self.data_file):
            return {}
        notes = read_object(self.data_file, fix=WITHOUT_NOTES)
        for name, note in notes.items():
            if not isinstance(note, dict) or not {"images", "fingerprint"} <= note.keys():
                raise UserError(
                    f"the note on {name!r} is damaged",
                    key=str(self.data_file),
                    expected="images and fingerprint",
                    fix=WITHOUT_NOTES,
                )
        return notes

    def note_machine(self, start: int, machine: Mapping[str, Any]) -> None:
        """Record in machines.json on which kind of machine the run trains from iteration ``start`` on."""
        before = [note for note in self.machines() if note[0] < start]
        notes = [{"from": number, "machine": kind} for number, kind in [*before, (start, dict(machine))]]
        atomic_write(self.path / MACHINES_FILE, json.dumps(notes, indent=2) + "\n")

    def machines(self) -> list[tuple[int, dict[str, Any]]]:
        """Return what `note_machine` has recorded, the earliest first; [] without the file.

        UserError for a damaged one.
        """
        path = self.path / MACHINES_FILE
        if not os.path.lexists(path):
            return []
        text = read_text(path)
        try:
            notes = [(int(note["from"]), dict(note["machine"])) for note in loads(text)]
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise UserError("the notes on machines are damaged", key=str(path), fix=WITHOUT_NOTES) from error
        return sorted(notes, key=lambda note: note[0])

    def overrides(self) -> list[str]:
        """Return the overrides that `begin` has written; [] without the file. UserError for one that is no text."""
        return read_text(self.overrides_file).splitlines() if os.path.lexists(self.overrides_file) else []

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
        append_record(self.metrics, values)

    def recorded(self, iteration: int) -> list[dict[str, Any]]:
        """Return the lines that `append` has written of an iteration."""
        return [record for record in self.records() if record["iteration"] == iteration]

    def rewind(self, iteration: int) -> None:
        """Drop the recorded lines after an iteration; a resumed run writes them again."""
        if self.metrics.exists():
            kept = [json.dumps(record) + "\n" for record in self.records() if record["iteration"] <= iteration]
            atomic_write(self.metrics, "".join(kept))

    def records(self) -> Iterator[Record]:
        """Yield the recorded terms; UserError for a damaged line."""
        return read_records(self.metrics)

    def save_image(self, name: str, pixels: "np.ndarray") -> Path:
        """Write (H, W, 3) uint8 as samples/<name>.png and return its path."""
        from PIL import Image

        path, content = self.samples / f"{name}.png", io.BytesIO()
        Image.fromarray(pixels).save(content, format="PNG")  # into a file, Pillow does not say why it fails
        atomic_write(path, content.getvalue())
        return path

    @contextmanager
    def claimed(self, resumes: bool) -> Iterator[None]:
        """Hold the folder for this process until it ends, however it ends; UserError if another one trains in it.

        A new run, which does not resume the one in the folder, is refused too if another one has come to a checkpoint.
        """
        statement, fix = "another process trains in this folder", "wait for that process, stop it, or name a new folder"
        self.path.mkdir(parents=True, exist_ok=True)
        self.check_kinds()
        self.require_inside()
        with claim.claimed(self.path, statement, fix, LOCK_TIMEOUT):
            if not resumes and (iteration := self.newest_iteration()) is not None:
                raise UserError(
                    "another run has begun in this folder",
                    key=str(self.path),
                    found=Phrase(f"its checkpoint of iteration {iteration}"),
                    fix=f"name a new folder, or write resume={self} to continue that run",
                )
            yield

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Copy the log of the package to log.txt for the duration, and the error that ends it."""
        handler = LogFile(self.path / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger("translate")
        logger.addHandler(handler)
        try:
            yield
        except Interrupted as interrupt:
            sentence = f"stopped by {name_of(interrupt.number)}"
            handler.handle(logging.LogRecord(logger.name, logging.INFO, "", 0, sentence, None, None))
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
            cause = None if isinstance(error, UserError) else (type(error), error, error.__traceback__)
            handler.handle(logging.LogRecord(logger.name, logging.ERROR, "", 0, "failed: %s", (reason,), cause))
            raise
        finally:
            logger.removeHandler(handler)
            handler.close()


class LogFile(logging.FileHandler):
    """A file of the log. One that cannot be written, as on a full disk, is one warning and costs the run nothing."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once on stderr that the file cannot be written; any other error is one of the program."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.failed:
            self.failed = True
            reason = error.strerror or first_line(error)
            print(f"{self.baseFilename}: cannot be written ({reason}), so the log lacks lines", file=sys.stderr)

    def close(self) -> None:
        """Close the file; lines that it could not take are lost."""
        with suppress(OSError):
            super().close()


def run_folders(root: Path = RUNS) -> Iterator[RunFolder]:
    """Yield the run folders below ``root``, those of sweeps included; does not look inside them."""
    for place, folders, files in os.walk(root):
        if CONFIG_FILE in files:
            folders.clear()
            yield RunFolder(place)
        folders.sort()
