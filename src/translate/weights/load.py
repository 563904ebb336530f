"""Find weights wherever they are: shipped, a weights file, a run folder, the Hugging Face Hub, or released files."""

import os
from dataclasses import replace
from pathlib import Path

from translate.downloads import hub
from translate.errors import UserError
from translate.registry import plugins
from translate.runs import checkpoints, scores
from translate.runs.folder import LAST, RunFolder
from translate.runs.places import GRAPH_SUFFIXES, SUFFIX, released_files, require_existing, shipped_file
from translate.weights import format, signatures
from translate.weights.format import Weights
from translate.weights.pretrained import with_pretrained
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions

LEFT_OUT = ("environment", "tasks", "warnings")  # of scores files: long lists, and the machine
NO_OPTIONS = ImportOptions()


def weights_of(
    place: str | os.PathLike[str],
    checkpoint: str | int = LAST,
    options: ImportOptions = NO_OPTIONS,
    verify: signatures.Key | None = None,
) -> Weights:
    """Return the weights at a place.

    A place is a name of `shipped_names`, a weights file, a run folder, an address on the Hub (``hf://owner/name``), or
    released weights of StarGAN v1, StarGAN v2, CycleGAN or pix2pix: a file or a folder of files as downloaded.
    ``checkpoint`` is "last", "best" or an iteration, for a run folder and for a folder of released files. ``options``
    are facts that released files do not state. ``verify`` is a public key: files without its signature are refused
    before they are read, see `translate.weights.signatures`. UserError for a place without weights, a damaged file, a
    checkpoint of a single file, and options for weights that describe themselves.
    """
    if verify is not None:
        signatures.verify(place, verify, checkpoint)
    if hub.is_address(place):
        _require_last(checkpoint, place)
        return of_file(hub.fetch(str(place)), options)
    if (shipped := shipped_file(place)) is not None:
        _require_last(checkpoint, place)
        return of_file(shipped, options)
    require_existing(place)
    path = Path(place).expanduser()
    if path.is_dir():
        if not RunFolder(path).is_run() and not RunFolder(path).checkpoints():
            return detect.read(released_files(path, checkpoint), options)
        return _described(of_run(path, checkpoint), path, options)
    _require_last(checkpoint, place)
    return of_file(path, options)


def of_file(path: Path, options: ImportOptions = NO_OPTIONS) -> Weights:
    """Return the weights in a weights file, or in a released file that holds a whole model."""
    if path.suffix == SUFFIX and (format.is_weights_file(path) or not _is_released(path)):
        return _described(format.read(path), path, options)
    if path.suffix.lower() in GRAPH_SUFFIXES:
        raise UserError(
            "a graph for another runtime, without weights to read",
            key=str(path),
            fix="export needs the weights it was made from; apply takes .onnx files",
        )
    return detect.read([path], options)


def of_run(folder: Path, which: str | int = LAST) -> Weights:
    """Return the weights of a run folder's checkpoint: "last", "best" or an iteration; UserError if it is missing."""
    return _of_checkpoint(folder, RunFolder(folder).choose(which)[1])


def _is_released(path: Path) -> bool:
    """Return whether a safetensors file comes from another program: its header names no format of this package."""
    return not (format.header_of(path).get("format") or "").startswith("translate ")


def _require_last(checkpoint: str | int, place: str | os.PathLike[str]) -> None:
    if str(checkpoint) != LAST:
        raise UserError(
            f"{place} is one set of weights", key="checkpoint", found=checkpoint, fix="leave the argument out"
        )


def _described(weights: Weights, path: Path, options: ImportOptions) -> Weights:
    """Return weights that describe themselves; UserError for options beside the licence."""
    if replace(options, licence=None) != NO_OPTIONS:
        names = [name for name, value in vars(options).items() if value is not None and name != "licence"]
        raise UserError(
            f"{path} describes itself", key=names[0], found=getattr(options, names[0]), fix="leave the argument out"
        )
    return weights if options.licence is None else replace(weights, licence=options.licence)


def _of_checkpoint(folder: Path, path: Path) -> Weights:
    """Return the weights in a checkpoint, with the run's notes on its data and the scores of this iteration."""
    checkpoint = checkpoints.read(path, (checkpoints.NETWORK, checkpoints.EMA))
    own = [
        {key: value for key, value in result.to_tree().items() if key not in LEFT_OUT and value not in ("", {})}
        for _, result in scores.of_run(folder, strict=True)
        if result.request.iteration == checkpoint.iteration
    ]
    with plugins.needed_by(checkpoint.config):
        return with_pretrained(format.of_checkpoint(checkpoint, RunFolder(folder).noted_data() or None, own))
