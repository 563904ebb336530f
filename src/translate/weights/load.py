"""Find weights: a weights file, a checkpoint of a run folder, or a file on the Hugging Face Hub."""

import os
from pathlib import Path

from translate.registry import plugins
from translate.runs import checkpoints, scores
from translate.runs.folder import LAST, RunFolder
from translate.weights import format, hub
from translate.weights.format import Weights
from translate.weights.pretrained import with_pretrained

LEFT_OUT = ("environment", "tasks", "warnings")  # of scores files: long lists, and the machine


def weights_of(path: str | os.PathLike[str], checkpoint: str | int = LAST) -> Weights:
    """Return the weights of a weights file, of a ``checkpoint`` of a run folder, or of an address on the Hub."""
    if hub.is_address(path):
        return format.read(hub.fetch(str(path)))
    place = Path(path).expanduser()
    return of_run(place, checkpoint) if place.is_dir() else format.read(place)


def of_run(folder: Path, which: str | int = LAST) -> Weights:
    """Return the weights of a run folder's checkpoint: "last", "best" or an iteration; UserError if it is missing."""
    return _of_checkpoint(folder, RunFolder(folder).choose(which)[1])


def _of_checkpoint(folder: Path, path: Path) -> Weights:
    """Return the weights in a checkpoint, with the run's notes on its data and the scores of this iteration.

    The plug-ins of the run are activated, as on a resume.
    """
    checkpoint = checkpoints.read(path, (checkpoints.NETWORK, checkpoints.EMA))
    plugins.activate(checkpoint.config.get("plugins") or [])
    own = [
        {key: value for key, value in result.to_tree().items() if key not in LEFT_OUT and value not in ("", {})}
        for _, result in scores.of_run(folder, strict=True)
        if result.request.iteration == checkpoint.iteration
    ]
    return with_pretrained(format.of_checkpoint(checkpoint, RunFolder(folder).noted_data() or None, own))
