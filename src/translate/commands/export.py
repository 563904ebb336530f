"""The command `export`: write the weights of a run or of a weights file, or the model for another runtime."""

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
FORMATS = ("safetensors", "official", "onnx", "torch_export")
RUNTIMES = {"onnx": ".onnx", "torch_export": ".pt2"}
"""Formats that are programs, and the suffix of their files."""
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
        help=f"the destination; default weights_<iteration>{SUFFIX} or <format>_<iteration>/ in the run folder; a "
        "folder for the other formats, or a file for one program; a repository of the Hugging Face Hub also receives a "
        "model card; log in first: hf auth login",
    )
    format: Literal["safetensors", "official", "onnx", "torch_export", "translate", "published"] = arg(
        "safetensors",
        metavar="|".join(FORMATS),
        help="safetensors: a weights file; official: the files that the official code reads; onnx, torch_export: "
        "programs for ONNX Runtime and torch, compared with the model before they are written",
        values=lambda words: FORMATS,
    )
    graphs: tuple[str, ...] = arg(
        (),
        metavar="[NAME,...]",
        help="of onnx and torch_export: networks such as generator, or the whole way: translate, translate_latent, "
        "translate_reference; default all",
    )
    aot: bool = arg(
        False, help="of torch_export: compile by AOTInductor for this processor; wants a C++ compiler, and minutes"
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
    """Write the files and print a line for each; return 0."""
    form = OLD_FORMATS.get(arguments.format, arguments.format)
    if form != arguments.format:
        old = f"format={arguments.format}"
        warnings.warn(f"{old} is now format={form}; the old name works in this release", stacklevel=2)
    _check_fit(arguments, form)
    source = source_of(arguments)
    to = destination(arguments, source, form)
    if arguments.private is not None and not to.startswith(HUB):
        raise UserError("only a repository on the Hub can be private", key="private", expected=f"to={HUB}owner/name")
    if form in RUNTIMES:
        return _write_programs(arguments, form, source, Path(to).expanduser())
    from translate.export.weights import export

    everything = (arguments.networks or ("all" if arguments.run is None else "needed")) == "all"
    words = to_words(COMMAND, arguments)
    checkpoint, dtype = arguments.checkpoint or LAST, arguments.dtype or "float32"
    lines = export(
        source, to, checkpoint, arguments.licence, cast(Any, form), everything, arguments.private, words, dtype
    )
    print("\n".join(lines))
    return 0


def _check_fit(arguments: Arguments, form: str) -> None:
    """Raise UserError for an argument that the format does not have."""
    fix = "leave the argument out"
    if arguments.dtype is not None and form != "safetensors":
        raise UserError(f"format={form} stores float32", key="dtype", fix=fix)
    if arguments.networks is not None and form in RUNTIMES:
        raise UserError(f"format={form} writes the networks of inference", key="with", fix=fix)
    if arguments.graphs and form not in RUNTIMES:
        raise UserError(f"format={form} has no graphs", key="graphs", fix=fix)
    if arguments.aot and form != "torch_export":
        raise UserError(f"format={form} is not compiled", key="aot", fix="format=torch_export")


def _write_programs(arguments: Arguments, form: str, source: Path, to: Path) -> int:
    """Write a model for another runtime and print a line for each file as soon as it is compared; return 0."""
    from translate.export import runtimes

    checkpoint = arguments.checkpoint or LAST
    runtime = runtimes.runtime("aot" if arguments.aot else form)
    translator, digest = runtimes.translator_of(source, checkpoint, arguments.licence)
    for exported in runtimes.export(translator, digest, runtime, to, arguments.graphs):
        print(exported, flush=True)
    print(f"written: {to}")
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


def destination(arguments: Arguments, source: Path, form: str) -> str:
    """Return where the files go; by default into the run folder, named by the checkpoint."""
    to = arguments.to
    if to is None:
        if form == "official" or not source.is_dir():
            missing = f"to=FILE{SUFFIX}" if form == "safetensors" else "to=FOLDER"
            raise UserError("this argument is missing", key="to", expected=missing)
        name, path = RunFolder(source).choose(arguments.checkpoint or LAST)
        which = BEST if name == BEST else path.stem
        return str(source / (f"weights_{which}{SUFFIX}" if form == "safetensors" else f"{form}_{which}"))
    if form == "official" and (to.startswith(HUB) or Path(to).suffix or Path(to).is_file()):
        raise UserError(key="to", found=to, expected="a folder, since the official layout has several files")
    if form in RUNTIMES:
        suffix = Path(to).suffix
        if to.startswith(HUB) or (Path(to).is_file() and suffix != RUNTIMES[form]) or suffix in (SUFFIX, ".pt", ".pth"):
            raise UserError(key="to", found=to, expected=f"a folder, or a name that ends in {RUNTIMES[form]}")
        return to
    if to.startswith(HUB):
        from translate.weights import hub

        hub.parse(to)
    elif form == "safetensors" and not to.endswith(SUFFIX):
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
        ("export weights=faces.safetensors format=onnx to=faces", "ONNX files: each network, and the whole way"),
        ("export weights=faces.safetensors format=official to=out", "the files of the official code"),
    ),
    notes='In a program: translate.load(FILE, RUN_FOLDER or "hf://owner/name").translate(images, target=...)',
)
