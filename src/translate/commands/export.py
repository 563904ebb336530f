"""The command `export`: write the weights of a run or of a weights file."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from translate.commands.arguments import Command, arg, existing_file, to_words
from translate.commands.completion import checkpoints, run_folders
from translate.errors import UserError
from translate.runs.folder import BEST, LAST, RunFolder

SUFFIX = ".safetensors"
HUB = "hf://"
FORMATS = ("safetensors", "official")
OLD_FORMATS = {"translate": "safetensors", "published": "official"}
"""Values of `format` of version 0.1.0, accepted in this release with a warning."""


@dataclass(frozen=True)
class Arguments:
    """The source of the weights, and their destination."""

    run: Path | None = arg(
        None, metavar="RUN_FOLDER", help="export a run: the EMA networks, where the model has them", values=run_folders
    )
    weights: Path | None = arg(None, metavar=f"FILE{SUFFIX}", help="export a weights file instead of a run")
    checkpoint: str | None = arg(
        None, metavar="last|best|N", help=f"a checkpoint of the run; default {LAST}", values=checkpoints
    )
    to: str | None = arg(
        None,
        metavar=f"FILE{SUFFIX}|FOLDER|{HUB}OWNER/NAME",
        help=f"the destination; default weights_<iteration>{SUFFIX} in the run folder; a folder for format=official; "
        "a repository of the Hugging Face Hub also receives a model card; log in first: hf auth login",
    )
    format: Literal["safetensors", "official", "translate", "published"] = arg(
        "safetensors",
        metavar="|".join(FORMATS),
        help="safetensors: a weights file; official: the files that the official code reads",
        values=lambda words: FORMATS,
    )
    dtype: Literal["float32", "float16"] | None = arg(
        None, help="how a weights file stores its numbers; float16 halves the file; default float32"
    )
    networks: Literal["needed", "all"] | None = arg(
        None, name="with", help="needed: the networks of inference; default needed for a run, all for a file"
    )
    licence: str | None = arg(None, metavar="TAG", help="the licence of the weights, such as cc-by-4.0")
    private: bool | None = arg(None, help="create a private repository on the Hub")


def run(arguments: Arguments) -> int:
    """Write the weights and print a line for each file; return 0."""
    form = OLD_FORMATS.get(arguments.format, arguments.format)
    if form != arguments.format:
        old = f"format={arguments.format}"
        warnings.warn(f"{old} is now format={form}; the old name works in this release", stacklevel=2)
    official = form == "official"
    if arguments.dtype is not None and official:
        raise UserError("the official layout stores float32", key="dtype", fix="leave the argument out")
    source = source_of(arguments)
    checkpoint = arguments.checkpoint or LAST
    to = destination(arguments, source, official)
    if arguments.private is not None and not to.startswith(HUB):
        raise UserError("only a repository on the Hub can be private", key="private", expected=f"to={HUB}owner/name")
    from translate.export.weights import export

    everything = (arguments.networks or ("all" if arguments.run is None else "needed")) == "all"
    words = to_words(COMMAND, arguments)
    dtype = arguments.dtype or "float32"
    lines = export(
        source, to, checkpoint, arguments.licence, cast(Any, form), everything, arguments.private, words, dtype
    )
    print("\n".join(lines))
    return 0


def source_of(arguments: Arguments) -> Path:
    """Return the run folder or the weights file; UserError if it cannot be exported."""
    if (arguments.run is None) == (arguments.weights is None):
        raise UserError(key="export", expected=f"either run=RUN_FOLDER or weights=FILE{SUFFIX}")
    if arguments.weights is not None:
        if arguments.checkpoint is not None:
            raise UserError("a weights file has no checkpoints", key="checkpoint", fix="leave the argument out")
        return existing_file("weights", arguments.weights)
    assert arguments.run is not None
    folder = RunFolder(arguments.run).require_run()
    folder.choose(arguments.checkpoint or LAST)
    return folder.path


def destination(arguments: Arguments, source: Path, official: bool) -> str:
    """Return where the weights go; by default a file in the run folder, named by the checkpoint."""
    to = arguments.to
    if to is None:
        if official or not source.is_dir():
            form = "to=FOLDER" if official else f"to=FILE{SUFFIX}"
            raise UserError("this argument is missing", key="to", expected=form)
        name, path = RunFolder(source).choose(arguments.checkpoint or LAST)
        return str(source / f"weights_{BEST if name == BEST else path.stem}{SUFFIX}")
    if official and (to.startswith(HUB) or Path(to).suffix or Path(to).is_file()):
        raise UserError(key="to", found=to, expected="a folder, since the official layout has several files")
    if to.startswith(HUB):
        from translate.weights import hub

        hub.parse(to)
    elif not official and not to.endswith(SUFFIX):
        raise UserError(key="to", found=to, expected=f"a name that ends in {SUFFIX}, or {HUB}owner/name")
    return to


COMMAND = Command(
    "export",
    "Write the weights of a run, to translate with or to share.",
    Arguments,
    run,
    examples=(
        ("export run=runs/stargan_v2/2026-01-31_12-00-00", "a file in the run folder"),
        ("export run=runs/stargan_v2/2026-01-31_12-00-00 to=hf://me/cats licence=cc-by-4.0", "share on the Hub"),
        ("export weights=faces.safetensors format=official to=out", "the files of the official code"),
    ),
    notes='In a program: translate.load(FILE, RUN_FOLDER or "hf://owner/name").translate(images, target=...)',
)
